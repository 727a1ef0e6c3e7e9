//! The closed state: what is counted, and when it is judged.
//!
//! Most calls succeed, and a plain success (not slow) must not take the lock. The two windows keep
//! it off in two ways: a [count window](count) counts plain successes down in the word, a [time
//! window](time) counts them in stripes. Everything else is entered here, under the lock, and each
//! entry is judged by the rules at once.

pub(crate) mod count;
pub(crate) mod time;

use std::{fmt::Debug, num::NonZeroU32, sync::Arc};

use steadfast_core::{Counts, parts::LatestSuccess};

use self::{
    count::CountClosed,
    time::{TimeClosed, TimeSuccesses},
};
use crate::{
    config::WindowConfig,
    outcome::Entry,
    rules::{ConsecutiveFailures, FailureRun, TripRules},
    state::{Cause, State},
    word::{Published, Word},
};

/// The part of the closed state behind the lock.
#[derive(Debug)]
pub(crate) struct Closed {
    window: Box<dyn ClosedWindow>,
    run: FailureRun,
}

/// What is asked of a window under the lock.
trait ClosedWindow: Debug + Send {
    /// Forgets everything.
    fn clear(&mut self);

    /// Before an entry is taken in: tells plain successes that they count, if they did not so far.
    fn alert(&self, published: &Published, word: Word) -> Word;

    /// Takes in what plain successes have counted up to `word`, then the entry. What it then holds.
    fn take_in(&mut self, word: Word, entry: Entry, now: u64) -> Counts;

    /// Before the rules change: until another word is published, a plain success that the counts
    /// below may miss comes to the lock and judges, or makes that word's exchange fail.
    fn unsettle(&self, published: &Published, word: Word) -> Word;

    /// Changes how many calls the window holds, where that is what it holds.
    fn resize(&mut self, size: NonZeroU32);

    /// `word` with the countdown that fits what the window holds.
    fn next_word(&self, word: Word, counts: Counts, minimum_calls: u64) -> Word;

    /// Looks for plain successes since the last failure.
    fn look(&self, word: Word, now: u64) -> Look;

    /// From now on the last failure is one that is being taken in, after this look.
    fn failed(&mut self, look: Look);

    /// `word` with what successes need to be told of the last outcome.
    fn with_last_failed(&self, word: Word, last_failed: bool) -> Word;

    /// Whether a success that changed the word is still to be noticed, by this change.
    fn notices(&self, before: Word, after: Word) -> bool;

    /// `word` is what calls see from now on.
    fn published(&mut self, published: &Published, word: Word, now: u64);

    /// What the window holds.
    fn counts(&self, word: Word, now: u64) -> Counts;
}

/// What a look for plain successes has found.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Since the last failure.
    succeeded: bool,
    /// Where successes are not counted in the word: to be compared at the next look.
    latest: Option<LatestSuccess>,
}

impl Closed {
    /// With the stripes of the plain successes, where they are not counted in the word.
    pub(crate) fn new(config: WindowConfig, lanes: usize) -> (Self, Option<Arc<TimeSuccesses>>) {
        let (window, successes): (Box<dyn ClosedWindow>, _) = match config {
            WindowConfig::Count(size) => (Box::new(CountClosed::new(size)), None),
            WindowConfig::Time(buckets) => {
                let successes = Arc::new(TimeSuccesses::new(buckets, lanes));
                (Box::new(TimeClosed::new(Arc::clone(&successes))), Some(successes))
            }
        };
        (Self { window, run: FailureRun::default() }, successes)
    }

    /// Starts over in a new epoch; the word to publish.
    pub(crate) fn restart(
        &mut self,
        published: &Published,
        rules: &TripRules,
        epoch: u64,
        dry_run: bool,
    ) -> Word {
        self.run.end();
        let word = Word::new(epoch, State::Closed, dry_run);
        self.window.clear();
        let next = self.window.next_word(word, Counts::default(), rules.minimum_calls);
        self.window.published(published, next, 0);
        next
    }

    /// Makes an entry and judges the window; the cause to open, if there is one.
    ///
    /// Successes may count meanwhile. Those seen when the entry is made came before it, those that
    /// come while the word is being published after it: the window is judged again with them.
    pub(crate) fn enter(
        &mut self,
        published: &Published,
        rules: &TripRules,
        entry: Entry,
        now: u64,
    ) -> Option<Cause> {
        let Self { window, run } = self;
        let word = window.alert(published, published.word());
        if let Some(limit) = rules.consecutive_failures {
            extend_or_end(run, limit, &mut **window, (word, entry, now));
        }
        let counts = window.take_in(word, entry, now);
        self.publish(published, rules, (word, counts), now, true)
    }

    /// Judges by other rules from the next outcome on, over a window of another size if it is
    /// counted in calls.
    ///
    /// The countdown that successes see was made for the old rules: it is made anew, and what was
    /// counted down until then is taken in.
    pub(crate) fn reconfigure(
        &mut self,
        published: &Published,
        rules: &TripRules,
        size: Option<NonZeroU32>,
        now: u64,
    ) {
        let Self { window, run } = self;
        let word = window.unsettle(published, published.word());
        // The next word does not tell of a success before it. A row is not kept while no rule asks
        // for it, or it would go on where it was left.
        if rules.consecutive_failures.is_none() || window.look(word, now).succeeded {
            run.end();
        }
        let mut counts = window.take_in(word, Entry::Nothing, now);
        if let Some(size) = size {
            window.resize(size);
            counts = window.take_in(word, Entry::Nothing, now);
        }
        let _opens_later = self.publish(published, rules, (word, counts), now, false);
    }

    /// The same while the circuit is not closed: there is no word to be made anew.
    pub(crate) fn resize(&mut self, size: Option<NonZeroU32>) {
        if let Some(size) = size {
            self.window.resize(size);
        }
    }

    /// Tells successes what the window and the rules now ask of them; or, if `opens`, returns the
    /// cause to open instead.
    fn publish(
        &mut self,
        published: &Published,
        rules: &TripRules,
        (mut word, mut counts): (Word, Counts),
        now: u64,
        opens: bool,
    ) -> Option<Cause> {
        let Self { window, run } = self;
        loop {
            let cause = rules.judge(counts, *run);
            if opens && cause.is_some() {
                return cause;
            }
            let next = match cause {
                None => window.next_word(word, counts, rules.minimum_calls),
                // To open at the next outcome, even if that is a success.
                Some(_) => word.with_countdown(1, true),
            };
            let next = window.with_last_failed(next, run.failures() > 0);
            let Err(seen) = published.exchange(word, next) else {
                window.published(published, next, now);
                return None;
            };
            // Over nothing, as a weak exchange may, or over a success: it ends failures in a row.
            counts = window.take_in(seen, Entry::Nothing, now);
            if window.notices(word, seen) {
                run.end();
            }
            word = seen;
        }
    }

    /// What the window holds, and the failures in a row.
    pub(crate) fn counts(&self, word: Word, now: u64) -> (Counts, u32) {
        let is_over = self.window.look(word, now).succeeded;
        (self.window.counts(word, now), if is_over { 0 } else { self.run.failures() })
    }
}

/// What the entry makes of the failures in a row. What says nothing of the service leaves them, but
/// a success before it is seen: the word that is published after it tells of it no more.
fn extend_or_end(
    run: &mut FailureRun,
    limit: ConsecutiveFailures,
    window: &mut dyn ClosedWindow,
    (word, entry, now): (Word, Entry, u64),
) {
    let failed = match entry {
        // On the way of a success, which needs no look: the next failure finds it. But for a row
        // that has become long enough by a change of the rules, which the success has ended.
        Entry::Nothing if !limit.are_reached(*run) => return,
        Entry::Nothing => None,
        Entry::Answer(mark) => Some(mark.failed),
        Entry::Hung | Entry::Turned { .. } => None,
    };
    let look = window.look(word, now);
    if look.succeeded || failed == Some(false) {
        run.end();
    }
    if failed == Some(true) {
        window.failed(look);
        run.extend(now);
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use proptest::prelude::*;
    use steadfast_core::{
        Ratio,
        parts::{Buckets, Mark},
    };

    use super::*;

    const RULES: TripRules = TripRules {
        failure_ratio: Some(Ratio::ONE),
        slow_ratio: None,
        consecutive_failures: Some(ConsecutiveFailures {
            limit: NonZeroU32::new(9).unwrap(),
            span: 0,
        }),
        minimum_calls: 3,
    };
    const FAILURE: Entry = Entry::Answer(Mark { failed: true, slow: false });

    fn closed(config: WindowConfig) -> (Published, Closed, Option<Arc<TimeSuccesses>>) {
        let (mut closed, successes) = Closed::new(config, 1);
        let published = Published::new(Word::new(0, State::Closed, false));
        published.change_state(closed.restart(&published, &RULES, 0, false));
        (published, closed, successes)
    }

    fn bits(published: &Published) -> (u32, bool, bool) {
        let word = published.word();
        (word.countdown(), word.to_minimum(), word.last_failed())
    }

    #[test]
    fn the_bits_of_a_count_window() {
        let (published, mut closed, _) = closed(WindowConfig::Count(NonZeroU32::new(5).unwrap()));
        assert_eq!(bits(&published), (3, true, false), "the minimum of calls");
        assert!(!count::success(&published, 0) && !count::success(&published, 0));
        assert!(count::success(&published, 0), "it completes the minimum");
        assert_eq!(closed.enter(&published, &RULES, Entry::SUCCESS, 0), None);
        assert_eq!(bits(&published), (2, false, false), "until the window is full");
        assert_eq!(closed.enter(&published, &RULES, FAILURE, 0), None);
        assert_eq!(bits(&published), (5, false, true), "until the failure has left");
        for left in (0..5).rev() {
            assert!(!count::success(&published, 0));
            assert_eq!(bits(&published), (left, false, false));
        }
        assert!(published.word().is_quiet());
        assert_eq!(closed.counts(published.word(), 0).0, Counts { total: 5, failures: 0, slow: 0 });
    }

    #[test]
    fn the_bits_of_a_time_window() {
        let second = Duration::from_secs(1);
        let buckets = Buckets::new(10 * second, 10).unwrap();
        let (published, mut closed, successes) = closed(WindowConfig::Time(buckets));
        let successes = successes.unwrap();
        assert!(published.word().is_quiet(), "without a mark");
        assert_eq!(closed.enter(&published, &RULES, FAILURE, 0), None);
        assert_eq!(bits(&published), (2, true, false), "what the minimum lacks");
        assert_eq!(closed.counts(published.word(), 0).1, 1, "a failure, and no success since");
        assert!(!successes.success(&published, 0, 0, 0));
        assert_eq!(bits(&published), (1, true, false));
        assert_eq!(closed.counts(published.word(), 0).1, 0, "the success is seen in its stripe");
        assert!(successes.success(&published, 0, 0, 0), "it completes the minimum");
        assert_eq!(closed.enter(&published, &RULES, Entry::Nothing, 0), None);
        assert_eq!(bits(&published), (1, false, false), "a flag");
        assert!(!successes.success(&published, 0, 0, 0), "judged in this bucket already");
        let next = 1_100_000_000;
        assert!(successes.success(&published, 0, 0, next), "the first in its bucket");
        let aged = 20 * next;
        assert_eq!(closed.enter(&published, &RULES, Entry::Nothing, aged), None);
        assert!(published.word().is_quiet(), "the mark has left");
        assert!(!successes.success(&published, 0, 1, aged), "a straggler");
    }

    /// One outcome, or time that passes.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Step {
        Success {
            lane: usize,
        },
        Failure,
        Slow,
        Hung,
        /// One of the successes that were not turned yet.
        Turned(usize),
        Passes(u64),
    }

    /// What a window of the last `size` outcomes, or of so many buckets of a width, holds.
    fn naive(
        list: &[(u64, Mark)],
        timed: bool,
        size: u32,
        now: u64,
        width: u64,
        buckets: u32,
    ) -> Counts {
        let mut counts = Counts::default();
        for (at, mark) in list.iter().rev().take(if timed { usize::MAX } else { size as usize }) {
            if !timed || now / width - at / width < buckets.into() {
                counts += Counts::from(*mark);
            }
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
        /// A success that is turned is counted once, and leaves when it would have.
        #[test]
        fn turned_successes_are_counted_as_a_naive_list_counts_them_under_both_windows(
            timed: bool,
            buckets in 1u32..5,
            minimum_calls in 1u64..4,
            steps in prop::collection::vec(prop_oneof![
                5 => (0usize..3).prop_map(|lane| Step::Success { lane }),
                1 => Just(Step::Failure),
                1 => Just(Step::Slow),
                4 => (0usize..1000).prop_map(Step::Turned),
                2 => prop_oneof![1u64..20, 1u64..100].prop_map(Step::Passes),
            ], 1..80),
        ) {
            let rules = TripRules {
                failure_ratio: None, consecutive_failures: None, minimum_calls, ..RULES
            };
            let (size, width) = (3 + buckets, 10_000_000);
            let config = match timed {
                true => WindowConfig::Time(
                    Buckets::new(Duration::from_nanos(width) * buckets, buckets).unwrap(),
                ),
                false => WindowConfig::Count(NonZeroU32::new(size).unwrap()),
            };
            let (mut closed, successes) = Closed::new(config, 3);
            let published = Published::new(Word::new(0, State::Closed, false));
            published.change_state(closed.restart(&published, &rules, 0, false));
            // What was entered, and when; what can still be turned.
            let (mut now, mut list) = (0, Vec::<(u64, Mark)>::new());
            let mut heads = Vec::<usize>::new();
            for step in steps {
                let mark = match step {
                    Step::Passes(milliseconds) => {
                        now += milliseconds * 1_000_000;
                        continue;
                    }
                    Step::Success { lane } => {
                        let entry = match &successes {
                            Some(successes) => {
                                successes.success(&published, lane, 0, now).then_some(Entry::Nothing)
                            }
                            None => count::success(&published, 0).then_some(Entry::SUCCESS),
                        };
                        if let Some(entry) = entry {
                            prop_assert_eq!(closed.enter(&published, &rules, entry, now), None);
                        }
                        Mark::default()
                    }
                    Step::Turned(which) => {
                        if heads.is_empty() {
                            continue;
                        }
                        let turned = heads.swap_remove(which % heads.len());
                        let entry = Entry::Turned { head: list[turned].0 };
                        prop_assert_eq!(closed.enter(&published, &rules, entry, now), None);
                        // A count window turns the latest plain one, else the latest slow one.
                        let oldest = list.len().saturating_sub(size as usize);
                        let latest = |slow| {
                            let is = |at: &usize| !list[*at].1.failed && list[*at].1.slow == slow;
                            (oldest..list.len()).rev().find(is)
                        };
                        let turned = match timed {
                            true => Some(turned),
                            false => latest(false).or_else(|| latest(true)),
                        };
                        if let Some(turned) = turned {
                            list[turned].1.failed = true;
                        }
                        let counts = closed.counts(published.word(), now).0;
                        prop_assert_eq!(counts, naive(&list, timed, size, now, width, buckets));
                        continue;
                    }
                    step => {
                        let mark =
                            Mark { failed: step == Step::Failure, slow: step == Step::Slow };
                        let entry = Entry::Answer(mark);
                        prop_assert_eq!(closed.enter(&published, &rules, entry, now), None);
                        mark
                    }
                };
                if !mark.failed {
                    heads.push(list.len());
                }
                list.push((now, mark));
                let counts = closed.counts(published.word(), now).0;
                prop_assert_eq!(counts, naive(&list, timed, size, now, width, buckets));
                prop_assert!(counts.failures <= counts.total);
            }
        }

        /// Whatever comes between them, at the same instant or windows apart, on whatever lane.
        #[test]
        fn failures_in_a_row_are_those_since_the_last_success_under_both_windows(
            timed: bool,
            buckets in 1u32..5,
            minimum_calls in 1u64..4,
            steps in prop::collection::vec(prop_oneof![
                3 => (0usize..3).prop_map(|lane| Step::Success { lane }),
                4 => Just(Step::Failure),
                1 => Just(Step::Slow),
                2 => Just(Step::Hung),
                1 => (0usize..1000).prop_map(Step::Turned),
                2 => prop_oneof![1u64..40, 1u64..2_000].prop_map(Step::Passes),
            ], 1..80),
        ) {
            const LIMIT: u32 = 4;
            let limit = NonZeroU32::new(LIMIT).unwrap();
            let consecutive_failures = Some(ConsecutiveFailures { limit, span: 0 });
            let rules =
                TripRules { failure_ratio: None, consecutive_failures, minimum_calls, ..RULES };
            let length = Duration::from_millis(10) * buckets;
            let config = match timed {
                true => WindowConfig::Time(Buckets::new(length, buckets).unwrap()),
                false => WindowConfig::Count(NonZeroU32::new(3 + buckets).unwrap()),
            };
            let (mut closed, successes) = Closed::new(config, 3);
            let published = Published::new(Word::new(0, State::Closed, false));
            published.change_state(closed.restart(&published, &rules, 0, false));
            let (mut now, mut in_a_row) = (0, 0);
            for step in steps {
                let entry = match (step, &successes) {
                    (Step::Passes(milliseconds), _) => {
                        now += milliseconds * 1_000_000;
                        continue;
                    }
                    (Step::Success { lane }, Some(successes)) => {
                        successes.success(&published, lane, 0, now).then_some(Entry::Nothing)
                    }
                    (Step::Success { .. }, None) => {
                        count::success(&published, 0).then_some(Entry::SUCCESS)
                    }
                    (Step::Failure, _) => Some(FAILURE),
                    (Step::Slow, _) => Some(Entry::Answer(Mark { failed: false, slow: true })),
                    (Step::Hung, _) => Some(Entry::Hung),
                    // Of whatever head, it says nothing here.
                    (Step::Turned(_), _) => Some(Entry::Turned { head: now }),
                };
                match step {
                    Step::Failure => in_a_row += 1,
                    Step::Hung | Step::Turned(_) => {}
                    _ => in_a_row = 0,
                }
                let cause =
                    entry.and_then(|entry| closed.enter(&published, &rules, entry, now));
                let opens = cause == Some(Cause::ConsecutiveFailures);
                prop_assert_eq!(opens, in_a_row == LIMIT, "{:?}", step);
                if cause.is_some() {
                    break;
                }
                prop_assert_eq!(closed.counts(published.word(), now).1, in_a_row, "{:?}", step);
            }
        }
    }
}
