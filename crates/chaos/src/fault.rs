//! What can happen to a request.

use std::time::Duration;

/// What happens to a request.
///
/// The first six look the same to a caller that waits for an answer, and are not.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Never delivered: the caller hears nothing.
    RequestLost,
    /// Delivered late.
    Queued(Delay),
    /// The server was gone before it came: refused or reset, not executed.
    CrashedBefore,
    /// Delivered at once, executed, and answered so much later.
    Busy(Delay),
    /// Executed, and the caller hears nothing.
    ReplyLost,
    /// Executed at once, and the reply is under way for so long.
    ReplyLate(Delay),
    /// Delivered twice, executed twice: the caller hears one of the replies.
    Duplicated,
    /// Not delivered: an error, or a status, of the user's.
    Error,
    /// Executed, and the reply has a bit that is flipped.
    BitFlipped,
    /// Executed, and the reply breaks off in the middle.
    BodyCut,
    /// Executed, and the reply stalls in the middle for so long.
    SlowBody(Delay),
    /// Executed, and another valid reply takes the place of the right one.
    Byzantine,
}

/// How long: `least`, and up to `jitter` more, drawn evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    pub(crate) least: Duration,
    pub(crate) jitter: Duration,
}

impl Delay {
    /// Always so long.
    #[must_use]
    pub const fn of(least: Duration) -> Self {
        Self { least, jitter: Duration::ZERO }
    }

    /// Up to so much longer, drawn evenly.
    #[must_use]
    pub const fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }
}

/// A [`Fault`] without its numbers: what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// See [`Fault::RequestLost`].
    RequestLost,
    /// See [`Fault::Queued`].
    Queued,
    /// See [`Fault::CrashedBefore`].
    CrashedBefore,
    /// See [`Fault::Busy`].
    Busy,
    /// See [`Fault::ReplyLost`].
    ReplyLost,
    /// See [`Fault::ReplyLate`].
    ReplyLate,
    /// See [`Fault::Duplicated`].
    Duplicated,
    /// See [`Fault::Error`].
    Error,
    /// See [`Fault::BitFlipped`].
    BitFlipped,
    /// See [`Fault::BodyCut`].
    BodyCut,
    /// See [`Fault::SlowBody`].
    SlowBody,
    /// See [`Fault::Byzantine`].
    Byzantine,
}

impl Fault {
    /// Which it is.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::RequestLost => FaultKind::RequestLost,
            Self::Queued(_) => FaultKind::Queued,
            Self::CrashedBefore => FaultKind::CrashedBefore,
            Self::Busy(_) => FaultKind::Busy,
            Self::ReplyLost => FaultKind::ReplyLost,
            Self::ReplyLate(_) => FaultKind::ReplyLate,
            Self::Duplicated => FaultKind::Duplicated,
            Self::Error => FaultKind::Error,
            Self::BitFlipped => FaultKind::BitFlipped,
            Self::BodyCut => FaultKind::BodyCut,
            Self::SlowBody(_) => FaultKind::SlowBody,
            Self::Byzantine => FaultKind::Byzantine,
        }
    }
}
