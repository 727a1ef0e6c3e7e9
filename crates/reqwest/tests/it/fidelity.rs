//! What a stack leaves as reqwest has it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode},
    response::Redirect,
    routing::{any, get},
};
use steadfast_breaker::{BreakerLayer, Circuit};
use steadfast_reqwest::Client;
use steadfast_timeout::{BodyTimeoutConfig, BodyTimeoutLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    time::sleep,
};
use tower::ServiceBuilder;

use crate::support::{MS, count, counted, retries, serve, streamed};

/// What a server has seen of requests.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Method, HeaderMap, Bytes)>>>);

impl Seen {
    /// The values of a header in all requests.
    fn header(&self, name: &str) -> Vec<Option<String>> {
        let value = |headers: &HeaderMap| Some(headers.get(name)?.to_str().unwrap().to_owned());
        self.0.lock().unwrap().iter().map(|(_, headers, _)| value(headers)).collect()
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().iter().map(|(_, _, body)| body.clone()).collect()
    }
}

/// A server that is busy at its first request, and what it has seen.
async fn busy_at_first() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let answer = |State(Seen(seen)): State<Seen>, method, headers, body| async move {
        let mut seen = seen.lock().unwrap();
        seen.push((method, headers, body));
        if seen.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    };
    (serve(Router::new().route("/", any(answer)).with_state(seen.clone())).await, seen)
}

#[tokio::test]
async fn a_body_in_memory_is_sent_again_with_its_length_both_times() {
    for length in [5_000, 60_000] {
        let (address, seen) = busy_at_first().await;
        let (client, _) = counted(reqwest::Client::new());
        let body: Bytes = (0..length).map(|at| at as u8).collect();
        let answer = client.put(format!("http://{address}/")).body(body.clone()).send().await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
        assert_eq!(seen.header("content-length"), vec![Some(length.to_string()); 2]);
        assert_eq!(seen.header("transfer-encoding"), [None, None]);
        assert_eq!(seen.bodies(), [body.clone(), body]);
    }
}

#[tokio::test]
async fn a_stream_is_sent_again_as_far_as_it_was_kept() {
    let (address, seen) = busy_at_first().await;
    let (client, _) = counted(reqwest::Client::new());
    let body = streamed(["hello", ", ", "world"].map(Ok));
    let answer = client.put(format!("http://{address}/")).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // When it is sent again, its length is known.
    assert_eq!(seen.header("transfer-encoding"), [Some("chunked".to_owned()), None]);
    assert_eq!(seen.header("content-length"), [None, Some("12".to_owned())]);
    assert_eq!(seen.bodies(), ["hello, world", "hello, world"]);
}

#[tokio::test]
async fn requests_without_a_body_have_the_headers_they_have_without_a_stack() {
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let (address, seen) = busy_at_first().await;
        let url = format!("http://{address}/");
        let http = reqwest::Client::new();
        http.request(method.clone(), &url).send().await.unwrap();
        let (client, _) = counted(http);
        client.request(method, &url).send().await.unwrap();
        client.execute(client.get(&url).build().unwrap()).await.unwrap();
        let requests = seen.0.lock().unwrap();
        assert_eq!(requests[0].1, requests[1].1);
        assert_eq!(requests[2].0, Method::GET);
        assert_eq!(requests[2].1.get("content-length"), None);
        assert_eq!(requests[2].1.get("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn what_the_builder_of_reqwest_says_arrives() {
    let (address, seen) = busy_at_first().await;
    let client = Client::new(reqwest::Client::new(), retries().http());
    let url = format!("http://{address}/");
    let built = client
        .put(&url)
        .header("x-one", "1")
        .headers([("x-two".parse().unwrap(), "2".parse().unwrap())].into_iter().collect())
        .bearer_auth("token")
        .with(|request| request.header("x-three", "3"))
        .body("hello");
    assert!(built.try_clone().is_some());
    assert_eq!(built.send().await.unwrap().status(), StatusCode::OK);
    client.head(&url).basic_auth("user", Some("password")).send().await.unwrap();
    client.patch(&url).version(http::Version::HTTP_10).send().await.unwrap();
    client.delete(&url).send().await.unwrap();
    for (name, value) in [("x-one", "1"), ("x-two", "2"), ("x-three", "3")] {
        assert_eq!(seen.header(name)[1].as_deref(), Some(value));
    }
    let authorization = ["Bearer token", "Bearer token", "Basic dXNlcjpwYXNzd29yZA=="];
    assert_eq!(seen.header("authorization")[..3], authorization.map(|it| Some(it.to_owned())));
    let methods: Vec<_> = seen.0.lock().unwrap().iter().map(|it| it.0.clone()).collect();
    let sent = [Method::PUT, Method::PUT, Method::HEAD, Method::PATCH, Method::DELETE];
    assert_eq!(methods, sent);
}

#[tokio::test]
async fn a_response_says_where_it_came_from_and_how_long_it_is() {
    let router = Router::new()
        .route("/", get(|| async { Redirect::temporary("/there?with=query") }))
        .route("/there", get(|| async { "hello" }));
    let address = serve(router).await;
    let (client, _) = counted(reqwest::Client::new());
    for path in ["", "there?with=query"] {
        let response = client.get(format!("http://{address}/{path}")).send().await.unwrap();
        assert_eq!(response.url().as_str(), format!("http://{address}/there?with=query"));
        assert_eq!(response.content_length(), Some(5));
        assert_eq!(response.remote_addr(), Some(address));
        assert_eq!(response.text().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn a_redirect_that_keeps_the_body_is_followed_with_it_through_a_retry() {
    let router = Router::new().route("/", any(|| async { Redirect::temporary("/there") })).route(
        "/there",
        any(|method: Method, body: String| async move { format!("{method} {body}") }),
    );
    let address = serve(router).await;
    let (client, attempts) = counted(reqwest::Client::new());
    let post = |body| client.post(format!("http://{address}/")).body(body).send();
    let answer = post("hello".into()).await.unwrap();
    assert_eq!(answer.url().path(), "/there");
    assert_eq!(answer.text().await.unwrap(), "POST hello");
    // What is more than a retry keeps is streamed, and reqwest repeats no stream.
    let answer = post("x".repeat(65 * 1024)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(count(&attempts), 2);
    // Without a retry the body is as it was.
    let plain = Client::new(reqwest::Client::new(), tower::layer::util::Identity::new());
    let long = plain.post(format!("http://{address}/")).body("x".repeat(65 * 1024));
    assert_eq!(long.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_timeout_of_a_request_is_that_of_each_attempt() {
    let address = serve(Router::new().route("/", get(|| sleep(Duration::from_secs(60))))).await;
    let (client, attempts) = counted(reqwest::Client::new());
    let error = client.get(format!("http://{address}/")).timeout(50 * MS).send().await.unwrap_err();
    assert!(error.into_service().unwrap().is_timeout());
    assert_eq!(count(&attempts), 3);
}

#[tokio::test]
async fn a_response_is_read_as_it_comes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
        stream.write_all(head).await.unwrap();
        told.notified().await;
        stream.write_all(b"again").await.unwrap();
    });
    let (client, _) = counted(reqwest::Client::new());
    let mut response = client.get(format!("http://{address}/")).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    go_on.notify_one();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "again");
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_handler_holds_a_client_and_a_task_sends_by_it() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let inner = serve(Router::new().route("/", get(|| async { "inner" }))).await;
    let (client, _) = counted(reqwest::Client::new());
    is_shared(&client);
    let handler = move |State(client): State<Client>| async move {
        let sent = tokio::spawn(client.get(format!("http://{inner}/")).send());
        sent.await.unwrap().unwrap().text().await.unwrap()
    };
    let outer = serve(Router::new().route("/", get(handler)).with_state(client.clone())).await;
    let sent = client.get(format!("http://{outer}/")).send().await.unwrap();
    assert_eq!(sent.text().await.unwrap(), "inner");
}

/// All that looks at bodies.
fn watched(circuit: &Circuit) -> Client {
    let bodies = BodyTimeoutConfig::new().between_frames(Duration::from_secs(30));
    let stack = ServiceBuilder::new()
        .layer(retries().http())
        .layer(BreakerLayer::new(circuit.clone()).http().until_end())
        .layer(BodyTimeoutLayer::new(bodies).unwrap());
    Client::new(reqwest::Client::new(), stack)
}

/// A server that answers each request with `answer` and keeps its connections, and how many it had.
async fn raw(answer: &'static str) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            seen.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, connections)
}

const BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";

#[tokio::test]
async fn a_body_that_takes_too_long_fails_as_it_does_without_a_stack() {
    let (address, _) = raw(BEGUN).await;
    let (url, circuit) = (format!("http://{address}/asked"), Circuit::default());
    let response = watched(&circuit).get(&url).timeout(100 * MS).send().await.unwrap();
    let error = response.text().await.unwrap_err();
    assert!(error.is_timeout() && error.is_decode(), "{error:?}");
    assert_eq!(error.url().unwrap().as_str(), url);
    assert_eq!(circuit.snapshot().counts.failures, 1);
}

#[tokio::test]
async fn a_response_that_is_dropped_in_its_body_takes_its_connection_along_and_nothing_else() {
    let (address, connections) = raw(BEGUN).await;
    let (url, circuit) = (format!("http://{address}/"), Circuit::default());
    let client = watched(&circuit);
    for connection in 1..=3 {
        let mut response = client.get(&url).send().await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
        assert_eq!(count(&connections), connection);
    }
    let counts = circuit.snapshot().counts;
    assert_eq!((counts.total, counts.failures), (3, 0));
}

#[tokio::test]
async fn a_connection_that_changes_its_protocol_is_the_callers() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\n\
                     connection: upgrade\r\n\r\nhello";
    let (address, _) = raw(switching).await;
    let circuit = Circuit::default();
    let request = watched(&circuit).get(format!("http://{address}/")).header("upgrade", "echo");
    let response = request.header("connection", "upgrade").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut upgraded = response.upgrade().await.unwrap();
    let mut greeting = [0; 5];
    upgraded.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello");
    assert_eq!(circuit.snapshot().counts.failures, 0);
}
