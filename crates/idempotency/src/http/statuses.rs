//! Refusals with statuses of the program's own.

use std::error::Error;

use bytes::Bytes;
use http::{Response, StatusCode};
use steadfast_core::{
    Refusal,
    http::{Problem, Render, response_with},
};

use crate::{Reason, Refused};

/// Renders refusals as [`Problem`] does, those of this layer with statuses of the program's own:
/// where an API has always answered a used key with 400, say.
///
/// ```
/// use http::StatusCode;
/// use steadfast_core::http::RespondLayer;
/// use steadfast_idempotency::{Reason, http::{IdempotencyLayer, Statuses}};
/// # let handle = steadfast_idempotency::Idempotency::new(
/// #     steadfast_idempotency::IdempotencyConfig::new(),
/// #     steadfast_idempotency::MemoryStore::new(steadfast_idempotency::MemoryConfig::new())?,
/// # )?;
/// let statuses = Statuses::new().of(Reason::Mismatch, StatusCode::BAD_REQUEST);
/// let layer = RespondLayer::new(IdempotencyLayer::unscoped(handle), statuses);
/// # Ok::<_, steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Statuses(Vec<(Reason, StatusCode)>);

impl Statuses {
    /// Those of [`Problem`].
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A refusal for this reason has this status. The later word counts.
    pub fn of(mut self, reason: Reason, status: StatusCode) -> Self {
        self.0.retain(|(other, _)| *other != reason);
        self.0.push((reason, status));
        self
    }
}

impl Render for Statuses {
    fn render(&self, refusal: &dyn Refusal) -> Response<Bytes> {
        let error: &(dyn Error + 'static) = refusal;
        let reason = error.downcast_ref::<Refused>().map(|refused| refused.reason);
        match self.0.iter().find(|(other, _)| Some(*other) == reason) {
            Some((_, status)) => response_with(*status, refusal),
            None => Problem.render(refusal),
        }
    }
}
