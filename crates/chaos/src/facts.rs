//! What a plan is told of a request.

use std::time::Duration;

/// What is known of a request when it is decided.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// Since the plan was turned on.
    pub elapsed: Duration,
    /// What the user calls this kind of request, for the rules that strike only some.
    pub tag: Option<&'a str>,
    /// What the user knows the request by: then draws go by it, and not by the number.
    pub key: Option<u64>,
}

impl<'a> Facts<'a> {
    /// Of a request that comes so long after the plan was turned on.
    #[must_use]
    pub const fn at(elapsed: Duration) -> Self {
        Self { elapsed, tag: None, key: None }
    }

    /// Of a request that the user calls so.
    #[must_use]
    pub const fn tag(self, tag: &'a str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// Of a request that the user knows by this key.
    #[must_use]
    pub const fn key(self, key: u64) -> Self {
        Self { key: Some(key), ..self }
    }
}
