//! What a fault is, in the terms of a service.

use crate::{Injected, Strike};

/// What faults are in the terms of a service: its errors, its replies, its requests.
///
/// [`Plain`] knows nothing of a service but its error. Write your own, or take `Http`, for more.
pub trait Protocol<Req, Res, Err> {
    /// What the layer answers: the service's response, or one that can break.
    type Response;

    /// The response of a request that meets no fault in its reply.
    fn pass(&self, response: Res) -> Self::Response;

    /// What a caller sees whose connection was refused or reset, and of an `Error` fault.
    ///
    /// # Errors
    /// As the service fails.
    fn fail(&self, injected: Injected, strike: &Strike) -> Result<Self::Response, Err>;

    /// A second copy of the request. `None` if it cannot be had: the fault is counted as skipped.
    fn duplicate(&self, request: &Req) -> Option<Req> {
        let _ = request;
        None
    }

    /// The reply, spoilt as the strike says: a flipped bit, a cut, a stall, another valid answer.
    ///
    /// # Errors
    /// Gives the reply back where that cannot be done: the fault is counted as skipped.
    fn spoil(&self, response: Res, strike: &Strike) -> Result<Self::Response, Res> {
        let _ = strike;
        Err(response)
    }
}

/// Any service whose error can be made of [`Injected`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl<Req, Res, Err: From<Injected>> Protocol<Req, Res, Err> for Plain {
    type Response = Res;

    fn pass(&self, response: Res) -> Res {
        response
    }

    fn fail(&self, injected: Injected, _: &Strike) -> Result<Res, Err> {
        Err(injected.into())
    }
}
