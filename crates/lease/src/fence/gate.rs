//! One resource: its highest mark, and the calls that have passed. Pure.

use super::{mark::FenceMark, refused::Fenced};
use steadfast_core::FencingToken;

/// Check and count in one step. A newer mark is the highest at once, and the calls under older ones
/// are counted apart from then on: those that it has to wait for.
///
/// A call counts from its check until it is gone, also while it waits for older ones.
#[derive(Debug)]
pub(crate) struct Gate {
    highest: Option<FenceMark>,
    /// Up to here marks outlast the process.
    stored: Option<FenceMark>,
    /// Calls under the highest mark.
    running: usize,
    /// Calls under older ones.
    older: usize,
}

/// Where a call stands that has been let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may run.
    Runs,
    /// Its mark has to be stored first.
    Unstored,
    /// Calls under older marks have not ended.
    Waits,
    /// There is a newer mark: this one.
    Overtaken(FenceMark),
}

impl Gate {
    /// A resource whose highest mark is `highest`, and the highest that outlasts the process.
    pub(crate) const fn new(highest: Option<FenceMark>, stored: Option<FenceMark>) -> Self {
        Self { highest, stored, running: 0, older: 0 }
    }

    /// Lets a call in. True if its mark is a new one.
    pub(crate) fn enter(
        &mut self,
        presented: FenceMark,
        most: impl FnOnce() -> FencingToken,
    ) -> Result<bool, Fenced> {
        presented.check(self.highest, most)?;
        let is_new = self.highest != Some(presented);
        if is_new {
            self.highest = Some(presented);
            self.older += std::mem::take(&mut self.running);
        }
        self.running += 1;
        Ok(is_new)
    }

    /// Lets a call in that is one more under the highest mark and may run: what
    /// [`enter`](Self::enter) and [`standing`](Self::standing) say in one look. Otherwise nothing
    /// is changed.
    #[cfg(any(test, feature = "http"))]
    #[inline]
    pub(crate) fn enter_at_once(&mut self, presented: FenceMark, is_durable: bool) -> bool {
        let is_one_more = presented.sequence().is_none() && self.highest == Some(presented);
        let runs = self.older == 0 && !(is_durable && self.stored < Some(presented));
        if is_one_more && runs {
            self.running += 1;
        }
        is_one_more && runs
    }

    /// One more call under a mark of which one is counted.
    pub(crate) fn join(&mut self, mark: FenceMark) {
        *self.count(mark) += 1;
    }

    /// A call is gone. True if it was the last of those that newer ones wait for.
    pub(crate) fn leave(&mut self, mark: FenceMark) -> bool {
        *self.count(mark) -= 1;
        self.highest != Some(mark) && self.older == 0
    }

    /// Where the call stands that was let in under `mark`.
    pub(crate) fn standing(&self, mark: FenceMark, is_durable: bool) -> Standing {
        match self.highest {
            Some(highest) if highest != mark => Standing::Overtaken(highest),
            _ if is_durable && self.stored < Some(mark) => Standing::Unstored,
            _ if self.older > 0 => Standing::Waits,
            _ => Standing::Runs,
        }
    }

    /// `mark` outlasts the process from now on.
    pub(crate) fn stored(&mut self, mark: FenceMark) {
        self.stored = self.stored.max(Some(mark));
    }

    pub(crate) const fn highest(&self) -> Option<FenceMark> {
        self.highest
    }

    /// Calls under the highest mark, and under older ones.
    pub(crate) const fn counts(&self) -> (usize, usize) {
        (self.running, self.older)
    }

    fn count(&mut self, mark: FenceMark) -> &mut usize {
        if self.highest == Some(mark) { &mut self.running } else { &mut self.older }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(token: u64, sequence: Option<u64>) -> FenceMark {
        let mark = FenceMark::new(FencingToken::try_from(token).unwrap());
        sequence.map_or(mark, |sequence| mark.numbered(sequence))
    }

    /// Every call that is in, as it is.
    #[derive(Default)]
    struct Naive {
        highest: Option<FenceMark>,
        inside: Vec<FenceMark>,
    }

    impl Naive {
        fn enter(&mut self, presented: FenceMark) -> bool {
            let may = match self.highest {
                None => true,
                Some(highest) => {
                    let is_numbered = presented.sequence().is_some();
                    presented > highest || (presented == highest && !is_numbered)
                }
            };
            if may {
                self.highest = Some(presented);
                self.inside.push(presented);
            }
            may
        }

        fn may_run(&self, mark: FenceMark) -> bool {
            self.highest == Some(mark) && self.inside.iter().all(|&other| other >= mark)
        }
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_of_calls_does(
            steps in prop::collection::vec(
                (any::<bool>(), 0..5_u64, prop::option::of(0..4_u64), any::<prop::sample::Index>()),
                0..80,
            ),
        ) {
            let (mut gate, mut naive) = (Gate::new(None, None), Naive::default());
            for (enters, token, sequence, which) in steps {
                if enters {
                    let presented = mark(token, sequence);
                    if gate.enter_at_once(presented, false) {
                        prop_assert_eq!(naive.highest, Some(presented));
                        prop_assert!(naive.enter(presented) && naive.may_run(presented));
                    } else {
                        let entered = gate.enter(presented, || FencingToken::MAX);
                        prop_assert_eq!(entered.is_ok(), naive.enter(presented));
                    }
                } else if !naive.inside.is_empty() {
                    let gone = naive.inside.swap_remove(which.index(naive.inside.len()));
                    let is_last = gate.leave(gone);
                    let is_older = |other: &FenceMark| Some(*other) != naive.highest;
                    prop_assert_eq!(is_last, is_older(&gone) && !naive.inside.iter().any(is_older));
                }
                prop_assert_eq!(gate.highest(), naive.highest);
                let (running, older) = gate.counts();
                prop_assert_eq!(running + older, naive.inside.len());
                for &inside in &naive.inside {
                    let runs = gate.standing(inside, false) == Standing::Runs;
                    prop_assert_eq!(runs, naive.may_run(inside));
                }
            }
        }
    }

    #[test]
    fn a_newer_call_waits_for_older_ones_and_older_ones_see_it_at_once() {
        let (old, new) = (mark(1, None), mark(2, None));
        let mut gate = Gate::new(None, None);
        gate.enter(old, || FencingToken::MAX).unwrap();
        assert_eq!(gate.standing(old, false), Standing::Runs);
        assert_eq!(gate.enter(new, || FencingToken::MAX), Ok(true));
        assert_eq!(gate.standing(old, false), Standing::Overtaken(new));
        assert_eq!(gate.standing(new, false), Standing::Waits);
        assert!(gate.leave(old));
        assert_eq!(gate.standing(new, false), Standing::Runs);
        assert!(!gate.leave(new));
    }

    #[test]
    fn the_numbered_calls_of_one_holder_do_not_run_side_by_side() {
        let (first, second) = (mark(1, Some(1)), mark(1, Some(2)));
        let mut gate = Gate::new(None, None);
        gate.enter(first, || FencingToken::MAX).unwrap();
        gate.enter(second, || FencingToken::MAX).unwrap();
        assert_eq!(gate.standing(second, false), Standing::Waits);
    }

    #[test]
    fn no_call_runs_under_a_mark_that_is_not_stored() {
        let (old, new) = (mark(1, None), mark(2, None));
        let mut gate = Gate::new(Some(old), Some(old));
        assert!(gate.enter_at_once(old, true));
        assert_eq!(gate.standing(old, true), Standing::Runs);
        gate.leave(old);
        gate.enter(new, || FencingToken::MAX).unwrap();
        assert_eq!(gate.standing(new, true), Standing::Unstored);
        assert!(!gate.enter_at_once(new, true) && gate.counts() == (1, 0));
        gate.stored(new);
        gate.stored(old);
        assert_eq!(gate.standing(new, true), Standing::Runs);
    }
}
