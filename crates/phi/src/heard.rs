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
    /// The first of a new incarnation.
    Restarted,
    /// Of an earlier incarnation, or with a number not above the highest heard: it says nothing of
    /// now, and nothing was changed.
    Stale,
}
