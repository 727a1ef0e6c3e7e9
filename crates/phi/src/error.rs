//! What is refused.

use std::time::Duration;

use steadfast_core::{Grounds, HandleName, Refusal, RefusalKind};

/// The peer is taken for dead: the request was refused and never reached it.
///
/// `retry_after` in its grounds is the time until the next request is let through on trial; the
/// peer may be heard of before. Of a detector that was [named](crate::DetectorConfig::named) it
/// says the name: `peer of "stores" suspected, phi 9.5`. A caller at the other end of HTTP or gRPC
/// is not told it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("peer {}suspected, phi {phi:.1}", of(self.grounds.handle))]
#[non_exhaustive]
pub struct Suspected {
    /// The suspicion when the request came.
    pub phi: f64,
    /// The facts of this refusal as plain data.
    #[source]
    pub grounds: Grounds,
}

impl Suspected {
    /// A refusal at `phi`, with the time after which it makes sense to come back.
    #[must_use]
    pub const fn new(phi: f64, retry_after: Option<Duration>) -> Self {
        let grounds = Grounds::not_executed(RefusalKind::Unavailable);
        Self { phi, grounds: grounds.with_retry_after(retry_after) }
    }

    /// The same refusal by the detector of this name.
    #[must_use]
    pub const fn with_handle(self, handle: Option<HandleName>) -> Self {
        Self { grounds: self.grounds.with_handle(handle), ..self }
    }
}

impl Refusal for Suspected {
    fn grounds(&self) -> Grounds {
        self.grounds
    }

    fn detail(&self) -> String {
        self.with_handle(None).to_string()
    }
}

fn of(handle: Option<HandleName>) -> String {
    handle.map(|name| format!("of {name} ")).unwrap_or_default()
}

/// The detector watches as many peers as it may: the peer was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the detector is full: {capacity} peers")]
#[non_exhaustive]
pub struct DetectorFull {
    /// How many peers it may watch.
    pub capacity: usize,
}

impl DetectorFull {
    /// As said by a detector of at most `capacity` peers.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity }
    }
}
