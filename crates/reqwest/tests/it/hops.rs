//! Calls that go on after an answer, inside of reqwest: what was answered was executed, whatever
//! the error of the last hop says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::Redirect,
    routing::{get, post},
};
use reqwest::redirect::Policy;
use steadfast_breaker::{BreakerLayer, Circuit};
use steadfast_core::{Executed, Verdict, http::HttpClassifier};
use steadfast_reqwest::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::ServiceBuilder;

use crate::support::{Nowhere, count, counted, retries, serve, vacant};

/// The statuses by which reqwest goes on to another place.
const REDIRECTS: [StatusCode; 5] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::SEE_OTHER,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];

/// A server that executes each POST and answers it with a redirect, and how many it has executed.
async fn redirecting(status: StatusCode, to: String) -> (SocketAddr, Arc<AtomicU32>) {
    let executed = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&executed);
    let answer = move |_: String| async move {
        seen.fetch_add(1, Ordering::Relaxed);
        (status, HeaderMap::from_iter([(LOCATION, to.parse().unwrap())]))
    };
    (serve(Router::new().route("/", post(answer))).await, executed)
}

fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder().dns_resolver(Nowhere)
}

async fn a_redirect_to_nowhere(http: reqwest::Client) {
    for status in REDIRECTS {
        for body in ["", "charge"] {
            for to in [format!("http://{}/", vacant()), "http://some.example/".into()] {
                let (address, executed) = redirecting(status, to.clone()).await;
                let (client, attempts) = counted(http.clone());
                let url = format!("http://{address}/");
                let error = client.post(&url).body(body).send().await.unwrap_err();
                let error = error.into_service().expect("the caller gets reqwest's own error");
                // That is why the URL cannot tell: it is the request's at every hop.
                assert!(error.is_connect() && error.url().unwrap().as_str() == url, "{error:?}");
                let counts = (count(&attempts), count(&executed));
                assert_eq!(counts, (1, 1), "{status} {body:?} {to}");
            }
        }
    }
}

#[tokio::test]
async fn a_post_that_was_answered_by_a_redirect_to_nowhere_is_sent_once() {
    a_redirect_to_nowhere(http().build().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_sent_once_by_several_threads() {
    let one = |_| tokio::spawn(a_redirect_to_nowhere(http().build().unwrap()));
    for task in (0..8).map(one).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn it_is_sent_once_over_http2() {
    a_redirect_to_nowhere(http().http2_prior_knowledge().build().unwrap()).await;
}

/// A status of the last hop promises that *its* request was not executed. That says nothing of the
/// POST before it.
#[tokio::test]
async fn a_post_whose_redirect_leads_to_an_answer_that_promises_is_sent_once() {
    for status in
        [StatusCode::TOO_MANY_REQUESTS, StatusCode::MISDIRECTED_REQUEST, StatusCode::TOO_EARLY]
    {
        let busy = serve(Router::new().fallback(async move || status)).await;
        for redirect in REDIRECTS {
            let (address, executed) = redirecting(redirect, format!("http://{busy}/")).await;
            let (client, attempts) = counted(reqwest::Client::new());
            let sent = client.post(format!("http://{address}/")).body("charge").send();
            assert_eq!(sent.await.unwrap().status(), status);
            assert_eq!((count(&attempts), count(&executed)), (1, 1), "{redirect} {status}");
        }
        // Without a redirect the promise holds.
        let (client, attempts) = counted(reqwest::Client::new());
        client.post(format!("http://{busy}/")).body("charge").send().await.unwrap();
        assert_eq!(count(&attempts), 3, "{status}");
    }
}

/// The client does not follow, and will not the next time: the service is not to blame.
#[tokio::test]
async fn a_redirect_that_is_not_followed_is_neither_repeated_nor_counted() {
    let hops = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&hops);
    let round = move || {
        seen.fetch_add(1, Ordering::Relaxed);
        async { Redirect::to("/") }
    };
    let url = format!("http://{}/", serve(Router::new().route("/", get(round))).await);
    let policy = |error: &'static str| Policy::custom(move |attempt| attempt.error(error));
    for (policy, expected) in [(Policy::limited(5), 6), (policy("not there"), 1)] {
        hops.store(0, Ordering::Relaxed);
        let http = reqwest::Client::builder().redirect(policy).build().unwrap();
        let circuit = Circuit::default();
        let stack = ServiceBuilder::new()
            .layer(retries().http())
            .layer(BreakerLayer::new(circuit.clone()).http());
        let error = Client::new(http, stack).get(&url).send().await.unwrap_err();
        assert!(error.into_service().unwrap().is_redirect());
        let counts = circuit.snapshot().counts;
        assert_eq!((count(&hops), counts.total, counts.failures), (expected, 1, 0));
    }
}

/// A server that answers one request with `answer`, made of its address, and is gone.
async fn once(answer: fn(SocketAddr) -> String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(answer(address).as_bytes()).await.unwrap();
    });
    address
}

/// The URL of the error is that of the request here by right.
#[tokio::test]
async fn a_post_that_was_sent_back_to_where_it_came_from_is_sent_once() {
    for _ in 0..20 {
        let back = |address| {
            format!(
                "HTTP/1.1 303 See Other\r\nlocation: http://{address}/\r\nconnection: close\r\n\
                 content-length: 0\r\n\r\n"
            )
        };
        let address = once(back).await;
        let (client, attempts) = counted(reqwest::Client::new());
        let sent = client.post(format!("http://{address}/")).body("charge").send();
        assert!(sent.await.unwrap_err().into_service().unwrap().is_connect());
        assert_eq!(count(&attempts), 1);
    }
}

/// What the stack tells apart cannot be told from the error alone.
#[tokio::test]
async fn without_a_stack_the_error_of_a_redirect_says_that_nothing_was_executed() {
    let to = format!("http://{}/", vacant());
    let (address, executed) = redirecting(StatusCode::TEMPORARY_REDIRECT, to).await;
    let sent = reqwest::Client::new().post(format!("http://{address}/")).body("charge").send();
    let error: steadfast_reqwest::Error = steadfast_core::Error::Service(sent.await.unwrap_err());
    let judge = |error| {
        steadfast_core::Classify::<http::Response<()>, _>::classify(&HttpClassifier, Err(error))
    };
    assert_eq!(judge(&error), Verdict::transient(Executed::No));
    assert_eq!(count(&executed), 1);
}
