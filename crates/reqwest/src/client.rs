//! The client.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use reqwest::IntoUrl;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, Error, RequestBuilder, ResponseFuture, Transport,
    stack::{Of, Stack},
};

/// A [`reqwest::Client`] whose requests all go through a stack of layers.
///
/// It makes requests as reqwest's does, and clones share the stack. It does not dereference to
/// reqwest's: what is sent by that one would pass by the stack, unseen.
///
/// # What reqwest does by itself
///
/// - It follows redirects inside of one call: layers see the last answer.
/// - It repeats a request that a peer of HTTP/2 did not process, twice. The stack's retry does so
///   too, within its budget: `reqwest::Client::builder().retry(reqwest::retry::never())` leaves it
///   to that one.
/// - Its timeouts, of the client and of one request, are those of one attempt. A
///   [`deadline`](RequestBuilder::deadline) is of the whole call.
///
/// # Example
/// ```
/// use steadfast_breaker::{BreakerLayer, Circuit, CircuitOpen};
/// use steadfast_core::cause;
/// use steadfast_reqwest::Client;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let circuit = Circuit::default();
/// let stack = BreakerLayer::new(circuit.clone()).http();
/// let client = Client::new(reqwest::Client::new(), stack);
/// circuit.force_open();
/// let error = client.get("http://stock.example/items").send().await.unwrap_err();
/// assert!(cause::<CircuitOpen>(&error).is_some());
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    stack: Arc<dyn Stack>,
}

impl Client {
    /// Puts `stack`, one layer or a `ServiceBuilder` of several, round `http`.
    ///
    /// Its layers are over HTTP types, as `.http()` makes them; refusals fit into its error, so
    /// that no `guard` is needed. A layer may change the type of bodies, of requests or of
    /// responses.
    pub fn new<L, B>(http: reqwest::Client, stack: L) -> Self
    where
        L: Layer<Transport>,
        L::Service: Service<Request<reqwest::Body>, Response = Response<B>, Error = Error, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
    {
        let service = stack.layer(Transport::new(http.clone()));
        Self { http, stack: Arc::new(Of::new(service)) }
    }

    /// A `GET` request to `url`.
    pub fn get<U: IntoUrl>(&self, url: U) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A `POST` request to `url`.
    pub fn post<U: IntoUrl>(&self, url: U) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A `PUT` request to `url`.
    pub fn put<U: IntoUrl>(&self, url: U) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A `PATCH` request to `url`.
    pub fn patch<U: IntoUrl>(&self, url: U) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A `DELETE` request to `url`.
    pub fn delete<U: IntoUrl>(&self, url: U) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A `HEAD` request to `url`.
    pub fn head<U: IntoUrl>(&self, url: U) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A request of any method to `url`. A URL that is none fails when the request is sent.
    pub fn request<U: IntoUrl>(&self, method: Method, url: U) -> RequestBuilder {
        RequestBuilder::new(self.clone(), self.http.request(method, url))
    }

    /// Sends a request that was built elsewhere through the stack.
    ///
    /// # Errors
    /// As [`RequestBuilder::send`].
    pub fn execute(&self, request: reqwest::Request) -> ResponseFuture {
        self.send(request, http::Extensions::new())
    }

    pub(crate) fn send(
        &self,
        request: reqwest::Request,
        extensions: http::Extensions,
    ) -> ResponseFuture {
        match Request::try_from(request) {
            Ok(mut request) => {
                request.extensions_mut().extend(extensions);
                ResponseFuture::new(self.stack.call(request))
            }
            Err(error) => ResponseFuture::unmade(error),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("http", &self.http).finish_non_exhaustive()
    }
}
