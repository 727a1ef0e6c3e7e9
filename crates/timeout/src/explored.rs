//! How an exploration ends: of a call, or of a body that waits for its next frame.

use std::time::Instant;

use steadfast_core::Deadline;

use crate::{
    explorers::Exploration,
    shared::{CLOCK, Shared},
    telemetry::Explored,
};

impl Shared {
    /// What an explorer waited for since `since` has come, and `answered`, or has failed.
    #[cold]
    #[inline(never)]
    pub(crate) fn explored(&self, since: Instant, exploration: &Exploration, answered: bool) {
        let now = CLOCK.now();
        let latency = now.saturating_duration_since(since);
        self.explorer_ended(exploration, latency);
        if answered && latency <= exploration.until {
            self.explorer_found(now, latency);
            self.telemetry.explored(Explored::Answered);
        } else {
            if answered {
                self.late();
            }
            self.telemetry.explored(Explored::Interrupted);
        }
        self.show(now);
    }

    /// An explorer's timer has rung.
    #[cold]
    pub(crate) fn explored_in_vain(&self, since: Instant, exploration: &Exploration) {
        let until = Deadline::after(since, exploration.until).instant();
        // Where the process stood still for as long as the exploration was to last, the answer had
        // no time to come.
        let overdue = CLOCK.now().saturating_duration_since(until);
        if exploration.tells() && overdue < exploration.length() {
            self.explorer_in_vain(until, exploration);
            self.telemetry.explored(Explored::InVain);
        } else {
            self.explorer_ended(exploration, exploration.until);
            self.telemetry.explored(Explored::Interrupted);
        }
    }

    /// An explorer was given up by its caller, who says nothing: it only gives its place back.
    #[cold]
    pub(crate) fn exploring_ended(&self, since: Instant, exploration: &Exploration) {
        let waited = CLOCK.now().saturating_duration_since(since);
        self.explorer_ended(exploration, waited);
        self.telemetry.explored(Explored::Interrupted);
    }
}
