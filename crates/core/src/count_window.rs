//! The last n outcomes, exactly.
//!
//! Most outcomes are plain successes, and they are all alike: only *where the others stand* needs
//! to be kept. So the window is a queue of marked positions, not a ring of n slots. A run of plain
//! successes of any length is one addition. That is what lets a caller count successes elsewhere,
//! without a lock, and add them in bulk when the next mark comes. A window in which n plain
//! successes followed the last mark is not changed by a further one at all.
//!
//! An average (EWMA) would need no memory, but answers another question: it never forgets, and
//! "half of the last hundred calls failed" is what people reason about when they set a ratio.

use std::{collections::VecDeque, num::NonZeroU32};

use crate::{Counts, counts::Mark};

/// An exact sliding window over the last `size` outcomes. No clock. Amortised O(1) for each
/// outcome, whatever the size.
///
/// Memory grows with the marks in the window, to at most 16 bytes for each of `size` outcomes.
#[derive(Clone, Debug)]
pub struct CountWindow {
    size: u64,
    /// Outcomes ever seen; the window holds the positions `seen - size..seen`.
    seen: u64,
    /// Marked outcomes in the window, oldest first.
    marks: VecDeque<(u64, Mark)>,
    failures: u64,
    slow: u64,
}

impl CountWindow {
    /// An empty window over `size` outcomes.
    #[must_use]
    pub fn new(size: NonZeroU32) -> Self {
        Self { size: size.get().into(), seen: 0, marks: VecDeque::new(), failures: 0, slow: 0 }
    }

    /// Adds `n` plain successes.
    pub fn pass(&mut self, n: u64) {
        // Once seen exceeds the size only differences of positions matter; 2^64 outcomes take 584
        // years at one a nanosecond.
        self.seen = self.seen.saturating_add(n);
        self.forget_old();
    }

    /// Adds one outcome.
    pub fn record(&mut self, mark: Mark) {
        let position = self.seen;
        self.pass(1);
        if mark.is_plain() {
            return;
        }
        self.marks.push_back((position, mark));
        self.failures += u64::from(mark.failed);
        self.slow += u64::from(mark.slow);
    }

    /// Turns one success into a failure: the latest plain one, or where the window holds none the
    /// latest that was slow. The number of outcomes stays. False where it holds no success.
    ///
    /// O(log marks), and the marks since that success are moved; O(marks) where none is plain.
    pub fn turn(&mut self) -> bool {
        if self.failures == self.counts().total {
            return false;
        }
        self.failures += 1;
        let first = self.last_marks();
        let oldest = self.seen.saturating_sub(self.size);
        let before = self.seen - (self.marks.len() - first) as u64;
        if before > oldest {
            self.marks.insert(first, (before - 1, Mark { failed: true, slow: false }));
        } else if let Some((_, slow)) = self.marks.iter_mut().rfind(|(_, mark)| !mark.failed) {
            slow.failed = true;
        }
        true
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.seen = 0;
        self.marks.clear();
        self.failures = 0;
        self.slow = 0;
    }

    /// Changes how many outcomes the window holds. A smaller one forgets the oldest at once, a
    /// larger one fills up with outcomes that are yet to come: what was forgotten stays forgotten.
    /// O(marks).
    pub fn resize(&mut self, size: NonZeroU32) {
        // A larger window would reach back to positions whose marks are gone, and take each for a
        // plain success: so it begins where the old one does.
        let forgotten = self.seen.saturating_sub(self.size);
        self.seen -= forgotten;
        for (position, _) in &mut self.marks {
            *position -= forgotten;
        }
        self.size = size.get().into();
        self.forget_old();
    }

    /// What the window holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { total: self.seen.min(self.size), failures: self.failures, slow: self.slow }
    }

    /// What the window would hold after `n` more plain successes. O(marks that would leave).
    #[must_use]
    pub fn counts_after(&self, n: u64) -> Counts {
        let seen = self.seen.saturating_add(n);
        let oldest = seen.saturating_sub(self.size);
        let mut counts =
            Counts { total: seen.min(self.size), failures: self.failures, slow: self.slow };
        for (_, mark) in self.marks.iter().take_while(|(position, _)| *position < oldest) {
            counts.failures -= u64::from(mark.failed);
            counts.slow -= u64::from(mark.slow);
        }
        counts
    }

    /// How many plain successes must follow before a further one changes nothing: the window is
    /// full and holds no mark.
    #[must_use]
    pub fn until_still(&self) -> u64 {
        let begins = self.marks.back().map_or(0, |&(position, _)| position + 1);
        (begins + self.size).saturating_sub(self.seen)
    }

    /// The first of the marks after the latest plain success: from there on they stand shoulder to
    /// shoulder.
    fn last_marks(&self) -> usize {
        let (mut low, mut high) = (0, self.marks.len());
        while low < high {
            let middle = low.midpoint(high);
            let outcomes = self.seen - self.marks[middle].0;
            if outcomes > (self.marks.len() - middle) as u64 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn forget_old(&mut self) {
        let oldest = self.seen.saturating_sub(self.size);
        while let Some(&(position, mark)) = self.marks.front() {
            if position >= oldest {
                break;
            }
            self.marks.pop_front();
            self.failures -= u64::from(mark.failed);
            self.slow -= u64::from(mark.slow);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(outcomes: &[Mark], size: usize) -> Counts {
        let mut counts = Counts::default();
        for mark in outcomes.iter().rev().take(size) {
            counts += Counts::from(*mark);
        }
        counts
    }

    fn still(size: u32) -> Counts {
        Counts { total: size.into(), failures: 0, slow: 0 }
    }

    fn any_mark() -> impl Strategy<Value = Mark> {
        // Mostly plain, so that whole windows of successes occur.
        prop_oneof![
            8 => Just(Mark::default()),
            1 => (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Mark { failed, slow }),
        ]
    }

    proptest! {
        #[test]
        fn counts_what_a_naive_list_counts(size in 1u32..40, outcomes in prop::collection::vec(any_mark(), 0..300)) {
            let mut window = CountWindow::new(NonZeroU32::new(size).unwrap());
            let mut passed = 0;
            for end in 1..=outcomes.len() {
                // Runs of plain successes are handed over in bulk, as the breaker does.
                if outcomes[end - 1].is_plain() && end % 3 != 0 {
                    passed += 1;
                    continue;
                }
                window.pass(std::mem::take(&mut passed));
                window.record(outcomes[end - 1]);
                prop_assert_eq!(window.counts(), naive(&outcomes[..end], size as usize));
                prop_assert!(window.marks.len() <= size as usize);
                let mut later = window.clone();
                later.pass(5);
                prop_assert_eq!(window.counts_after(5), later.counts());
                later = window.clone();
                later.pass(window.until_still().saturating_sub(1));
                prop_assert!(window.until_still() == 0 || later.counts() != still(size));
                later.pass(1);
                prop_assert_eq!(later.counts(), still(size));
            }
        }
    }

    /// The slow way: what the window holds, one by one.
    fn turn_in(list: &mut [Mark], size: usize) -> bool {
        let from = list.len().saturating_sub(size);
        let window = &mut list[from..];
        let last = |window: &[Mark], slow| {
            window.iter().rposition(|mark| !mark.failed && mark.slow == slow)
        };
        let found = last(window, false).or_else(|| last(window, true));
        found.inspect(|&at| window[at].failed = true).is_some()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
        /// Whatever came before it, and whatever comes after it leaves the window when it should.
        #[test]
        fn a_turn_makes_a_failure_of_the_latest_plain_success_of_a_naive_list(
            size in 1u32..12,
            steps in prop::collection::vec(prop_oneof![
                3 => any_mark().prop_map(Some),
                2 => (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Some(Mark { failed, slow })),
                3 => Just(None),
            ], 0..120),
        ) {
            let mut window = CountWindow::new(NonZeroU32::new(size).unwrap());
            let mut list = Vec::new();
            for step in steps {
                match step {
                    Some(mark) => {
                        window.record(mark);
                        list.push(mark);
                    }
                    None => prop_assert_eq!(window.turn(), turn_in(&mut list, size as usize)),
                }
                let counts = naive(&list, size as usize);
                prop_assert_eq!(window.counts(), counts);
                prop_assert!(counts.failures <= counts.total);
                prop_assert!(window.marks.iter().is_sorted_by(|a, b| a.0 < b.0));
                let mut later = window.clone();
                for passed in 1..=u64::from(size) {
                    later.pass(1);
                    list.push(Mark::default());
                    prop_assert_eq!(later.counts(), naive(&list, size as usize));
                    prop_assert_eq!(window.counts_after(passed), later.counts());
                }
                list.truncate(list.len() - size as usize);
            }
        }
    }

    proptest! {
        /// The list forgets as the window does: what it has once let go it never holds again.
        #[test]
        fn a_window_that_changes_its_size_holds_what_a_list_that_forgets_does(
            sizes in prop::collection::vec(1u32..40, 1..12),
            outcomes in prop::collection::vec((any_mark(), 0usize..40), 0..300),
        ) {
            let mut window = CountWindow::new(NonZeroU32::new(sizes[0]).unwrap());
            let (mut size, mut list) = (sizes[0] as usize, VecDeque::new());
            for (mark, draw) in outcomes {
                window.record(mark);
                list.push_back(mark);
                list.drain(..list.len().saturating_sub(size));
                if let Some(&chosen) = sizes.get(draw) {
                    size = chosen as usize;
                    window.resize(NonZeroU32::new(chosen).unwrap());
                    list.drain(..list.len().saturating_sub(size));
                }
                let held = list.iter().fold(Counts::default(), |mut sum, &mark| {
                    sum += Counts::from(mark);
                    sum
                });
                prop_assert_eq!(window.counts(), held);
                let mut later = window.clone();
                later.pass(window.until_still());
                prop_assert_eq!(later.counts(), still(u32::try_from(size).unwrap()));
            }
        }
    }

    #[test]
    fn a_window_of_failures_has_none_to_turn_and_an_empty_one_neither() {
        let mut window = CountWindow::new(NonZeroU32::new(3).unwrap());
        assert!(!window.turn());
        window.pass(1000);
        for failures in 1..=3 {
            assert!(window.turn());
            assert_eq!(window.counts(), Counts { total: 3, failures, slow: 0 });
        }
        assert!(!window.turn());
        window.pass(2);
        assert_eq!(window.counts().failures, 1, "the latest were turned first, and leave in order");
    }

    #[test]
    fn slides_after_ten_thousand_successes() {
        let mut window = CountWindow::new(NonZeroU32::new(100).unwrap());
        window.pass(10_000);
        for n in 1..=50 {
            window.record(Mark { failed: true, slow: false });
            assert_eq!(window.counts(), Counts { total: 100, failures: n, slow: 0 });
        }
        window.pass(50);
        assert_eq!(window.counts().failures, 50);
        window.pass(1);
        assert_eq!(window.counts().failures, 49);
        window.clear();
        assert_eq!(window.counts(), Counts::default());
    }
}
