//! What may be executed twice.

/// Says whether executing a request twice does no more than executing it once. Closures
/// `Fn(&T) -> bool` say so too.
///
/// It is asked only after a failure that leaves open whether the request was executed. `T` is the
/// request; on HTTP it is the request's head.
pub trait Idempotency<T> {
    /// Whether `request` may be executed twice.
    fn is_idempotent(&self, request: &T) -> bool;
}

impl<T, F: Fn(&T) -> bool> Idempotency<T> for F {
    fn is_idempotent(&self, request: &T) -> bool {
        self(request)
    }
}

/// No request may be executed twice: only those that certainly did not run are sent again.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotIdempotent;

impl<T> Idempotency<T> for NotIdempotent {
    fn is_idempotent(&self, _: &T) -> bool {
        false
    }
}

/// Every request may be executed twice: the caller's word.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysIdempotent;

impl<T> Idempotency<T> for AlwaysIdempotent {
    fn is_idempotent(&self, _: &T) -> bool {
        true
    }
}
