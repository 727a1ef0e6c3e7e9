//! The one fact that decides what may be repeated.

/// Whether a failed request may have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// The request certainly did not run: a promise of the layer or the service that says so.
    No,
    /// The request may have run, may be running, or may still run.
    Maybe,
}
