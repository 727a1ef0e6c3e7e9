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
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// When each probe under way began, in nanoseconds of the circuit's clock, the oldest first. At
    /// most as many as a round has probes.
    under_way: VecDeque<u64>,
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
    /// How many probes are under way that are not overdue at `now`.
    pub(crate) fn in_flight(&self, now: u64, limit: u64) -> u32 {
        let overdue = self.under_way.partition_point(|began| is_overdue(*began, now, limit));
        number(self.under_way.len() - overdue)
    }

    /// When the round will be lost if no further probe is settled: enough of those under way are
    /// overdue. `None` if they are not enough. Where every place is taken they always are, for then
    /// each place without a success would be a failure.
    pub(crate) fn lost_at(&self, probes: Probes, limit: u64) -> Option<u64> {
        // A round with this many failures would have been decided.
        let lacking = probes.tolerated().checked_sub(self.failures)?;
        Some(self.under_way.get(usize::try_from(lacking).ok()?)?.saturating_add(limit))
    }

    /// Counts the probes that are overdue at `now` as failed; if that decides, when it did.
    pub(crate) fn expire(&mut self, probes: Probes, now: u64, limit: u64) -> Option<u64> {
        let lost_at = self.lost_at(probes, limit).filter(|&at| at <= now);
        self.latest = self.latest.max(now);
        while self.under_way.front().is_some_and(|began| is_overdue(*began, now, limit)) {
            self.under_way.pop_front();
            self.failures += 1;
        }
        lost_at
    }

    pub(crate) fn has_place(&self, probes: Probes) -> bool {
        number(self.under_way.len()) + self.successes + self.failures < probes.number
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

    /// Settles the probe that began at `began`, unless it was overdue, and decides as early as the
    /// result is certain.
    pub(crate) fn settle(&mut self, probe: Probe, began: u64, probes: Probes) -> Option<Decision> {
        // Which of two that began at the same time is all the same.
        let place = self.under_way.binary_search(&began).ok()?;
        self.under_way.remove(place);
        match probe {
            Probe::Succeeded => self.successes += 1,
            Probe::Failed => self.failures += 1,
            Probe::GivenBack => {}
        }
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

    /// A round the slow way: every probe ever admitted, with its start and what became of it when.
    #[derive(Default)]
    struct Model {
        probes: Vec<(u64, Option<(Probe, u64)>)>,
    }

    impl Model {
        /// What each probe counts for at `now`: one that has not come back in time has failed.
        fn fates(&self, now: u64) -> Vec<Option<Probe>> {
            let fate = |&(began, settled): &(u64, Option<(Probe, u64)>)| match settled {
                Some((probe, at)) if at <= now && at < began + LIMIT => Some(probe),
                _ if now >= began + LIMIT => Some(Probe::Failed),
                _ => None,
            };
            self.probes.iter().map(fate).collect()
        }

        fn count(&self, now: u64, fate: Option<Probe>) -> u32 {
            self.fates(now).iter().filter(|&&other| other == fate).count() as u32
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
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        #[test]
        fn a_round_is_decided_exactly_when_it_is_certain(
            number in 1u32..6,
            required in 1u32..6,
            // Time passes, and a probe is admitted, or one of those ever admitted comes back.
            script in prop::collection::vec((0u64..6, 0usize..5, any::<prop::sample::Index>()), 0..60),
        ) {
            let probes = Probes { number, required: required.min(number) };
            let (mut round, mut model, mut now) = (Round::default(), Model::default(), 100);
            for (passes, step, which) in script {
                now += passes;
                let certain = (0..=now).find(|&at| model.decision(at, probes).is_some());
                let lost_at = round.lost_at(probes, LIMIT);
                // What time alone decides, and when: foretold, and found.
                let expired = round.expire(probes, now, LIMIT);
                prop_assert_eq!(expired, certain);
                prop_assert_eq!(expired, lost_at.filter(|&at| at <= now));
                if expired.is_some() {
                    break;
                }
                prop_assert_eq!(round.in_flight(now, LIMIT), model.count(now, None));
                let given_back = model.count(now, Some(Probe::GivenBack));
                let free = (model.probes.len() as u32) < number + given_back;
                prop_assert_eq!(round.has_place(probes), free);
                prop_assert!(free || round.lost_at(probes, LIMIT).is_some(), "a wait has an end");
                if step >= 3 {
                    let began = round.admit(probes, now);
                    prop_assert_eq!(began, free.then_some(now));
                    model.probes.extend(began.map(|began| (began, None)));
                    continue;
                }
                // Late ones too, which count nowhere.
                let unsettled: Vec<_> =
                    (0..model.probes.len()).filter(|&n| model.probes[n].1.is_none()).collect();
                if unsettled.is_empty() {
                    continue;
                }
                let probe = [Probe::Succeeded, Probe::Failed, Probe::GivenBack][step];
                let (began, settled) = &mut model.probes[*which.get(&unsettled)];
                *settled = Some((probe, now));
                let decision = round.settle(probe, *began, probes);
                prop_assert_eq!(decision, model.decision(now, probes));
                if decision.is_some() {
                    break;
                }
            }
        }
    }

    #[test]
    fn each_probe_has_the_whole_limit_and_an_empty_round_waits() {
        let probes = Probes { number: 2, required: 2 };
        let mut round = Round::default();
        assert_eq!(round.clone().expire(probes, u64::MAX, LIMIT), None);
        assert_eq!((round.admit(probes, 100), round.admit(probes, 109)), (Some(100), Some(109)));
        assert_eq!(round.lost_at(probes, LIMIT), Some(110), "the first");
        assert_eq!(round.settle(Probe::Succeeded, 100, probes), None);
        assert_eq!(round.lost_at(probes, LIMIT), Some(119), "the second");
        assert_eq!(round.expire(probes, 118, LIMIT), None);
        assert_eq!(round.expire(probes, 500, LIMIT), Some(119), "found late, dated right");
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
