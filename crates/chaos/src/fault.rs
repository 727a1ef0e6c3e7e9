//! What can happen to a request.

use std::{fmt, time::Duration};

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

    /// How long it is for a number from 0 up to 1: a [`Strike`](crate::Strike)'s own, or one drawn
    /// for each chunk of a stream.
    #[must_use]
    pub fn length(&self, chance: f64) -> Duration {
        // NaN, which no range holds, is the caller's mistake and no panic.
        let chance = if (0.0..=1.0).contains(&chance) { chance } else { 0.0 };
        // In floating point the longest jitter is a little longer than the type holds.
        let jitter = Duration::try_from_secs_f64(self.jitter.as_secs_f64() * chance);
        self.least.saturating_add(jitter.unwrap_or(self.jitter))
    }

    pub(crate) const fn is_zero(&self) -> bool {
        self.least.is_zero() && self.jitter.is_zero()
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
    /// How long it holds a request or its reply up, for the faults that do.
    #[must_use]
    pub const fn delay(&self) -> Option<Delay> {
        match *self {
            Self::Queued(delay)
            | Self::Busy(delay)
            | Self::ReplyLate(delay)
            | Self::SlowBody(delay) => Some(delay),
            Self::RequestLost
            | Self::CrashedBefore
            | Self::ReplyLost
            | Self::Duplicated
            | Self::Error
            | Self::BitFlipped
            | Self::BodyCut
            | Self::Byzantine => None,
        }
    }

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

impl FaultKind {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::RequestLost,
        Self::Queued,
        Self::CrashedBefore,
        Self::Busy,
        Self::ReplyLost,
        Self::ReplyLate,
        Self::Duplicated,
        Self::Error,
        Self::BitFlipped,
        Self::BodyCut,
        Self::SlowBody,
        Self::Byzantine,
    ];

    /// What it is called in plan files, metrics and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestLost => "request_lost",
            Self::Queued => "queued",
            Self::CrashedBefore => "crashed_before",
            Self::Busy => "busy",
            Self::ReplyLost => "reply_lost",
            Self::ReplyLate => "reply_late",
            Self::Duplicated => "duplicated",
            Self::Error => "error",
            Self::BitFlipped => "bit_flipped",
            Self::BodyCut => "body_cut",
            Self::SlowBody => "slow_body",
            Self::Byzantine => "byzantine",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
