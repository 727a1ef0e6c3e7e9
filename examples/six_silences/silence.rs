//! Why no answer comes.

use std::fmt;

/// Why no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    RequestLost,
    Queued,
    Crashed,
    Busy,
    ReplyLost,
    ReplyLate,
}

pub(crate) const SILENCES: [Silence; 6] = [
    Silence::RequestLost,
    Silence::Queued,
    Silence::Crashed,
    Silence::Busy,
    Silence::ReplyLost,
    Silence::ReplyLate,
];

impl Silence {
    /// Whether the order was executed although its client heard nothing.
    pub(crate) const fn is_executed(self) -> bool {
        !matches!(self, Self::RequestLost | Self::Crashed)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestLost => "the request is lost",
            Self::Queued => "the request is queued",
            Self::Crashed => "the server has crashed",
            Self::Busy => "the server is busy",
            Self::ReplyLost => "the reply is lost",
            Self::ReplyLate => "the reply is late",
        })
    }
}
