//! The client: how it asks, and how it asks again.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use axum::{
    body::HttpBody as Body,
    http::{Request, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use steadfast::{
    Backoff, cause, guard,
    http::{CollectLayer, IDEMPOTENCY_KEY, IdempotencyKey},
    retry::{RetryConfig, RetryLayer, http::ReplayBody},
    timeout::{Elapsed, TimeoutLayer},
};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt};

use crate::Failure;

/// How long it waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
/// How long it waits before it asks again, at most.
const PAUSE: Duration = Duration::from_millis(400);
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(8).expect("eight is not zero");

/// No answer is longer.
const MOST: usize = 64 * 1024;

#[derive(Clone, Copy)]
pub(crate) struct Client {
    server: SocketAddr,
}

impl Client {
    pub(crate) const fn of(server: SocketAddr) -> Self {
        Self { server }
    }

    /// Asks once, and says what it saw.
    pub(crate) async fn ask(&self) -> Result<String, Failure> {
        let stack = ServiceBuilder::new()
            .layer(TimeoutLayer::fixed(PATIENCE)?.http())
            .layer(CollectLayer::new(MOST));
        let http: HttpClient<_, Full<Bytes>> =
            HttpClient::builder(TokioExecutor::new()).build_http();
        let request = Request::post(self.uri()).body(Full::default())?;
        saw(guard(stack).layer(http).oneshot(request).await).await
    }

    /// Asks until there is an answer. The key says that it is one order however often it is asked
    /// for: only so may a POST be sent again that may have been executed.
    pub(crate) async fn ask_until_answered(&self) -> Result<String, Failure> {
        let backoff = Backoff::exponential(PAUSE, PAUSE)?;
        let retry = RetryLayer::new(RetryConfig::new().attempts(ATTEMPTS).backoff(backoff));
        let stack = ServiceBuilder::new()
            .layer(retry.http().body_as(|body: ReplayBody<Full<Bytes>>| body))
            .layer(TimeoutLayer::fixed(PATIENCE)?.http())
            .layer(CollectLayer::new(MOST));
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        let key = IdempotencyKey::new("one-order")?.to_header();
        let request = Request::post(self.uri()).header(IDEMPOTENCY_KEY, key);
        saw(guard(stack).layer(http).oneshot(request.body(Full::default())?).await).await
    }

    fn uri(&self) -> String {
        format!("http://{}/orders", self.server)
    }
}

/// What the client can tell of it.
async fn saw<B, E>(outcome: Result<Response<B>, E>) -> Result<String, Failure>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    E: std::error::Error + Send + Sync + 'static,
{
    match outcome {
        Ok(response) if response.status().is_success() => {
            let body = response.into_body().collect().await.map_err(Into::into)?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        }
        Ok(response) => Err(format!("answered with {}", response.status()).into()),
        Err(error) if cause::<Elapsed>(&error).is_some() => {
            Ok(format!("no answer in {PATIENCE:?}"))
        }
        Err(error) => Err(error.into()),
    }
}
