//! The innermost service of a stack.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::Executed;
use tower_service::Service;

use crate::{
    BoxError, Error,
    body::into_reqwest,
    judged::{judged, unmade},
    response::from_reqwest,
    watch::Watch,
};

/// What a stack goes round: reqwest's client over the HTTP types of the layers.
///
/// It takes requests of any body, so that layers may change it, and is always ready. Its error is a
/// refusal only for layers: that a call may have been executed before it failed to follow a
/// redirect, and that a request could not be made. A caller of [`Client`](crate::Client) is given
/// reqwest's error then.
#[derive(Clone, Debug)]
pub struct Transport {
    http: reqwest::Client,
}

impl Transport {
    pub(crate) const fn new(http: reqwest::Client) -> Self {
        Self { http }
    }
}

impl<B> Service<Request<B>> for Transport
where
    B: Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    type Response = Response<reqwest::Body>;
    type Error = Error;
    type Future = TransportFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::<reqwest::Request>::poll_ready(&mut self.http, cx).map_err(Error::Service)
    }

    fn call(&mut self, request: Request<B>) -> TransportFuture {
        match reqwest::Request::try_from(request.map(into_reqwest)) {
            Ok(request) => {
                let watch = Watch::new(request.url());
                let waker = Waker::from(Arc::clone(&watch));
                TransportFuture {
                    state: State::Sent { call: self.http.call(request), watch, waker },
                }
            }
            Err(error) => TransportFuture { state: State::Unmade { error: Some(error) } },
        }
    }
}

/// What reqwest's client returns: it has no name to be written.
type Call = <reqwest::Client as Service<reqwest::Request>>::Future;

pin_project! {
    /// The future of [`Transport`].
    ///
    /// Dropping it drops the call.
    #[must_use = "futures do nothing unless polled"]
    pub struct TransportFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State {
        Sent { #[pin] call: Call, watch: Arc<Watch>, waker: Waker },
        Unmade { error: Option<reqwest::Error> },
    }
}

impl Future for TransportFuture {
    type Output = Result<Response<reqwest::Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Sent { call, watch, waker } => {
                let polled = watch.poll(cx.waker());
                let Poll::Ready(ended) = call.poll(&mut Context::from_waker(waker)) else {
                    polled.goes_on();
                    return Poll::Pending;
                };
                Poll::Ready(match ended {
                    Ok(response) => {
                        watch.answered_from(response.url());
                        let mut response = from_reqwest(response);
                        if watch.may_have_followed() {
                            // A status such as 429 promises for the last request alone.
                            response.extensions_mut().insert(Executed::Maybe);
                        }
                        Ok(response)
                    }
                    Err(error) => Err(judged(error, watch)),
                })
            }
            StateProjection::Unmade { error } => {
                let error = error.take().expect("a future is not polled after it was ready");
                Poll::Ready(Err(unmade(error)))
            }
        }
    }
}

impl std::fmt::Debug for TransportFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportFuture").finish_non_exhaustive()
    }
}
