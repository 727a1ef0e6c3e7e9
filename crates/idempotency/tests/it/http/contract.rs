//! The contract of every layer, for requests without a key; what a key changes of it, and why.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{TryFutureExt, future::MapOk, poll};
use http::{Request, Response};
use http_body_util::Full;
use steadfast_idempotency::http::{IdempotencyLayer, ReplyBody};
use steadfast_testkit::{BoxError, Probe, ProbeError, Reply, contract};
use tower::{Layer, Service, ServiceExt};

use super::support::{handle, layer};

/// The probe as a service of HTTP: a number is a header.
#[derive(Clone)]
struct Http(Probe);

type Answer = Response<Full<Bytes>>;

impl<B> Service<Request<B>> for Http {
    type Response = Answer;
    type Error = BoxError;
    type Future = MapOk<<Probe as Service<u32>>::Future, fn(u32) -> Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let number = request.headers().get("x-number").map_or("0", |n| n.to_str().unwrap());
        let answer: fn(u32) -> Answer =
            |n| Response::builder().header("x-number", n).body(Full::default()).unwrap();
        self.0.call(number.parse().unwrap()).map_ok(answer)
    }
}

/// Numbers again, with a key or without.
#[derive(Clone)]
struct Numbers<S>(S);

impl<S, RB> Service<u32> for Numbers<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>, Error = BoxError>,
{
    type Response = u32;
    type Error = BoxError;
    type Future = MapOk<S::Future, fn(Response<RB>) -> u32>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, number: u32) -> Self::Future {
        let request = Request::post("/").header("x-number", number).body(Full::default()).unwrap();
        let number: fn(Response<RB>) -> u32 =
            |response| response.headers()["x-number"].to_str().unwrap().parse().unwrap();
        self.0.call(request).map_ok(number)
    }
}

#[test]
fn without_a_key_the_layer_keeps_the_contract() {
    let layer = layer();
    contract::suite(|probe| Numbers(layer.layer(Http(probe))));
}

fn keyed(number: u32) -> Request<Full<Bytes>> {
    let request = Request::post("/").header("idempotency-key", format!("key-{number}"));
    request.header("x-number", number).body(Full::default()).unwrap()
}

/// Makes the service ready and calls it.
async fn start<S: Service<Request<Full<Bytes>>, Error = BoxError>>(
    service: &mut S,
    number: u32,
) -> S::Future {
    service.ready().await.unwrap().call(keyed(number))
}

fn number(response: &Response<ReplyBody<Full<Bytes>>>) -> u32 {
    response.headers()["x-number"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn with_a_key_the_instance_that_was_made_ready_is_called_and_an_error_is_unchanged() {
    let probe = Probe::new();
    let control = probe.control();
    let mut service = layer().layer(Http(probe));
    for n in 1..=3 {
        assert_eq!(number(&start(&mut service, n).await.await.unwrap()), n);
    }
    let counts = control.counts();
    assert_eq!((counts.calls, counts.unready_calls, counts.polls_when_done), (3, 0, 0));
    control.script([Reply::error()]);
    let error = start(&mut service, 4).await.await.unwrap_err();
    assert!(error.is::<ProbeError>(), "{error}");
}

#[tokio::test]
async fn with_a_key_nothing_is_left_when_the_handler_has_ended_wherever_the_caller_left() {
    let probe = Probe::new();
    let control = probe.control();
    let handle = handle();
    let mut service = IdempotencyLayer::unscoped(handle.clone()).layer(Http(probe));
    // Not polled: nothing was begun.
    drop(start(&mut service, 1).await);
    assert_eq!(control.counts().calls, 0);
    // Polled once: the handler is called all the same, which is what a key is for.
    let mut call = Box::pin(start(&mut service, 2).await);
    assert!(poll!(&mut call).is_pending());
    drop(call);
    handle.shutdown(std::time::Duration::from_secs(10)).await;
    let counts = control.counts();
    assert_eq!((counts.calls, counts.cancelled, counts.live_futures), (1, 0, 0));
    drop(service);
    assert_eq!(control.counts().live_handles, 0);
}
