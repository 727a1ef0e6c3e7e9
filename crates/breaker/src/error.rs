//! The refusal.

use std::{error::Error, fmt, time::Duration};

use steadfast_core::{Grounds, Refusal, RefusalKind};

/// The circuit is open: the request was refused and never reached the service.
///
/// `retry_after` is what is left of the open time; `None` while probes are under way or the circuit is forced open, when nobody
/// knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitOpen {
    grounds: Grounds,
}

impl CircuitOpen {
    /// A refusal with the time after which it makes sense to come back.
    #[must_use]
    pub const fn new(retry_after: Option<Duration>) -> Self {
        Self { grounds: Grounds::not_executed(RefusalKind::Unavailable).with_retry_after(retry_after) }
    }
}

impl Refusal for CircuitOpen {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("circuit open")
    }
}

impl Error for CircuitOpen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.grounds)
    }
}
