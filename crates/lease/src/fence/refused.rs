//! The refusal.

use std::{fmt, time::Duration};

use steadfast_core::{FencingToken, Grounds, HandleName, Refusal, RefusalKind};

/// A call did not pass the fence of its resource.
///
/// But for [`Overtaken`](FencedReason::Overtaken) and [`Broken`](FencedReason::Broken) it was not
/// executed. A holder whose call is stale has lost its lease, whatever it believes: it acquires
/// anew, above the [`highest`](Self::highest) token.
///
/// Of fences that were [named](crate::FenceConfig::named) it says the name: `fence "accounts":
/// fenced: token 3 is stale, the highest is 4`. A caller at the other end of HTTP or gRPC is not
/// told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", named(self.grounds.handle))]
#[non_exhaustive]
pub struct Fenced {
    /// Why.
    pub reason: FencedReason,
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

/// Why a call did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FencedReason {
    /// Its token is below the highest that the resource has seen. HTTP 412, final.
    Stale {
        /// The call's token.
        presented: FencingToken,
        /// The highest.
        highest: FencingToken,
    },
    /// Its token is the highest, and its number is not above the highest number under it, or it has
    /// none. HTTP 412, final: a repetition has a number of its own.
    OutOfOrder {
        /// The token.
        token: FencingToken,
        /// The call's number.
        presented: Option<u64>,
        /// The highest number.
        highest: u64,
    },
    /// A newer call came while it ran, and it was cancelled: it may have been executed. HTTP 412,
    /// final.
    Overtaken {
        /// The call's token.
        presented: FencingToken,
        /// The highest: the same, where the newer call is one of the same holder.
        highest: FencingToken,
    },
    /// It has no token. HTTP 428, final.
    Missing,
    /// What it has for a token or a number is none. HTTP 400, final.
    Malformed,
    /// Its token is greater than is believed. HTTP 422, final.
    TooFarAhead {
        /// The call's token.
        presented: FencingToken,
        /// The greatest that is believed.
        most: FencingToken,
    },
    /// Older calls did not end in time. Its token is the highest from now on, so no more of them
    /// come. HTTP 409 with a time to come back.
    Busy,
    /// The name of its resource is empty, or longer than 255 bytes. HTTP 422, final.
    Unnamed,
    /// No more resources can be remembered, and none is forgotten. HTTP 503.
    Full,
    /// Its token could not be written down. HTTP 503.
    NotStored,
    /// Too many calls run apart from their callers, or those were shut down. HTTP 503.
    NoPlace,
    /// The task that it ran in was ended by a panic, a limit or the end of its runtime: it may have
    /// been executed. HTTP 503.
    Broken,
}

impl Fenced {
    /// The token is below the highest.
    #[must_use]
    pub const fn stale(presented: FencingToken, highest: FencingToken) -> Self {
        Self::not(FencedReason::Stale { presented, highest }, RefusalKind::Stale)
    }

    /// The number is not above the highest under this token.
    #[must_use]
    pub const fn out_of_order(token: FencingToken, presented: Option<u64>, highest: u64) -> Self {
        Self::not(FencedReason::OutOfOrder { token, presented, highest }, RefusalKind::Stale)
    }

    /// A newer call came while it ran.
    #[must_use]
    pub const fn overtaken(presented: FencingToken, highest: FencingToken) -> Self {
        Self::perhaps(FencedReason::Overtaken { presented, highest }, RefusalKind::Stale)
    }

    /// There is no token.
    #[must_use]
    pub const fn missing() -> Self {
        Self::not(FencedReason::Missing, RefusalKind::PreconditionRequired)
    }

    /// The token or the number cannot be read.
    #[must_use]
    pub const fn malformed() -> Self {
        Self::not(FencedReason::Malformed, RefusalKind::Malformed)
    }

    /// The token is greater than is believed.
    #[must_use]
    pub const fn too_far_ahead(presented: FencingToken, most: FencingToken) -> Self {
        Self::not(FencedReason::TooFarAhead { presented, most }, RefusalKind::Unacceptable)
    }

    /// Older calls did not end in time; come back after this time.
    #[must_use]
    pub const fn busy(after: Duration) -> Self {
        let grounds = Grounds::not_executed(RefusalKind::Conflict).with_retry_after(Some(after));
        Self { reason: FencedReason::Busy, grounds }
    }

    /// The name of the resource is empty or too long.
    #[must_use]
    pub const fn unnamed() -> Self {
        Self::not(FencedReason::Unnamed, RefusalKind::Unacceptable)
    }

    /// No more resources can be remembered.
    #[must_use]
    pub const fn full() -> Self {
        Self::not(FencedReason::Full, RefusalKind::Unavailable)
    }

    /// The token could not be written down.
    #[must_use]
    pub const fn not_stored() -> Self {
        Self::not(FencedReason::NotStored, RefusalKind::Unavailable)
    }

    /// There is no place to run it apart from its caller.
    #[must_use]
    pub const fn no_place() -> Self {
        Self::not(FencedReason::NoPlace, RefusalKind::Unavailable)
    }

    /// The task that it ran in came to no end of its own.
    #[must_use]
    pub const fn broken() -> Self {
        Self::perhaps(FencedReason::Broken, RefusalKind::Unavailable)
    }

    /// The highest token of the resource, where the call was refused for it: the floor of the next
    /// acquisition.
    #[must_use]
    pub const fn highest(&self) -> Option<FencingToken> {
        match self.reason {
            FencedReason::Stale { highest, .. } | FencedReason::Overtaken { highest, .. } => {
                Some(highest)
            }
            FencedReason::OutOfOrder { token, .. } => Some(token),
            _ => None,
        }
    }

    /// The same refusal by the fence of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle), ..self }
    }

    const fn not(reason: FencedReason, kind: RefusalKind) -> Self {
        Self { reason, grounds: Grounds::not_executed(kind) }
    }

    const fn perhaps(reason: FencedReason, kind: RefusalKind) -> Self {
        Self { reason, grounds: Grounds::maybe_executed(kind) }
    }
}

impl Refusal for Fenced {
    fn grounds(&self) -> Grounds {
        self.grounds
    }

    fn detail(&self) -> String {
        self.reason.to_string()
    }
}

fn named(handle: Option<HandleName>) -> String {
    handle.map(|name| format!("fence {name}: ")).unwrap_or_default()
}

impl fmt::Display for FencedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { presented, highest } => {
                write!(f, "fenced: token {presented} is stale, the highest is {highest}")
            }
            Self::OutOfOrder { token, presented: Some(presented), highest } => write!(
                f,
                "fenced: call {presented} under token {token} is out of order, the highest is \
                 {highest}"
            ),
            Self::OutOfOrder { token, presented: None, highest } => write!(
                f,
                "fenced: a call without a number under token {token}, whose highest is {highest}"
            ),
            Self::Overtaken { presented, highest } => {
                write!(f, "fenced: token {presented} was overtaken by {highest}")
            }
            Self::Missing => f.write_str("a fencing token is required"),
            Self::Malformed => f.write_str("the fencing token or the number of the call is none"),
            Self::TooFarAhead { presented, most } => {
                write!(f, "token {presented} is too far ahead, the greatest believed is {most}")
            }
            Self::Busy => f.write_str("older calls to the resource have not ended"),
            Self::Unnamed => f.write_str("the resource's name is empty or too long"),
            Self::Full => f.write_str("no more resources can be fenced"),
            Self::NotStored => f.write_str("the fencing token could not be written down"),
            Self::NoPlace => f.write_str("no place to run the call in"),
            Self::Broken => f.write_str("the call was broken off"),
        }
    }
}
