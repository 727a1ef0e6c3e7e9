//! Faults of HTTP: statuses, and bodies that are flipped, cut and stalled.

mod body;
mod damage;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;

pub use self::body::{BodyCut, FaultBody};
use crate::{FaultKind, Injected, Injection, Protocol, Strike};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Faults in the terms of HTTP.
///
/// An `Error` is a status: 503 unless another is [chosen](Self::status), or the whole response by
/// [`answer_with`](crate::FaultLayer::answer_with). A server that has crashed before is an error of
/// the service, [`Injected`], which a client sees as a refused connection; round handlers that
/// cannot fail (axum's, `Infallible`) put the layer into `steadfast_core::http::respond`, which
/// makes a 503 of it.
///
/// Bodies are spoilt as they stream: see [`FaultBody`]. A response without a body is not.
///
/// For the fault `Duplicated` say [`cloning`](crate::FaultLayer::cloning) where the request's body
/// is `Clone`, such as a `Full<Bytes>`. A streaming body can be sent once: the fault is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Http {
    status: StatusCode,
}

impl Http {
    /// An `Error` is a 503.
    pub const fn new() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE }
    }

    /// An `Error` is this status.
    pub const fn status(self, status: StatusCode) -> Self {
        Self { status }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl<A, B, Err> Protocol<Request<A>, Response<B>, Err> for Http
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    Err: From<Injected>,
{
    type Response = Response<FaultBody<B>>;

    #[inline]
    fn pass(response: Response<B>) -> Self::Response {
        response.map(FaultBody::whole)
    }

    fn fail(&self, injected: Injected, _: &Strike) -> Result<Self::Response, Err> {
        if injected.kind != FaultKind::Error {
            return Err(injected.into());
        }
        let mut response = Response::new(FaultBody::empty());
        *response.status_mut() = self.status;
        Ok(response)
    }

    fn spoil(&self, response: Response<B>, injection: Injection) -> Self::Response {
        response.map(|body| FaultBody::spoilt(body, injection))
    }
}
