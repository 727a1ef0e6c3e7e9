//! Keys of clients and retries, over real clients and servers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use steadfast::{
    Backoff, guard,
    http::IdempotencyKey,
    retry::{RetryConfig, RetryLayer},
};
use steadfast_idempotency::http::{IdempotencyKeyLayer, derive};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::{foreign::Reqwest, support::serve};

/// The keys of all attempts, in the order in which they came.
type Keys = Arc<Mutex<Vec<Option<String>>>>;

/// Fails the first two attempts of each key after they were executed.
async fn server(keys: &Keys) -> std::net::SocketAddr {
    let (keys, attempts) = (Arc::clone(keys), Arc::new(Mutex::new(HashMap::new())));
    let answer = post(move |headers: HeaderMap| async move {
        let key = IdempotencyKey::from_headers(&headers).unwrap();
        let key = key.map(|key| key.as_str().to_owned());
        keys.lock().unwrap().push(key.clone());
        let mut attempts = attempts.lock().unwrap();
        let attempt = attempts.entry(key).or_insert(0);
        *attempt += 1;
        if *attempt < 3 { StatusCode::BAD_GATEWAY } else { StatusCode::OK }
    });
    serve(Router::new().route("/", answer)).await
}

fn retries() -> RetryConfig {
    RetryConfig::new().backoff(Backoff::constant(Duration::from_millis(1)).unwrap())
}

fn charge<B: From<&'static str>>(address: std::net::SocketAddr) -> Request<B> {
    Request::post(format!("http://{address}/")).body("amount=5".into()).unwrap()
}

/// Twice three attempts, with one key a call.
fn assert_one_key_a_call(keys: &Keys) {
    let keys = keys.lock().unwrap();
    let (one, other) = keys.split_at(3);
    assert!(keys.len() == 6 && keys.iter().all(Option::is_some), "{keys:?}");
    assert!(one.iter().all(|key| *key == one[0]) && other.iter().all(|key| *key == other[0]));
    assert_ne!(one[0], other[0]);
}

#[tokio::test]
async fn all_attempts_of_a_call_through_hyper_carry_one_key_and_the_next_call_another() {
    let keys = Keys::default();
    let address = server(&keys).await;
    let stack = ServiceBuilder::new()
        .layer(IdempotencyKeyLayer::new())
        .layer(RetryLayer::new(retries()).http());
    let client = guard(stack).layer(Client::builder(TokioExecutor::new()).build_http());
    for _ in 0..2 {
        let answer = client.clone().oneshot(charge::<Full<Bytes>>(address)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_one_key_a_call(&keys);
}

#[tokio::test]
async fn all_attempts_of_a_call_through_reqwest_carry_one_key_and_the_next_call_another() {
    let keys = Keys::default();
    let address = server(&keys).await;
    let stack = ServiceBuilder::new()
        .layer(IdempotencyKeyLayer::new().quoted())
        .layer(RetryLayer::new(retries()).http().body_as(reqwest::Body::wrap));
    let mut client = guard(stack).layer(Reqwest(reqwest::Client::new()));
    for _ in 0..2 {
        let client = client.ready().await.unwrap();
        let answer = client.call(charge::<reqwest::Body>(address)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_one_key_a_call(&keys);
}

#[tokio::test]
async fn without_a_key_a_post_is_not_repeated_and_with_one_that_was_derived_it_is() {
    let keys = Keys::default();
    let address = server(&keys).await;
    let stack = RetryLayer::new(retries()).http();
    let client = guard(stack).layer(Client::builder(TokioExecutor::new()).build_http());
    let answer = client.clone().oneshot(charge::<Full<Bytes>>(address)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);

    // A handler that is run again under its key asks under the same derived one.
    let parent = IdempotencyKey::new("8e03978e").unwrap();
    for _ in 0..2 {
        let mut request = charge::<Full<Bytes>>(address);
        request.headers_mut().insert("idempotency-key", derive(&parent, "charge").to_header());
        let client = IdempotencyKeyLayer::new().layer(client.clone());
        assert_eq!(client.oneshot(request).await.unwrap().status(), StatusCode::OK);
    }
    let keys = keys.lock().unwrap();
    assert_eq!((keys.len(), &keys[0]), (5, &None));
    assert!(keys[1..].iter().all(|key| key.as_deref() == Some(derive(&parent, "charge").as_str())));
}
