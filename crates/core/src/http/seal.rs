//! Where an HTTP handler has begun to work.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Executed, Grounds, RefusalKind};

/// Seals the responses of an HTTP handler: the request may have been executed, whatever a response
/// that the handler passes on says of a request of its own.
///
/// For the handler that does the work, innermost, when it calls other services and may answer with
/// what it got from them. It removes the [`Grounds`] of [`respond`](super::respond) from the
/// response's extensions, and marks every response of status 400 and above with
/// [`Executed::Maybe`], which [`HttpClassifier`](super::HttpClassifier) reads: to a layer further
/// out a passed-on 429 no longer promises that nothing ran. Head and body stay as they are. One
/// thing passes: that the time of the caller was over ([`RefusalKind::DeadlineExceeded`]), which
/// says nothing of what has run.
///
/// Errors pass as they are, because a handler of axum has none (`Infallible`). Where the service
/// can fail, put a [`SealLayer`](crate::SealLayer) beside this one. Extensions stay in the process:
/// a client on the other side of the network sees the 429 itself, and will repeat the request; a
/// handler that has worked should answer 502 or 503 instead.
///
/// ```
/// use http::{Request, Response};
/// use steadfast_core::{Grounds, RefusalKind, http::SealResponseLayer};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // Places an order, then answers with the refusal of the mailer's open circuit.
/// let handler = service_fn(|_: Request<()>| async {
///     let mut refused = Response::new(());
///     refused.extensions_mut().insert(Grounds::not_executed(RefusalKind::Unavailable));
///     Ok::<_, BoxError>(refused)
/// });
/// let response = SealResponseLayer::new().layer(handler).oneshot(Request::new(())).await.unwrap();
/// assert!(response.extensions().get::<Grounds>().is_none());
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SealResponseLayer(());

impl SealResponseLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for SealResponseLayer {
    type Service = SealResponse<S>;

    fn layer(&self, inner: S) -> SealResponse<S> {
        SealResponse { inner }
    }
}

/// The service of [`SealResponseLayer`].
#[derive(Clone, Copy, Debug)]
pub struct SealResponse<S> {
    inner: S,
}

impl<S> SealResponse<S> {
    /// The inner service.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service itself.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, B> Service<Req> for SealResponse<S>
where
    S: Service<Req, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = SealResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        SealResponseFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`SealResponse`].
    #[derive(Debug)]
    pub struct SealResponseFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for SealResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.project().inner.poll(cx))?;
        seal(&mut response);
        Poll::Ready(Ok(response))
    }
}

/// A success makes no promise that could be wrong: it gets no mark, which would cost two
/// allocations.
fn seal<B>(response: &mut Response<B>) {
    let is_failure = response.status().as_u16() >= 400;
    let extensions = response.extensions_mut();
    let grounds = extensions.remove::<Grounds>();
    if is_failure {
        extensions.insert(Executed::Maybe);
    }
    if grounds.as_ref().is_some_and(Grounds::is_callers_deadline) {
        extensions.insert(Grounds::maybe_executed(RefusalKind::DeadlineExceeded));
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::ready};

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::Full;
    use tower::{BoxError, ServiceExt, layer::layer_fn, service_fn};

    use super::*;
    use crate::{
        Classify, Error, Pushback, Verdict,
        http::{HttpClassifier, RespondBody, respond},
        refusal::tests::Refused,
    };

    type Answer = Response<RespondBody<Full<Bytes>>>;

    /// What [`respond`] makes of a refusal.
    async fn refused(grounds: Grounds) -> Answer {
        let refuses = layer_fn(move |_| {
            service_fn(move |_: Request<()>| {
                ready(Err::<Response<Full<Bytes>>, Error<Infallible>>(Refused { grounds }.into()))
            })
        });
        let Ok(response) = respond(refuses).layer(()).oneshot(Request::new(())).await;
        response
    }

    /// The same response, passed on by a sealed handler.
    async fn passed_on(response: Answer) -> Answer {
        let mut response = Some(response);
        let handler =
            service_fn(move |_: Request<()>| ready(Ok::<_, BoxError>(response.take().unwrap())));
        SealResponseLayer::new().layer(handler).oneshot(Request::new(())).await.unwrap()
    }

    fn judge(response: &Answer) -> (Verdict, bool) {
        let outcome = || Ok::<_, &BoxError>(response);
        (HttpClassifier.classify(outcome()), HttpClassifier.answered(outcome()))
    }

    #[tokio::test]
    async fn a_refusal_that_a_sealed_handler_passes_on_is_an_answer_of_the_handler() {
        let grounds = Grounds::not_executed(RefusalKind::TooMany);
        let response = refused(grounds).await;
        assert_eq!(response.extensions().get::<Grounds>(), Some(&grounds));
        assert_eq!(judge(&response), (Verdict::throttled(), false));
        let response = passed_on(response).await;
        assert!(response.extensions().get::<Grounds>().is_none());
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            judge(&response),
            (Verdict::Throttled { executed: Executed::Maybe, pushback: Pushback::Unsaid }, true)
        );
    }

    #[tokio::test]
    async fn that_the_callers_time_was_over_passes_a_seal_and_makes_no_promise() {
        for grounds in [
            Grounds::not_executed(RefusalKind::DeadlineExceeded),
            Grounds::maybe_executed(RefusalKind::DeadlineExceeded),
        ] {
            let response = passed_on(refused(grounds).await).await;
            assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
            assert_eq!(judge(&response), (Verdict::Ignored, false));
            let kept = response.extensions().get::<Grounds>();
            assert_eq!(kept, Some(&Grounds::maybe_executed(RefusalKind::DeadlineExceeded)));
        }
        let late = Grounds::maybe_executed(RefusalKind::TimedOut);
        let response = passed_on(refused(late).await).await;
        assert_eq!(judge(&response), (Verdict::transient(Executed::Maybe), true));
    }

    #[tokio::test]
    async fn a_refusal_after_the_call_promises_nothing_whatever_its_status() {
        let response = refused(Grounds::maybe_executed(RefusalKind::TooMany)).await;
        assert_eq!(
            judge(&response).0,
            Verdict::Throttled { executed: Executed::Maybe, pushback: Pushback::Unsaid }
        );
    }

    #[tokio::test]
    async fn grounds_in_the_extensions_add_no_promise() {
        let response = refused(Grounds::not_executed(RefusalKind::Unavailable)).await;
        assert_eq!(
            judge(&response).0,
            Verdict::transient(Executed::Maybe),
            "a handler may have passed it on"
        );
    }

    #[tokio::test]
    async fn a_sealed_status_that_promises_loses_its_promise_and_a_success_is_left_as_it_was() {
        for status in [421, 425, 429] {
            let mut response = Answer::default();
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let verdict = judge(&passed_on(response).await).0;
            let executed = Executed::Maybe;
            assert!(
                verdict == Verdict::transient(executed)
                    || verdict == Verdict::Throttled { executed, pushback: Pushback::Unsaid },
                "{status}: {verdict:?}"
            );
        }
        let response = passed_on(Answer::default()).await;
        assert_eq!(judge(&response), (Verdict::Success, true));
        assert!(response.extensions().is_empty());
    }

    #[tokio::test]
    async fn an_error_passes_and_the_inner_service_can_be_reached() {
        let handler = service_fn(|(): ()| ready(Err::<Answer, BoxError>("no".into())));
        let mut service = SealResponseLayer::new().layer(handler);
        assert_eq!((&mut service).oneshot(()).await.unwrap_err().to_string(), "no");
        let _ = (service.get_ref(), SealResponseLayer::default());
        service.get_mut().oneshot(()).await.unwrap_err();
        service.into_inner().oneshot(()).await.unwrap_err();
    }
}
