//! The error of a fault.

use std::{error::Error, fmt, io, sync::OnceLock};

use steadfast_core::{Grounds, Refusal, RefusalKind};

use crate::FaultKind;

/// The error that a fault is to its caller.
///
/// Of [`CrashedBefore`](FaultKind::CrashedBefore) it says what a refused connection says: the
/// request was not executed. An [`io::Error`] of kind `ConnectionRefused` is in its source chain
/// too, round its [`Grounds`]. Of all others it says that the request may have been executed, as an
/// error that a service answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injected {
    /// Which it is.
    pub kind: FaultKind,
    /// The facts of this refusal as plain data.
    pub grounds: Grounds,
}

/// Not `const` in the struct itself: an `io::Error` is no plain data.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

const NOT_EXECUTED: Grounds = Grounds::not_executed(RefusalKind::Unavailable);

impl Injected {
    /// The error of such a fault.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        let grounds = match kind {
            FaultKind::CrashedBefore => NOT_EXECUTED,
            _ => Grounds::maybe_executed(RefusalKind::Unavailable),
        };
        Self { kind, grounds }
    }
}

impl Refusal for Injected {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

impl Error for Injected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let is_refused = self.kind == FaultKind::CrashedBefore && self.grounds == NOT_EXECUTED;
        if !is_refused {
            return Some(&self.grounds);
        }
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, NOT_EXECUTED);
        Some(REFUSED.get_or_init(refused))
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "injected fault: {}", self.kind)
    }
}
