//! Half-open: a round of probes, and when it is decided. Pure.

use std::collections::VecDeque;

/// How many probes a round has, and how many of them must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    pub(crate) number: u32,
    pub(crate) required: u32,
}

/// One round. Every admitted probe is settled once: it succeeds, fails, gives its place back, or is
/// overdue, which is one failed probe; what it says later counts nowhere.
///
/// A probe whose answer was good so far may wait for the answer's end: then it is never overdue,
/// and when it has waited for as long as it may it has succeeded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// When each probe under way began, in nanoseconds of the circuit's clock, the oldest first. At
    /// most as many as a round has probes.
    under_way: VecDeque<u64>,
    /// Until when each probe waits for the end of its answer, the earliest first.
    waiting: VecDeque<u64>,
    successes: u32,
    failures: u32,
    /// The latest time that the round has seen.
    latest: u64,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Succeeded,
    Failed,
    /// It said nothing about the service: another may go in its place.
    GivenBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Close,
    Reopen,
}

impl Round {
    /// How many probes are under way that are neither overdue at `now` nor have waited long enough.
    pub(crate) fn in_flight(&self, now: u64, limit: u64) -> u32 {
        let overdue = self.under_way.partition_point(|began| is_overdue(*began, now, limit));
        let succeeded = self.waiting.partition_point(|until| *until <= now);
        number(self.under_way.len() - overdue) + number(self.waiting.len() - succeeded)
    }

    /// What time will make of the round, and when, if no further probe is settled. `None` if
    /// nothing. Where every place is taken it always decides.
    ///
    /// It could be both only after a change of the numbers, with more probes than there are places:
    /// what comes first.
    pub(crate) fn decided_at(&self, probes: Probes, limit: u64) -> Option<(u64, Decision)> {
        // A round with this many failures, or successes, would have been decided.
        let nth = |queue: &VecDeque<u64>, lacking: Option<u32>| {
            queue.get(usize::try_from(lacking?).ok()?).copied()
        };
        let overdue = nth(&self.under_way, probes.tolerated().checked_sub(self.failures));
        let reopens = overdue.map(|began| (began.saturating_add(limit), Decision::Reopen));
        let succeeds = nth(&self.waiting, (probes.required - 1).checked_sub(self.successes));
        let closes = succeeds.map(|until| (until, Decision::Close));
        reopens.into_iter().chain(closes).min_by_key(|(at, _)| *at)
    }

    /// Counts the probes that are overdue at `now` as failed, and those that have waited for their
    /// end for long enough as successes; if that decides, when it did.
    pub(crate) fn expire(
        &mut self,
        probes: Probes,
        now: u64,
        limit: u64,
    ) -> Option<(u64, Decision)> {
        let decided = self.decided_at(probes, limit).filter(|&(at, _)| at <= now);
        self.latest = self.latest.max(now);
        while self.under_way.front().is_some_and(|began| is_overdue(*began, now, limit)) {
            self.under_way.pop_front();
            self.failures += 1;
        }
        while self.waiting.front().is_some_and(|until| *until <= now) {
            self.waiting.pop_front();
            self.successes += 1;
        }
        decided
    }

    pub(crate) fn has_place(&self, probes: Probes) -> bool {
        let taken = number(self.under_way.len()) + number(self.waiting.len());
        taken + self.successes + self.failures < probes.number
    }

    /// Takes a place, if there is one, and says when the probe begins. Clocks are read before the
    /// lock is taken, and a probe is known by its start: it must not begin with an overdue one.
    pub(crate) fn admit(&mut self, probes: Probes, now: u64) -> Option<u64> {
        if !self.has_place(probes) {
            return None;
        }
        self.latest = self.latest.max(now);
        self.under_way.push_back(self.latest);
        Some(self.latest)
    }

    /// From now on the probe that began at `began` waits for the end of its answer, for at most
    /// `horizon`, unless it was overdue; until when.
    pub(crate) fn wait(&mut self, began: u64, now: u64, horizon: u64) -> Option<u64> {
        take(&mut self.under_way, began)?;
        // As in `admit`: it must not be taken for one that has waited long enough.
        self.latest = self.latest.max(now);
        let until = self.latest.saturating_add(horizon);
        let place = self.waiting.partition_point(|other| *other <= until);
        self.waiting.insert(place, until);
        Some(until)
    }

    /// Settles the probe that began at `began`, unless it was overdue, and decides as early as the
    /// result is certain.
    pub(crate) fn settle(&mut self, probe: Probe, began: u64, probes: Probes) -> Option<Decision> {
        take(&mut self.under_way, began)?;
        self.decide(probe, probes)
    }

    /// The same of one that waited until `until` at most, unless it has succeeded by then.
    pub(crate) fn end(&mut self, probe: Probe, until: u64, probes: Probes) -> Option<Decision> {
        take(&mut self.waiting, until)?;
        self.decide(probe, probes)
    }

    fn decide(&mut self, probe: Probe, probes: Probes) -> Option<Decision> {
        match probe {
            Probe::Succeeded => self.successes += 1,
            Probe::Failed => self.failures += 1,
            Probe::GivenBack => {}
        }
        self.decided(probes)
    }

    /// What the probes that were settled come to.
    pub(crate) fn decided(&self, probes: Probes) -> Option<Decision> {
        if self.successes >= probes.required {
            Some(Decision::Close)
        } else if self.failures > probes.tolerated() {
            Some(Decision::Reopen)
        } else {
            None
        }
    }
}

impl Probes {
    /// How many may fail, and the required number can still succeed.
    const fn tolerated(self) -> u32 {
        self.number - self.required
    }
}

/// Takes out what stands in order, if it is there. Which of two of the same time is all the same.
fn take(queue: &mut VecDeque<u64>, time: u64) -> Option<u64> {
    queue.remove(queue.binary_search(&time).ok()?)
}

fn is_overdue(began: u64, now: u64, limit: u64) -> bool {
    now >= began.saturating_add(limit)
}

/// As many as there are places, whose number is a u32.
fn number(probes: usize) -> u32 {
    u32::try_from(probes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 10;
    const HORIZON: u64 = 7;

    /// One probe the slow way.
    #[derive(Clone, Copy)]
    struct Modelled {
        began: u64,
        /// When it began to wait for the end of its answer, as the round counts.
        answered: Option<u64>,
        settled: Option<(Probe, u64)>,
    }

    impl Modelled {
        /// When time settles it.
        fn lapses(self) -> u64 {
            self.answered.map_or(self.began + LIMIT, |at| at + HORIZON)
        }

        /// What it counts for at `now`.
        fn fate(self, now: u64) -> Option<Probe> {
            match self.settled {
                Some((probe, at)) if at <= now && at < self.lapses() => Some(probe),
                _ if now < self.lapses() => None,
                _ if self.answered.is_some() => Some(Probe::Succeeded),
                _ => Some(Probe::Failed),
            }
        }
    }

    /// A round the slow way: every probe ever admitted.
    #[derive(Default)]
    struct Model(Vec<Modelled>);

    impl Model {
        fn count(&self, now: u64, fate: Option<Probe>) -> u32 {
            self.0.iter().filter(|probe| probe.fate(now) == fate).count() as u32
        }

        fn decision(&self, now: u64, probes: Probes) -> Option<Decision> {
            if self.count(now, Some(Probe::Succeeded)) >= probes.required {
                return Some(Decision::Close);
            }
            let failures = self.count(now, Some(Probe::Failed));
            (probes.number - failures < probes.required).then_some(Decision::Reopen)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]
        #[test]
        fn a_round_is_decided_exactly_when_it_is_certain(
            number in 1u32..6,
            required in 1u32..6,
            // Time passes, and a probe is admitted, or one of those ever admitted comes back, with
            // its head or its end.
            script in prop::collection::vec((0u64..6, 0usize..7, any::<prop::sample::Index>()), 0..60),
        ) {
            let probes = Probes { number, required: required.min(number) };
            let (mut round, mut model, mut now) = (Round::default(), Model::default(), 100);
            for (passes, step, which) in script {
                now += passes;
                let certain = (0..=now)
                    .find_map(|at| model.decision(at, probes).map(|decision| (at, decision)));
                let decided = round.decided_at(probes, LIMIT);
                // What time alone decides, and when: foretold, and found.
                let expired = round.expire(probes, now, LIMIT);
                prop_assert_eq!(expired, certain);
                prop_assert_eq!(expired, decided.filter(|&(at, _)| at <= now));
                if expired.is_some() {
                    break;
                }
                prop_assert_eq!(round.in_flight(now, LIMIT), model.count(now, None));
                let given_back = model.count(now, Some(Probe::GivenBack));
                let free = (model.0.len() as u32) < number + given_back;
                prop_assert_eq!(round.has_place(probes), free);
                prop_assert!(free || round.decided_at(probes, LIMIT).is_some(), "a wait has an end");
                if step >= 5 {
                    let began = round.admit(probes, now);
                    prop_assert_eq!(began, free.then_some(now));
                    let new = |began| Modelled { began, answered: None, settled: None };
                    model.0.extend(began.map(new));
                    continue;
                }
                // Late ones too, which count nowhere.
                let unsettled: Vec<_> =
                    (0..model.0.len()).filter(|&n| model.0[n].settled.is_none()).collect();
                if unsettled.is_empty() {
                    continue;
                }
                let modelled = &mut model.0[*which.get(&unsettled)];
                if step >= 3 {
                    if modelled.answered.is_none() {
                        let is_late = now >= modelled.lapses();
                        let until = round.wait(modelled.began, now, HORIZON);
                        prop_assert_eq!(until, (!is_late).then_some(now + HORIZON));
                        modelled.answered = (!is_late).then_some(now);
                    }
                    continue;
                }
                let probe = [Probe::Succeeded, Probe::Failed, Probe::GivenBack][step];
                let Modelled { began, answered, .. } = *modelled;
                modelled.settled = Some((probe, now));
                let decision = match answered {
                    Some(at) => round.end(probe, at + HORIZON, probes),
                    None => round.settle(probe, began, probes),
                };
                prop_assert_eq!(decision, model.decision(now, probes));
                if decision.is_some() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_probe_that_waits_for_its_end_is_not_overdue_and_succeeds_at_the_horizon() {
        let probes = Probes { number: 2, required: 2 };
        let mut round = Round::default();
        assert_eq!((round.admit(probes, 100), round.admit(probes, 100)), (Some(100), Some(100)));
        assert_eq!(round.wait(100, 109, HORIZON), Some(116));
        assert_eq!(round.decided_at(probes, LIMIT), Some((110, Decision::Reopen)), "the other");
        assert_eq!(round.wait(100, 109, HORIZON), Some(116));
        assert_eq!(round.wait(100, 109, HORIZON), None, "there is no third");
        assert_eq!(round.clone().end(Probe::Failed, 116, probes), Some(Decision::Reopen));
        assert_eq!((round.expire(probes, 115, LIMIT), round.in_flight(115, LIMIT)), (None, 2));
        assert_eq!(round.expire(probes, 500, LIMIT), Some((116, Decision::Close)));
        assert_eq!(round.end(Probe::Failed, 116, probes), None, "it comes late");
    }

    #[test]
    fn each_probe_has_the_whole_limit_and_an_empty_round_waits() {
        let probes = Probes { number: 2, required: 2 };
        let mut round = Round::default();
        assert_eq!(round.clone().expire(probes, u64::MAX, LIMIT), None);
        assert_eq!((round.admit(probes, 100), round.admit(probes, 109)), (Some(100), Some(109)));
        let lost_at = |round: &Round| round.decided_at(probes, LIMIT);
        assert_eq!(lost_at(&round), Some((110, Decision::Reopen)), "the first");
        assert_eq!(round.settle(Probe::Succeeded, 100, probes), None);
        assert_eq!(lost_at(&round), Some((119, Decision::Reopen)), "the second");
        assert_eq!(round.expire(probes, 118, LIMIT), None);
        let expired = round.expire(probes, 500, LIMIT);
        assert_eq!(expired, Some((119, Decision::Reopen)), "found late, dated right");
    }

    /// A clock read before another thread's, and used after it.
    #[test]
    fn a_probe_that_begins_late_is_not_taken_for_one_that_is_overdue() {
        let probes = Probes { number: 3, required: 1 };
        let mut round = Round::default();
        let overdue = round.admit(probes, 100).unwrap();
        assert_eq!(round.expire(probes, 110, LIMIT), None);
        let late = round.admit(probes, 100).unwrap();
        assert_eq!(round.settle(Probe::Succeeded, overdue, probes), None, "a straggler");
        assert_eq!(round.settle(Probe::Succeeded, late, probes), Some(Decision::Close));
    }
}
