//! Changing the state. Always under the lock.

use std::time::Duration;

use steadfast_core::Counts;

use super::{Guarded, Shared, nanos};
use crate::{
    probes::Round,
    state::{Cause, State, Transition},
    sync::Ordering,
    window::{Window, countdown},
    word::{MAX_COUNTDOWN, Word},
};

impl Shared {
    pub(super) fn open(&self, guarded: &mut Guarded, word: Word, now: u64, cause: Cause) {
        let delay = self.settings.open_time.delay(guarded.trips, guarded.open_delay, &mut self.splitter.split());
        guarded.open_delay = delay;
        guarded.trips = guarded.trips.saturating_add(1);
        self.hot.open_until.store(now.saturating_add(nanos(delay)), Ordering::Relaxed);
        self.change_state(guarded, word, State::Open, word.is_dry_run(), cause);
    }

    pub(super) fn half_open(&self, guarded: &mut Guarded, word: Word) {
        self.change_state(guarded, word, State::HalfOpen, word.is_dry_run(), Cause::OpenTimePassed);
        guarded.round = Some(Round::default());
    }

    /// The one place where the backoff starts over.
    pub(super) fn close(&self, guarded: &mut Guarded, word: Word, dry_run: bool, cause: Cause) {
        guarded.trips = 0;
        guarded.open_delay = Duration::ZERO;
        self.change_state(guarded, word, State::Closed, dry_run, cause);
    }

    /// Sets the state by hand. To the state it is in already is no transition; a circuit closed by hand starts afresh.
    pub(crate) fn command(&self, to: State, dry_run: bool) {
        self.locked(|guarded| {
            let word = self.word();
            match to {
                State::Closed => self.close(guarded, word, dry_run, Cause::Commanded),
                to => self.change_state(guarded, word, to, false, Cause::Commanded),
            }
        });
    }

    fn change_state(&self, guarded: &mut Guarded, word: Word, to: State, dry_run: bool, cause: Cause) {
        let from = word.state();
        if from != to {
            let transition = Transition { from, to, cause, sequence: guarded.sequence() + 1 };
            guarded.last = Some(transition);
            guarded.news = Some(transition);
        }
        guarded.stirred = true;
        guarded.round = None;
        guarded.run = 0;
        guarded.window.clear();
        let epoch = word.next_epoch();
        if to == State::Closed {
            self.begin_closed(guarded, epoch, dry_run);
        } else {
            self.publish(Word::new(epoch, to, dry_run));
        }
    }

    pub(super) fn begin_closed(&self, guarded: &mut Guarded, epoch: u64, dry_run: bool) {
        let word = Word::new(epoch, State::Closed, dry_run);
        let (word, from) = self.next_word(guarded, word, Counts::default(), false);
        guarded.countdown_from = from;
        self.publish(word);
    }

    /// Pairs with the `Acquire` load of an admission. An exchange and not a store: a success that is counting down at this moment
    /// is then ordered on one side of it for every reader (and for loom, whose plain stores are not ordered with exchanges).
    fn publish(&self, word: Word) {
        self.hot.word.swap(word.0, Ordering::AcqRel);
    }

    /// The word that fits the window as it is now, and where its countdown begins.
    pub(super) fn next_word(&self, guarded: &Guarded, word: Word, counts: Counts, streak: bool) -> (Word, u32) {
        let minimum = self.settings.rules.minimum_calls;
        let streak = streak && self.settings.rules.consecutive_failures.is_some();
        match &guarded.window {
            Window::Count(window) => {
                let (from, examine) = countdown(window, minimum);
                (word.with(from, examine, streak), from)
            }
            Window::Time(_) => {
                let marked = counts.failures + counts.slow > 0;
                let lacking = minimum.saturating_sub(counts.total).min(MAX_COUNTDOWN.into());
                // At most the countdown's maximum, just so.
                let lacking = u32::try_from(lacking).unwrap_or(MAX_COUNTDOWN);
                match (marked, lacking) {
                    (false, _) => (word.with(0, false, streak), 0),
                    (true, 0) => (word.with(1, false, streak), 0),
                    (true, lacking) => (word.with(lacking, true, streak), 0),
                }
            }
        }
    }
}
