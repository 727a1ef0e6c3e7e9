//! The layer round a real client: what the server executed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use steadfast_chaos::{BodyCut, Delay, Fault, FaultLayer, Faults, Injected};
use steadfast_core::{Detach, DetachConfig, Error, cause, guard};
use steadfast_testkit::BoxError;
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt, service_fn};

use super::{full, serve, thousand};
use crate::support::{always, counts};

const DELAY: Duration = Duration::from_millis(200);

/// What a server executed: the bodies of the requests, and when each of them came.
#[derive(Clone, Default)]
struct Executed(Arc<Mutex<Vec<(Instant, Bytes)>>>);

impl Executed {
    fn bodies(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    fn first(&self) -> Instant {
        self.0.lock().unwrap()[0].0
    }
}

async fn server() -> (String, Executed) {
    let executed = Executed::default();
    let seen = executed.clone();
    let handler = service_fn(move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            seen.0.lock().unwrap().push((Instant::now(), body));
            Ok::<_, BoxError>(Response::new(full().map_err(BoxError::from)))
        }
    });
    (format!("http://{}/", serve(handler).await), executed)
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn request(uri: &str) -> Request<Full<Bytes>> {
    Request::post(uri).header("x-kept", "yes").body(Full::from("one order")).unwrap()
}

type Outcome =
    Result<(StatusCode, Result<Bytes, BoxError>), Error<hyper_util::client::legacy::Error>>;

/// One request under a fault: what its caller saw, when it had seen it, and what was executed.
/// Silence is believed after a second.
async fn sent(faults: &Faults, silent: bool) -> (Option<Outcome>, Instant, Executed) {
    let (uri, executed) = server().await;
    let service = guard(FaultLayer::new(faults.clone()).http().cloning()).layer(client());
    let call = async {
        let response = service.oneshot(request(&uri)).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await.map(|body| body.to_bytes())))
    };
    let outcome = timeout(Duration::from_secs(if silent { 1 } else { 60 }), call).await.ok();
    (outcome, Instant::now(), executed)
}

fn is_right(outcome: Option<Outcome>) -> bool {
    let Some(Ok((StatusCode::OK, Ok(body)))) = outcome else { return false };
    body == thousand()
}

#[tokio::test]
async fn of_what_is_lost_one_was_executed_and_the_other_was_not() {
    for (fault, executions) in [(Fault::RequestLost, 0), (Fault::ReplyLost, 1)] {
        let (outcome, _, executed) = sent(&always(fault), true).await;
        assert!(outcome.is_none(), "the caller hears nothing");
        assert_eq!(executed.bodies().len(), executions, "{fault:?}");
    }
}

#[tokio::test]
async fn a_queued_request_comes_late_and_a_busy_or_late_one_at_once() {
    let delay = Delay::of(DELAY);
    for fault in [Fault::Queued(delay), Fault::Busy(delay), Fault::ReplyLate(delay)] {
        let before = Instant::now();
        let (outcome, answered, executed) = sent(&always(fault), false).await;
        assert!(is_right(outcome), "{fault:?}");
        assert_eq!(executed.bodies(), ["one order"]);
        let (late, ahead) = (executed.first() - before, answered - executed.first());
        let is_queued = fault == Fault::Queued(delay);
        assert!(if is_queued { late } else { ahead } >= DELAY, "{fault:?}: {late:?}, {ahead:?}");
    }
}

#[tokio::test]
async fn a_crash_before_is_a_refused_connection_and_nothing_was_executed() {
    let (outcome, _, executed) = sent(&always(Fault::CrashedBefore), false).await;
    let error = outcome.unwrap().unwrap_err();
    assert!(cause::<Injected>(&error).is_some());
    let refused = cause::<std::io::Error>(&error).map(std::io::Error::kind);
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    assert!(executed.bodies().is_empty());
}

#[tokio::test]
async fn a_duplicate_is_executed_twice_with_head_and_body() {
    let faults = always(Fault::Duplicated);
    let (outcome, _, executed) = sent(&faults, false).await;
    assert!(is_right(outcome));
    assert_eq!(executed.bodies(), ["one order", "one order"]);
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test]
async fn an_error_is_a_status_and_nothing_was_executed() {
    let (outcome, _, executed) = sent(&always(Fault::Error), false).await;
    let (status, body) = outcome.unwrap().unwrap();
    assert_eq!(
        (status, body.unwrap().len(), executed.bodies().len()),
        (StatusCode::SERVICE_UNAVAILABLE, 0, 0)
    );
}

#[tokio::test]
async fn spoilt_replies_were_executed() {
    for fault in [Fault::BitFlipped, Fault::BodyCut, Fault::SlowBody(Delay::of(DELAY))] {
        let faults = always(fault);
        let before = Instant::now();
        let (outcome, ended, executed) = sent(&faults, false).await;
        let (status, body) = outcome.unwrap().unwrap();
        assert_eq!((status, executed.bodies().len()), (StatusCode::OK, 1));
        match fault {
            Fault::BitFlipped => {
                let body = body.unwrap();
                assert!(body.len() == 1000 && body != thousand());
            }
            Fault::BodyCut => assert!(body.unwrap_err().is::<BodyCut>()),
            _ => assert!(body.unwrap() == thousand() && ended - before >= DELAY),
        }
        assert_eq!(counts(&faults), (1, 0));
    }
}

#[tokio::test]
async fn another_valid_answer_takes_the_place_of_the_right_one() {
    let (uri, executed) = server().await;
    let layer = FaultLayer::new(always(Fault::Byzantine)).http().byzantine(
        |response: Response<Incoming>, _: &steadfast_chaos::Strike| {
            let (mut head, body) = response.into_parts();
            head.headers.insert("x-version", http::HeaderValue::from_static("old"));
            Response::from_parts(head, body)
        },
    );
    let response = guard(layer).layer(client()).oneshot(request(&uri)).await.unwrap();
    assert_eq!(response.headers()["x-version"], "old");
    assert_eq!(executed.bodies().len(), 1);
}

/// A client that gives up and closes its end, and a network that has the request already.
#[tokio::test]
async fn a_queued_request_is_executed_after_its_client_gave_up() {
    for detached in [false, true] {
        let (uri, executed) = server().await;
        let detach = Detach::new(DetachConfig::new()).unwrap();
        let layer = FaultLayer::new(always(Fault::Queued(Delay::of(DELAY)))).http();
        let limit = DELAY / 4;
        let gave_up = if detached {
            let service = guard(layer.detach(detach.clone())).layer(client());
            timeout(limit, service.oneshot(request(&uri))).await.is_err()
        } else {
            let service = guard(layer).layer(client());
            timeout(limit, service.oneshot(request(&uri))).await.is_err()
        };
        assert!(gave_up);
        detach.shutdown().await;
        tokio::time::sleep(2 * DELAY).await;
        assert_eq!(executed.bodies().len(), usize::from(detached));
    }
}
