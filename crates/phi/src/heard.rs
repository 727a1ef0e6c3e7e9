//! What a heartbeat was to a detector.

/// What a heartbeat was to the detector that was told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// The first of its peer.
    First,
    /// Before its peer would have been convicted.
    OnTime,
    /// After its peer's conviction, or when that was due: a mistake of the detector's.
    Mistake,
    /// The first of a new incarnation, or of a sender whose numbers were seen to begin again.
    Restarted,
    /// Of an earlier incarnation, or with a number not above the highest heard: it says nothing of
    /// now, and suspicion goes on to rise. A peer that is heard of and all of whose heartbeats are
    /// stale was most likely restarted with a lower [incarnation](crate::Heartbeat::incarnation).
    Stale,
}
