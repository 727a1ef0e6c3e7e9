//! What a fault is, in the terms of a service.

use crate::{Injected, Injection, Strike};

mod adapters;

pub use self::adapters::{AnswerWith, Byzantine, Cloning};

/// What faults are in the terms of a service: its errors, its replies, its requests.
///
/// [`Plain`] knows nothing of a service but its error. Write your own, or take `Http`, for more.
pub trait Protocol<Req, Res, Err> {
    /// What the layer answers: the service's response, or one that can break.
    type Response;

    /// The response of a request that meets no fault in its reply. On the way of every request.
    fn pass(response: Res) -> Self::Response;

    /// What a caller sees whose connection was refused or reset (`CrashedBefore`), and what an
    /// `Error` fault answers.
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
    /// It calls [`done`](Injection::done) when the reply is spoilt, which may be later, in the
    /// midst of a body. If it drops the injection instead, the fault is counted as skipped.
    fn spoil(&self, response: Res, injection: Injection) -> Self::Response {
        drop(injection);
        Self::pass(response)
    }
}

/// Any service whose error can be made of [`Injected`]; put others into `steadfast_core::guard`.
///
/// It spoils no reply and copies no request: those faults are skipped, unless the layer is told
/// how, by [`byzantine`](crate::FaultLayer::byzantine) and [`cloning`](crate::FaultLayer::cloning).
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl<Req, Res, Err: From<Injected>> Protocol<Req, Res, Err> for Plain {
    type Response = Res;

    #[inline]
    fn pass(response: Res) -> Res {
        response
    }

    fn fail(&self, injected: Injected, _: &Strike) -> Result<Res, Err> {
        Err(injected.into())
    }
}
