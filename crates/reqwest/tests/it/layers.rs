//! What layers are given, and what callers get of them.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::get};
use http::Response;
use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen, OpenTime};
use steadfast_core::{
    Deadline, Executed, Grounds, Refusal, RefusalKind, TimeSource, cause, http::respond,
};
use steadfast_reqwest::{Client, Error};
use steadfast_timeout::{DeadlineConfig, DeadlineLayer, Elapsed, TimeoutLayer};
use tokio::time::sleep;
use tower::{ServiceBuilder, layer::util::Identity};

use crate::support::{MS, count, counted, retries, serve, vacant};

/// Opens after two failures, for ten minutes.
fn touchy() -> Circuit {
    let open_time = OpenTime::constant(Duration::from_secs(600)).unwrap();
    let config = CircuitConfig::new().minimum_calls(2.try_into().unwrap()).open_time(open_time);
    Circuit::new(config).unwrap()
}

#[tokio::test]
async fn a_refusal_is_found_in_the_error_and_reqwests_own_error_is_its_own() {
    let client = Client::new(reqwest::Client::new(), BreakerLayer::new(touchy()).http());
    let url = format!("http://{}/", vacant());
    for _ in 0..2 {
        let error = client.post(&url).send().await.unwrap_err();
        assert!(cause::<CircuitOpen>(&error).is_none());
        assert!(cause::<reqwest::Error>(&error).unwrap().is_connect());
    }
    let error = client.post(&url).send().await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)));
    assert_eq!(cause::<CircuitOpen>(&error).unwrap().executed(), Executed::No);
    assert!(error.into_service().is_none());
}

/// A response that a layer made has the URL that was asked for.
#[tokio::test]
async fn a_refusal_may_be_a_response() {
    let stack = respond(BreakerLayer::new(touchy()).http());
    let client = Client::new(reqwest::Client::new(), stack);
    let url = format!("http://{}/asked", vacant());
    for _ in 0..2 {
        client.get(&url).send().await.unwrap_err();
    }
    let response = client.get(&url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.url().as_str(), url);
    assert!(response.headers().contains_key("retry-after"));
    assert!(response.text().await.unwrap().contains("circuit open"));
}

#[tokio::test]
async fn a_layer_may_change_the_body_of_a_response() {
    let stack = ServiceBuilder::new()
        .map_response(|response: Response<reqwest::Body>| response.map(|_| "changed".to_owned()));
    let client = Client::new(reqwest::Client::new(), stack);
    let address = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let response = client.get(format!("http://{address}/")).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "changed");
}

#[tokio::test]
async fn a_deadline_is_of_the_whole_call_and_of_several_the_nearest_is_kept() {
    let address = serve(Router::new().route("/", get(|| sleep(Duration::from_secs(60))))).await;
    let url = format!("http://{address}/");
    let stack = ServiceBuilder::new()
        .layer(DeadlineLayer::new(DeadlineConfig::new()).unwrap())
        .layer(retries().http())
        .layer(TimeoutLayer::fixed(Duration::from_secs(30)).unwrap().http());
    let client = Client::new(reqwest::Client::new(), stack);
    let within = |limit| Deadline::after(TimeSource::Tokio.now(), limit);
    let request = client.get(&url).deadline(within(100 * MS)).deadline(within(10_000 * MS));
    let sent = tokio::time::timeout(Duration::from_secs(5), request.send()).await.unwrap();
    let error = sent.unwrap_err();
    assert_eq!(error.refusal().unwrap().executed(), Executed::Maybe);
    // The timeout reads it as well.
    let limit = TimeoutLayer::fixed(Duration::from_secs(30)).unwrap().http();
    let client = Client::new(reqwest::Client::new(), limit);
    let sent = client.get(&url).deadline(within(100 * MS)).send();
    let error = tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap().unwrap_err();
    assert!(cause::<Elapsed>(&error).is_some(), "{error:?}");
}

#[tokio::test]
async fn a_deadline_bounds_the_wait_for_a_stack_that_is_not_ready() {
    let address = serve(Router::new().route("/", get(|| sleep(Duration::from_secs(60))))).await;
    let stack = ServiceBuilder::new().concurrency_limit(1);
    let client = Client::new(reqwest::Client::new(), stack);
    let url = format!("http://{address}/");
    let first = tokio::spawn(client.get(&url).send());
    // It has the one place once it waits for its answer.
    sleep(100 * MS).await;
    let deadline = Deadline::after(TimeSource::Tokio.now(), 100 * MS);
    let sent = client.get(&url).deadline(deadline).send();
    let error = tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap().unwrap_err();
    let grounds = *cause::<Grounds>(&error).unwrap();
    assert_eq!(grounds, Grounds::not_executed(RefusalKind::DeadlineExceeded));
    assert!(!first.is_finished());
    first.abort();
}

#[tokio::test]
async fn what_a_request_says_in_its_extensions_is_there_at_every_attempt() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Route(u32);
    let url = format!("http://{}/", vacant());
    let (seen, routes) = std::sync::mpsc::channel();
    let stack = ServiceBuilder::new().layer(retries().http()).map_request(
        move |request: http::Request<_>| {
            seen.send(request.extensions().get::<Route>().copied()).unwrap();
            request
        },
    );
    let client = Client::new(reqwest::Client::new(), stack);
    client.get(&url).extension(Route(7)).send().await.unwrap_err();
    assert_eq!(routes.try_iter().collect::<Vec<_>>(), [Some(Route(7)); 3]);
}

#[tokio::test]
async fn a_call_through_no_layer_is_one_of_reqwests() {
    let client = Client::new(reqwest::Client::new(), Identity::new());
    let address = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let sent = client.get(format!("http://{address}/")).send().await.unwrap();
    assert_eq!(sent.text().await.unwrap(), "hello");
    let (client, attempts) = counted(reqwest::Client::new());
    assert!(format!("{client:?} {:?}", client.get("http://some.example/")).contains("some"));
    assert_eq!(count(&attempts), 0);
}
