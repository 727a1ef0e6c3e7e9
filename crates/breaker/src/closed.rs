//! The closed state: what is counted, and when it is judged.
//!
//! Most calls succeed, and a plain success (not slow) must not take the lock. The two windows keep
//! it off in two ways: a [count window](count) counts plain successes down in the word, a [time
//! window](time) counts them in stripes. Everything else is entered here, under the lock, and each
//! entry is judged by the rules at once.

pub(crate) mod count;
pub(crate) mod time;

use std::{fmt::Debug, sync::Arc};

use steadfast_core::{Counts, parts::Mark};

use self::{
    count::CountClosed,
    time::{TimeClosed, TimeSuccesses},
};
use crate::{
    config::WindowConfig,
    outcome::Entry,
    rules::TripRules,
    state::{Cause, State},
    word::{Published, Word},
};

/// The part of the closed state behind the lock.
#[derive(Debug)]
pub(crate) struct Closed {
    window: Box<dyn ClosedWindow>,
    failures_in_a_row: u32,
}

/// What is asked of a window under the lock.
trait ClosedWindow: Debug + Send {
    /// Forgets everything.
    fn clear(&mut self);

    /// Before a mark is taken in: tells plain successes that they count, if they did not so far.
    fn alert(&self, published: &Published, word: Word) -> Word;

    /// Takes in what plain successes have counted up to `word`, then the mark. What it then holds.
    fn take_in(&mut self, word: Word, mark: Option<Mark>, now: u64) -> Counts;

    /// `word` with the countdown that fits what the window holds.
    fn next_word(&self, word: Word, counts: Counts, minimum_calls: u64) -> Word;

    /// `word` is what calls see from now on.
    fn published(&mut self, published: &Published, word: Word, now: u64);

    /// What the window holds.
    fn counts(&self, word: Word, now: u64) -> Counts;
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
        (Self { window, failures_in_a_row: 0 }, successes)
    }

    /// Starts over in a new epoch; the word to publish.
    pub(crate) fn restart(&mut self, published: &Published, rules: &TripRules, epoch: u64, dry_run: bool) -> Word {
        self.failures_in_a_row = 0;
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
    pub(crate) fn enter(&mut self, published: &Published, rules: &TripRules, entry: Entry, now: u64) -> Option<Cause> {
        let Self { window, failures_in_a_row } = self;
        let mut word = window.alert(published, published.word());
        if !word.last_failed() {
            *failures_in_a_row = 0;
        }
        if let Entry::Answer(mark) = entry {
            *failures_in_a_row = if mark.failed { failures_in_a_row.saturating_add(1) } else { 0 };
        }
        let mut counts = window.take_in(word, entry.mark(), now);
        loop {
            if let Some(cause) = rules.judge(counts, *failures_in_a_row) {
                return Some(cause);
            }
            let last_failed = *failures_in_a_row > 0 && rules.consecutive_failures.is_some();
            let next = window.next_word(word, counts, rules.minimum_calls).with_last_failed(last_failed);
            let Err(seen) = published.exchange(word, next) else {
                window.published(published, next, now);
                return None;
            };
            // Over nothing, as a weak exchange may, or over a success: it ends failures in a row.
            counts = window.take_in(seen, None, now);
            if seen != word {
                *failures_in_a_row = 0;
            }
            word = seen;
        }
    }

    /// What the window holds, and the failures in a row.
    pub(crate) fn counts(&self, word: Word, now: u64) -> (Counts, u32) {
        (self.window.counts(word, now), if word.last_failed() { self.failures_in_a_row } else { 0 })
    }
}
