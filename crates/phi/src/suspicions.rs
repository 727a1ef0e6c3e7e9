//! What one observer says of its peers.

/// What one observer says of its peers at one instant: plain data for other observers, to be
/// decided by a quorum of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suspicions<K> {
    /// The peers that were heard of, and whether each is convicted. In no order.
    pub peers: Vec<(K, bool)>,
    /// Grows with each report of one detector's. It begins at 1: an observer that restarts adds a
    /// base of its own, such as its wall clock at the start.
    pub sequence: u64,
}
