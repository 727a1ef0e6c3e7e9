//! Which limit a request has.

use crate::TimeLimit;

/// Chooses the limit of a request.
///
/// A [`TimeLimit`] is the limit of every request. With the feature `keyed`, `PerKey` keeps one for
/// each key. A type of your own can choose by whatever latency depends on, such as the size of the
/// request.
pub trait Limits<Req> {
    /// Hands the request's limit to `then`, and returns what that returns.
    fn with<T>(&self, request: &Req, then: impl FnOnce(&TimeLimit) -> T) -> T;
}

impl<Req> Limits<Req> for TimeLimit {
    #[inline]
    fn with<T>(&self, _: &Req, then: impl FnOnce(&TimeLimit) -> T) -> T {
        then(self)
    }
}
