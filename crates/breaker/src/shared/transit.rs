//! Changing the state. Always under the lock.

use std::time::Duration;

use super::{Guarded, Shared};
use crate::{
    config::nanos,
    probes::Round,
    state::{Cause, State, Transition},
    word::Word,
};

impl Shared {
    pub(super) fn open(&self, guarded: &mut Guarded, word: Word, now: u64, cause: Cause) {
        let open_time = guarded.settings.open_time;
        let delay = nanos(open_time.draw(guarded.trips, &self.splitter));
        // What a service says of itself may lengthen the open time, and not beyond the longest.
        let told = guarded.told_until.map_or(0, |until| until.saturating_sub(now));
        let delay = delay.max(told.min(nanos(open_time.longest())));
        if word.is_closed() {
            // The word as it is now: the entry that opens has published another.
            guarded.counts_at_trip = Some(guarded.closed.counts(self.word(), now).0);
        }
        guarded.trips = guarded.trips.saturating_add(1);
        self.published.set_open_until(now.saturating_add(delay));
        self.change_state(guarded, word, State::Open, word.is_dry_run(), cause);
    }

    pub(super) fn half_open(&self, guarded: &mut Guarded, word: Word) {
        self.change_state(guarded, word, State::HalfOpen, word.is_dry_run(), Cause::OpenTimePassed);
        guarded.round = Some(Round::default());
    }

    /// The one place where the backoff starts over.
    pub(super) fn close(&self, guarded: &mut Guarded, word: Word, dry_run: bool, cause: Cause) {
        guarded.trips = 0;
        self.change_state(guarded, word, State::Closed, dry_run, cause);
    }

    /// Sets the state by hand. To the same state is no transition; closed by hand starts afresh.
    pub(crate) fn command(&self, to: State, dry_run: bool) {
        self.locked(|guarded| {
            let word = self.word();
            match to {
                State::Closed => self.close(guarded, word, dry_run, Cause::Commanded),
                to => self.change_state(guarded, word, to, false, Cause::Commanded),
            }
        });
    }

    /// Opens by hand, for as long as is said; then probes decide. It is no trip of the rules: the
    /// open time that they would draw next stays what it was.
    pub(crate) fn open_for(&self, time: Duration) {
        let now = self.now();
        self.locked(|guarded| {
            self.published.set_open_until(now.saturating_add(nanos(time)));
            self.change_state(guarded, self.word(), State::Open, false, Cause::Commanded);
        });
    }

    fn change_state(
        &self,
        guarded: &mut Guarded,
        word: Word,
        to: State,
        dry_run: bool,
        cause: Cause,
    ) {
        guarded.round = None;
        guarded.told_until = None;
        guarded.wake_waiters = true;
        let epoch = word.next_epoch();
        self.published.change_state(match to {
            State::Closed => {
                guarded.closed.restart(&self.published, &guarded.settings.rules, epoch, dry_run)
            }
            _ => Word::new(epoch, to, dry_run),
        });
        let from = word.state();
        if from != to {
            let transition =
                Transition { from, to, cause, sequence: self.transitions.sequence() + 1 };
            guarded.last_cause = Some(cause);
            // Under the lock, which keeps transitions in order.
            guarded.unreported.push((transition, self.transitions.publish(transition)));
        }
    }
}
