//! Refusals as HTTP responses.

mod body;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

pub use self::body::RespondBody;
use crate::{Error, Guard, MapErr, Refusal, RefusalKind, guard};

/// Wraps a stack of layers round an HTTP service and turns every refusal into a response. **The
/// error type stays what it was**, `Infallible` on axum, so the stack mounts in `Router::layer` as
/// it is. The response's body becomes a [`RespondBody`], whatever the service's own is.
///
/// The refusal's [`Grounds`](crate::Grounds) stand in the response's extensions, so that a layer
/// further out knows a refusal from an answer. A handler that passes on such a response has worked
/// all the same: put a [`SealResponseLayer`](super::SealResponseLayer) round it.
///
/// A refusal becomes the status of its [kind](RefusalKind), with `Retry-After` in whole seconds
/// (rounded up) where it knows when to come back, and an `application/problem+json` body (RFC 9457)
/// that says what was refused, and not which [handle](crate::Grounds::handle) did.
///
/// Round a server of gRPC stands `tonic::respond` instead, which answers with gRPC's statuses.
pub const fn respond<L>(stack: L) -> RespondLayer<L> {
    RespondLayer::new(stack, Problem)
}

/// Renders a refusal as a response: [`Problem`], `tonic::GrpcStatus`, or a type of your own.
pub trait Render {
    /// The response for `refusal`. One without bytes is at its end at once, so gRPC and HTTP/2 send
    /// its head alone.
    fn render(&self, refusal: &dyn Refusal) -> Response<Bytes>;
}

/// Renders a status by the refusal's kind, `Retry-After`, and a problem document (RFC 9457).
#[derive(Clone, Copy, Debug, Default)]
pub struct Problem;

impl Render for Problem {
    fn render(&self, refusal: &dyn Refusal) -> Response<Bytes> {
        response_to(refusal)
    }
}

/// The layer made by [`respond`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RespondLayer<L, R = Problem> {
    stack: Guard<L>,
    render: R,
}

impl<L, R> RespondLayer<L, R> {
    /// A layer that puts `stack` round a service and renders its refusals by `render`.
    pub const fn new(stack: L, render: R) -> Self {
        Self { stack: guard(stack), render }
    }
}

impl<L, R, S> Layer<S> for RespondLayer<L, R>
where
    L: Layer<MapErr<S>>,
    R: Clone,
{
    type Service = Respond<L::Service, R>;

    fn layer(&self, service: S) -> Self::Service {
        Respond { inner: self.stack.layer(service), render: self.render.clone(), refused: None }
    }
}

/// A guarded stack whose refusals are responses.
#[derive(Debug)]
pub struct Respond<S, R = Problem> {
    inner: S,
    render: R,
    /// A refusal met in `poll_ready`, where there was no request to answer. It belongs to this
    /// handle.
    refused: Option<Box<dyn Refusal>>,
}

impl<S, R> Respond<S, R> {
    /// The stack, with the service in it.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The stack, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The stack itself. A refusal that this handle met in `poll_ready` and has not answered yet is
    /// lost.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, R: Clone> Clone for Respond<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), render: self.render.clone(), refused: None }
    }
}

impl<S, R, E, ReqBody, ResBody> Service<Request<ReqBody>> for Respond<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Error<E>>,
    R: Render + Clone,
{
    type Response = Response<RespondBody<ResBody>>;
    type Error = E;
    type Future = RespondFuture<S::Future, R>;

    /// Steadfast's layers never refuse here. Should a foreign layer of the stack do so, this handle
    /// is ready, and the next call on it is answered with the refusal.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        match ready!(self.inner.poll_ready(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Error::Service(error)) => Poll::Ready(Err(error)),
            Err(Error::Refused(refusal)) => {
                self.refused = Some(refusal);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let render = self.render.clone();
        match self.refused.take() {
            None => {
                RespondFuture { state: State::Called { inner: self.inner.call(request) }, render }
            }
            Some(refusal) => RespondFuture { state: State::Refused { refusal }, render },
        }
    }
}

pin_project! {
    /// The future of [`Respond`].
    #[derive(Debug)]
    pub struct RespondFuture<F, R = Problem> {
        #[pin]
        state: State<F>,
        render: R,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Called { #[pin] inner: F },
        Refused { refusal: Box<dyn Refusal> },
    }
}

impl<F, R, B, E> Future for RespondFuture<F, R>
where
    F: Future<Output = Result<Response<B>, Error<E>>>,
    R: Render,
{
    type Output = Result<Response<RespondBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = match this.state.project() {
            StateProjection::Called { inner } => ready!(inner.poll(cx)),
            StateProjection::Refused { refusal } => {
                return Poll::Ready(Ok(rendered(this.render, &**refusal)));
            }
        };
        Poll::Ready(match outcome {
            Ok(response) => Ok(response.map(RespondBody::own)),
            Err(Error::Service(error)) => Err(error),
            Err(Error::Refused(refusal)) => Ok(rendered(this.render, &*refusal)),
        })
    }
}

/// The response of a refusal, with its grounds in the extensions.
fn rendered<B>(render: &impl Render, refusal: &dyn Refusal) -> Response<RespondBody<B>> {
    let mut response = render.render(refusal).map(RespondBody::from);
    response.extensions_mut().insert(refusal.grounds());
    response
}

/// The response a refusal becomes, without [`Grounds`](crate::Grounds) in its extensions: for a
/// handler's own use, which has worked.
pub fn response_to<B: From<Bytes>>(refusal: &dyn Refusal) -> Response<B> {
    response_with(status_of(refusal.kind()), refusal)
}

/// The same with another status than that of the refusal's kind: for a [`Render`] of your own.
pub fn response_with<B: From<Bytes>>(status: StatusCode, refusal: &dyn Refusal) -> Response<B> {
    let problem = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": refusal.detail(),
    });
    let mut response = Response::new(B::from(Bytes::from(problem.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(after) = refusal.retry_after() {
        // Rounded up: a client that obeys must not be early.
        let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

const fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::TimedOut | RefusalKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        RefusalKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Stale => StatusCode::PRECONDITION_FAILED,
        RefusalKind::Unacceptable => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalKind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        RefusalKind::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        RefusalKind::NotHolder => StatusCode::FORBIDDEN,
    }
}
