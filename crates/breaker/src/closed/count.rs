//! The closed state over the last n calls.
//!
//! The window is behind the lock, and plain successes count down in the word. Its bits:
//!
//! - *countdown*: how many further plain successes can still change what the window holds. At 0 a
//!   success reads the word and writes nothing, because a full window without a mark is not changed
//!   by one more success.
//! - *to minimum*: the countdown ends where the window holds the minimum of calls. The success that
//!   completes it is entered under the lock and judged; the others are only counted.
//! - *last failed*: the last outcome was a failure. The next success ends the failures in a row.
//!
//! What is missing from the countdown since then are successes that the window has yet to take in.

use std::num::NonZeroU32;

use steadfast_core::{Counts, parts::CountWindow};

use super::{ClosedWindow, Look};
use crate::{
    outcome::Entry,
    word::{MAX_COUNTDOWN, Published, Word},
};

#[derive(Debug)]
pub(crate) struct CountClosed {
    window: CountWindow,
    /// What of the word's countdown the window has not taken in.
    countdown_from: u32,
}

/// Counts one plain success; or says that it completes the minimum, and must be entered instead.
pub(crate) fn success(published: &Published, epoch: u64) -> bool {
    let mut word = published.word();
    while word.epoch() == epoch && !word.is_quiet() {
        if word.to_minimum() && word.countdown() <= 1 {
            return true;
        }
        // The countdown is above 0: *last failed* is set only beside it, and each step clears it.
        match published.exchange(word, word.passed()) {
            Ok(()) => return false,
            Err(seen) => word = seen,
        }
    }
    false
}

impl CountClosed {
    pub(super) fn new(size: NonZeroU32) -> Self {
        Self { window: CountWindow::new(size), countdown_from: 0 }
    }
}

impl ClosedWindow for CountClosed {
    fn clear(&mut self) {
        self.window.clear();
    }

    /// Every success that counts finds it in the word already.
    fn alert(&self, _published: &Published, word: Word) -> Word {
        word
    }

    fn take_in(&mut self, word: Word, entry: Entry, _now: u64) -> Counts {
        self.window.pass(self.countdown_from.saturating_sub(word.countdown()).into());
        self.countdown_from = word.countdown();
        if let Some(mark) = entry.mark() {
            self.window.record(mark);
        } else if let Entry::Turned { .. } = entry {
            // Whichever it is; where it holds failures alone there is no further one.
            self.window.turn();
        }
        self.window.counts()
    }

    /// It is the exchange that tells: a success that counts down first makes it fail.
    fn unsettle(&self, _published: &Published, word: Word) -> Word {
        word
    }

    fn resize(&mut self, size: NonZeroU32) {
        self.window.resize(size);
    }

    fn next_word(&self, word: Word, counts: Counts, minimum_calls: u64) -> Word {
        let lacking = minimum_calls.saturating_sub(counts.total);
        let countdown = if lacking > 0 { lacking } else { self.window.until_still() };
        // Windows are smaller than the longest countdown, and minimums no larger than windows.
        let countdown = u32::try_from(countdown).unwrap_or(MAX_COUNTDOWN).min(MAX_COUNTDOWN);
        word.with_countdown(countdown, lacking > 0)
    }

    fn look(&self, word: Word, _now: u64) -> Look {
        Look { succeeded: !word.last_failed(), latest: None }
    }

    fn failed(&mut self, _look: Look) {}

    fn with_last_failed(&self, word: Word, last_failed: bool) -> Word {
        word.with_last_failed(last_failed)
    }

    /// What follows is published as if it came after the success.
    fn notices(&self, before: Word, after: Word) -> bool {
        before != after
    }

    fn published(&mut self, _published: &Published, word: Word, _now: u64) {
        self.countdown_from = word.countdown();
    }

    fn counts(&self, word: Word, _now: u64) -> Counts {
        self.window.counts_after(self.countdown_from.saturating_sub(word.countdown()).into())
    }
}
