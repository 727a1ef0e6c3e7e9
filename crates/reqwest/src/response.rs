//! Responses on their way from reqwest through the layers to the caller.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Uri;
use reqwest::{ResponseBuilderExt, Url};

use crate::{BoxError, Error, body::back_into_reqwest};

/// Where a response came from, which `http`'s type has no place for.
#[derive(Clone)]
struct FinalUrl(Url);

/// A response as layers are given it.
pub(crate) fn from_reqwest(response: reqwest::Response) -> http::Response<reqwest::Body> {
    let url = FinalUrl(response.url().clone());
    let mut response = http::Response::from(response);
    response.extensions_mut().insert(url);
    response
}

/// A response as the caller is given it. One that a layer made comes from where the request went.
pub(crate) fn into_response<B>(response: http::Response<B>, requested: &Uri) -> reqwest::Response
where
    B: http_body::Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    let (mut head, body) = response.into_parts();
    let url = match head.extensions.remove() {
        Some(FinalUrl(url)) => Some(url),
        None => Url::parse(&requested.to_string()).ok(),
    };
    if let Some(url) = url {
        let of_url = http::Response::builder().url(url).body(()).expect("it has no other parts");
        head.extensions.extend(of_url.into_parts().0.extensions);
    }
    http::Response::from_parts(head, back_into_reqwest(body)).into()
}

pub(crate) type Boxed =
    Pin<Box<dyn Future<Output = Result<reqwest::Response, Error>> + Send + 'static>>;

/// The future of [`RequestBuilder::send`](crate::RequestBuilder::send): one box for the whole
/// stack.
///
/// Dropping it drops the call, wherever in the stack it is.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(State);

enum State {
    Sent(Boxed),
    Unmade(Option<Error>),
}

impl ResponseFuture {
    pub(crate) const fn new(sent: Boxed) -> Self {
        Self(State::Sent(sent))
    }

    pub(crate) const fn unmade(error: reqwest::Error) -> Self {
        Self(State::Unmade(Some(Error::Service(error))))
    }
}

impl Future for ResponseFuture {
    type Output = Result<reqwest::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Sent(sent) => sent.as_mut().poll(cx),
            State::Unmade(error) => {
                let error = error.take().expect("a future is not polled after it was ready");
                Poll::Ready(Err(error))
            }
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
