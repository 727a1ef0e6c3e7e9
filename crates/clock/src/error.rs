//! What can keep a clock from stamping.

use std::time::Duration;

use steadfast_core::{ConfigError, parts::Rounded};

use crate::{HighWaterError, Timestamp};

/// A stamp is too far ahead of the wall clock to be believed, and the clock was left as it was.
///
/// Either the sender's clock is wrong, or this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stamp {remote} is {} further ahead than is allowed", Rounded(*.excess))]
#[non_exhaustive]
pub struct DriftTooLarge {
    /// The stamp that was refused.
    pub remote: Timestamp,
    /// How far it lies beyond what is allowed. It would be accepted so much later, unless it lies
    /// beyond [`Physical::LIMIT`](crate::Physical::LIMIT).
    pub excess: Duration,
}

impl DriftTooLarge {
    /// `remote` lies `excess` beyond the limit.
    #[must_use]
    pub const fn new(remote: Timestamp, excess: Duration) -> Self {
        Self { remote, excess }
    }
}

/// Why a [`HybridClock`](crate::HybridClock) did not stamp an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The stamp that was received is not to be believed.
    #[error(transparent)]
    DriftTooLarge(#[from] DriftTooLarge),
    /// The stamp could not be given out, because a restart might have given it out again.
    #[error(transparent)]
    HighWater(#[from] HighWaterError),
}

/// Why a [`PersistentHlc`](crate::PersistentHlc) could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration cannot work, or the stored mark (in the field `high_water`) lies further
    /// beyond [`Physical::LIMIT`](crate::Physical::LIMIT) than any that is stored.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be read.
    #[error(transparent)]
    HighWater(#[from] HighWaterError),
}
