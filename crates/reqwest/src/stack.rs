//! A stack behind one box for each call.

use std::{future::poll_fn, marker::PhantomData};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use steadfast_core::Deadline;
use tokio::time::timeout_at;
use tower_service::Service;

use crate::{
    BoxError, Error,
    judged::{told, too_late},
    response::{Boxed, into_response},
};

/// A stack whose type is forgotten.
pub(crate) trait Stack: Send + Sync {
    /// Makes a clone of the stack, waits until it is ready, and calls it. A request whose deadline
    /// passes in the meantime is refused: no layer has it yet that could see to that.
    fn call(&self, request: Request<reqwest::Body>) -> Boxed;
}

/// A stack `S` that answers with bodies `B`.
pub(crate) struct Of<S, B> {
    service: S,
    // Bodies are only passed on: the stack has none, and may be shared whatever they are.
    body: PhantomData<fn() -> B>,
}

impl<S, B> Of<S, B> {
    pub(crate) const fn new(service: S) -> Self {
        Self { service, body: PhantomData }
    }
}

impl<S, B> Stack for Of<S, B>
where
    S: Service<Request<reqwest::Body>, Response = Response<B>, Error = Error, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    fn call(&self, request: Request<reqwest::Body>) -> Boxed {
        let mut service = self.service.clone();
        Box::pin(async move {
            let requested = request.uri().clone();
            let ready = poll_fn(|cx| service.poll_ready(cx));
            match request.extensions().get().copied() {
                Some(deadline) => until(deadline, ready).await,
                None => ready.await,
            }
            .map_err(told)?;
            let response = service.call(request).await.map_err(told)?;
            Ok(into_response(response, &requested))
        })
    }
}

async fn until<F>(deadline: Deadline, ready: F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let in_time = timeout_at(deadline.instant().into(), ready);
    in_time.await.unwrap_or_else(|_| Err(too_late()))
}
