//! Half-open: a round of probes, and when it is decided. Pure.

/// How many probes a round has, and how many of them must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    pub(crate) number: u32,
    pub(crate) required: u32,
}

/// One round. Every admitted probe is settled once: it succeeds, fails, or gives its place back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// When each probe under way began, in nanoseconds of the circuit's clock. At most as many as a
    /// round has probes.
    under_way: Vec<u64>,
    successes: u32,
    failures: u32,
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
    pub(crate) fn in_flight(&self) -> u32 {
        // As many as there are places, whose number is a u32.
        u32::try_from(self.under_way.len()).unwrap_or(u32::MAX)
    }

    /// When the oldest probe under way will have been so for longer than `limit`. Without any under
    /// way a round may wait for callers as long as it takes.
    pub(crate) fn ends(&self, limit: u64) -> Option<u64> {
        self.under_way.iter().min().map(|began| began.saturating_add(limit))
    }

    /// Whether a probe is under way that should have come back by `now`.
    pub(crate) fn is_overdue(&self, now: u64, limit: u64) -> bool {
        self.ends(limit).is_some_and(|ends| now >= ends)
    }

    pub(crate) fn has_place(&self, probes: Probes) -> bool {
        self.in_flight() + self.successes + self.failures < probes.number
    }

    /// Takes a place, if there is one.
    pub(crate) fn admit(&mut self, probes: Probes, now: u64) -> bool {
        let has_place = self.has_place(probes);
        if has_place {
            self.under_way.push(now);
        }
        has_place
    }

    /// Settles the probe that began at `began`, and decides as early as the result is certain.
    pub(crate) fn settle(&mut self, probe: Probe, began: u64, probes: Probes) -> Option<Decision> {
        let place = self.under_way.iter().position(|&other| other == began)?;
        self.under_way.swap_remove(place);
        match probe {
            Probe::Succeeded => self.successes += 1,
            Probe::Failed => self.failures += 1,
            Probe::GivenBack => {}
        }
        if self.successes >= probes.required {
            Some(Decision::Close)
        } else if self.failures > probes.number - probes.required {
            Some(Decision::Reopen)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_round_is_decided_exactly_when_it_is_certain(
            number in 1u32..6, required in 1u32..6, script in prop::collection::vec(0u8..4, 0..60),
        ) {
            let probes = Probes { number, required: required.min(number) };
            let mut round = Round::default();
            let mut began = std::collections::VecDeque::new();
            let (mut ok, mut bad, mut flying) = (0, 0, 0);
            for (now, step) in (0u64..).zip(script) {
                if step == 3 {
                    let place = ok + bad + flying < number;
                    prop_assert_eq!(round.admit(probes, now), place);
                    flying += u32::from(place);
                    began.extend(place.then_some(now));
                    prop_assert_eq!(round.ends(10), began.front().map(|began| began + 10));
                    continue;
                }
                if flying == 0 {
                    continue;
                }
                flying -= 1;
                let probe = [Probe::Succeeded, Probe::Failed, Probe::GivenBack][usize::from(step)];
                ok += u32::from(probe == Probe::Succeeded);
                bad += u32::from(probe == Probe::Failed);
                let certain = match () {
                    () if ok >= probes.required => Some(Decision::Close),
                    () if ok + (number - ok - bad) < probes.required => Some(Decision::Reopen),
                    () => None,
                };
                prop_assert_eq!(round.settle(probe, began.pop_front().unwrap(), probes), certain);
                if certain.is_some() {
                    break;
                }
            }
        }
    }

    #[test]
    fn each_probe_has_the_whole_limit_and_an_empty_round_waits() {
        let probes = Probes { number: 2, required: 2 };
        let mut round = Round::default();
        assert!(!round.is_overdue(u64::MAX, 10));
        assert!(round.admit(probes, 100) && round.admit(probes, 109));
        assert!(!round.is_overdue(109, 10));
        assert!(round.is_overdue(110, 10), "the first");
        assert_eq!(round.settle(Probe::Succeeded, 100, probes), None);
        assert!(!round.is_overdue(118, 10) && round.is_overdue(119, 10), "the second");
    }
}
