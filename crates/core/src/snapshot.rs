//! State as plain data.

/// A stateful handle that can say its state as plain data, for dashboards, tests and logs.
///
/// A snapshot is consistent in itself and old as soon as it is made: decide nothing on the request
/// path by it.
pub trait Snapshot {
    /// The plain data.
    type State: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// The state now.
    fn snapshot(&self) -> Self::State;
}
