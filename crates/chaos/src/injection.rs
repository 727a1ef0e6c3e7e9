//! One fault that was decided, until it is known whether it could be done.

use std::{fmt, sync::Arc};

use crate::{
    Strike,
    tally::{End, Tally},
    telemetry::Telemetry,
};

/// A fault on its way to a request: it owes one verdict, [`done`](Self::done) or none.
///
/// Dropped without [`done`](Self::done) it is counted as skipped: the reply has no body to cut, the
/// service failed by itself, the caller left before there was a reply to lose.
#[must_use = "a fault that is dropped is counted as skipped"]
pub struct Injection {
    strike: Strike,
    telemetry: Arc<Telemetry>,
    /// Of the rule that struck, in the plan that it stood in.
    tally: Arc<Tally>,
    end: End,
}

impl Injection {
    pub(crate) const fn new(strike: Strike, telemetry: Arc<Telemetry>, tally: Arc<Tally>) -> Self {
        Self { strike, telemetry, tally, end: End::Skipped }
    }

    /// Counts the fault as injected: what it does to the request or the reply has begun.
    pub fn done(mut self) {
        self.end = End::Struck;
    }

    /// What was decided.
    #[must_use]
    pub const fn strike(&self) -> &Strike {
        &self.strike
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        self.tally.count(self.end);
        self.telemetry.ended(&self.tally, self.strike.number, self.end);
    }
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injection").field("strike", &self.strike).finish_non_exhaustive()
    }
}
