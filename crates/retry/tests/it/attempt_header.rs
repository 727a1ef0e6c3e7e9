//! What the server is told of the attempt.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::future::ready;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use steadfast_core::{Backoff, Classify, RequestContext};
use steadfast_retry::{
    RetryConfig, RetryLayer,
    http::{HttpReplay, ReplayBody},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{ample, attempts};

const COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

type Sent = Request<ReplayBody<Full<Bytes>>>;
type Replies = Response<Full<Bytes>>;

fn layer(number: u32) -> RetryLayer {
    let config = RetryConfig::new().attempts(attempts(number)).backoff(Backoff::NONE);
    RetryLayer::new(config).budget(ample())
}

/// What this header said at each of the attempts of a request to a service that is not there; the
/// caller wrote a number of its own.
async fn told<C, X>(layer: RetryLayer<C, X, HttpReplay>, name: HeaderName) -> Vec<Option<String>>
where
    C: Classify<Replies, io::Error> + Clone,
    X: RequestContext<Request<Full<Bytes>>> + Clone,
{
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let header = name.clone();
    let service = service_fn(move |request: Sent| {
        let values: Vec<_> = request.headers().get_all(&header).into_iter().collect();
        assert!(values.len() < 2, "{values:?}");
        let value = values.first().map(|value| value.to_str().unwrap().to_owned());
        sees.lock().unwrap().push(value);
        let mut unavailable = Response::new(Full::default());
        *unavailable.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        ready(Ok::<_, io::Error>(unavailable))
    });
    let request = Request::get("/").header(&name, "7").header(&name, "8");
    let request = request.body(Full::default()).unwrap();
    layer.layer(service).oneshot(request).await.unwrap();
    let seen = seen.lock().unwrap();
    seen.clone()
}

fn words<const N: usize>(words: [&str; N]) -> Vec<Option<String>> {
    words.map(|word| (!word.is_empty()).then(|| word.to_owned())).into()
}

#[tokio::test]
async fn each_attempt_has_its_number_and_the_callers_own_is_replaced() {
    let counted = |number| layer(number).http().attempt_header(COUNT);
    assert_eq!(told(counted(3), COUNT).await, words(["1", "2", "3"]));
    // Also where there is but one, and nothing is kept.
    assert_eq!(told(counted(1), COUNT).await, words(["1"]));
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn grpc_is_told_how_many_were_before_and_nothing_on_the_first() {
    let previous = HeaderName::from_static("grpc-previous-rpc-attempts");
    let told = async |number| told(layer(number).grpc(), previous.clone()).await;
    assert_eq!(told(3).await, words(["", "1", "2"]));
    assert_eq!(told(1).await, words([""]));
}

#[tokio::test]
async fn nothing_is_said_unless_it_is_asked_for() {
    let seen = Arc::new(Mutex::new(0));
    let sees = Arc::clone(&seen);
    let service = service_fn(move |request: Sent| {
        assert!(request.headers().is_empty());
        *sees.lock().unwrap() += 1;
        ready(Err::<Replies, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
    });
    let request = Request::get("/").body(Full::default()).unwrap();
    layer(3).http().layer(service).oneshot(request).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), 3);
}
