//! Half-open: a round of probes, and when it is decided. Pure.

/// How many probes a round has, and how many of them must succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    pub(crate) number: u32,
    pub(crate) required: u32,
}

/// One round. Every probe that is admitted is settled exactly once: it succeeds, fails, or gives its place back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    in_flight: u32,
    successes: u32,
    failures: u32,
    /// When probes still under way have failed to come back, in nanoseconds of the circuit's clock.
    ends: u64,
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
    pub(crate) const fn new(ends: u64) -> Self {
        Self { in_flight: 0, successes: 0, failures: 0, ends }
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) const fn ends(&self) -> u64 {
        self.ends
    }

    /// Whether probes are under way that should have come back by `now`. Without any under way a round may wait for callers as long
    /// as it takes.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        self.in_flight > 0 && now >= self.ends
    }

    pub(crate) const fn has_place(&self, probes: Probes) -> bool {
        self.in_flight + self.successes + self.failures < probes.number
    }

    /// Takes a place. The first probe of a round that stood empty starts its time anew, or one that waited for
    /// callers longer than the limit would be overdue at once.
    pub(crate) fn admit(&mut self, probes: Probes, ends: u64) -> bool {
        if !self.has_place(probes) {
            return false;
        }
        if self.in_flight == 0 {
            self.ends = ends;
        }
        self.in_flight += 1;
        true
    }

    /// Settles a probe and decides as early as the result is certain.
    pub(crate) fn settle(&mut self, probe: Probe, probes: Probes) -> Option<Decision> {
        self.in_flight -= 1;
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
            let mut round = Round::new(10);
            let (mut ok, mut bad, mut flying) = (0, 0, 0);
            for step in script {
                if step == 3 {
                    let place = ok + bad + flying < number;
                    prop_assert_eq!(round.admit(probes, 10), place);
                    flying += u32::from(place);
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
                prop_assert_eq!(round.settle(probe, probes), certain);
                if certain.is_some() {
                    break;
                }
            }
        }
    }

    #[test]
    fn only_probes_under_way_are_overdue_and_an_empty_round_starts_anew() {
        let probes = Probes { number: 1, required: 1 };
        let mut round = Round::new(10);
        assert!(!round.is_overdue(1000));
        assert!(round.admit(probes, 1010));
        assert!(!round.is_overdue(1009));
        assert!(round.is_overdue(1010));
    }
}
