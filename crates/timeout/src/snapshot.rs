//! What a limit says of itself.

use std::time::Duration;

/// A limit's state as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitSnapshot {
    /// What a request is given.
    pub limit: Duration,
    /// The quantile, the average, or SRTT; `None` while there are too few samples, and for a fixed
    /// limit. While calls expire the last one stays, though its samples age out.
    pub estimate: Option<Duration>,
    /// How many samples the estimate rests on; 0 for RFC 6298 and for a fixed limit, which count
    /// none.
    pub samples: u64,
    /// The peak that is held since an exploration found an answer beyond the limit; without
    /// explorations, since a timeout.
    pub held: Option<Duration>,
    /// How many calls were let go on beyond their limit so far.
    pub explorations: u64,
    /// RFC 6298: how many times the limit was doubled since the last fresh sample.
    pub doublings: u32,
}
