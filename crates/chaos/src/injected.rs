//! The error of a fault.

use steadfast_core::{Grounds, Refusal, RefusalKind};

use crate::FaultKind;

/// The error that a fault is to its caller: the service never saw the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("injected fault: {kind:?}")]
#[non_exhaustive]
pub struct Injected {
    /// Which it is.
    pub kind: FaultKind,
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

impl Injected {
    /// The error of such a fault.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self { kind, grounds: Grounds::not_executed(RefusalKind::Unavailable) }
    }
}

impl Refusal for Injected {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}
