//! Replies over TCP: axum's server on the one side, hyper's client on the other.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
    routing::post,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use steadfast_core::http::respond;
use steadfast_idempotency::{IdempotencyConfig, http::IdempotencyLayer};
use tokio::{net::TcpListener, net::TcpStream, sync::mpsc, task::JoinHandle};
use tower_http::compression::CompressionLayer;

use super::support::{Got, Runs, handle, handle_of};

const LIMIT: usize = 64 * 1024;

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server whose handler answers with what `answer` makes, and how often it ran.
async fn shop<A, R>(answer: A, config: IdempotencyConfig) -> (SocketAddr, Runs)
where
    A: Fn() -> R + Clone + Send + Sync + 'static,
    R: IntoResponse,
{
    let runs = Runs::default();
    let seen = runs.clone();
    let handler = move || {
        seen.next();
        let response = answer().into_response();
        async move { response }
    };
    let layer = IdempotencyLayer::unscoped(handle_of(config)).methods([Method::POST, Method::HEAD]);
    let router = Router::new().route("/pay", post(handler.clone()).head(handler));
    (serve(router.layer(respond(layer))).await, runs)
}

/// A connection. Dropped, it is closed.
struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, connection }
    }

    async fn send(&mut self, method: Method, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri("/pay").header("host", "shop");
        for (name, value) in [&[("idempotency-key", "7f3a")], headers].concat() {
            request = request.header(name, value);
        }
        self.sender.send_request(request.body(Full::default()).unwrap()).await.unwrap()
    }

    async fn pay(&mut self) -> Response<Incoming> {
        self.send(Method::POST, &[]).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn pay(address: SocketAddr) -> Got {
    Got::of(Client::connect(address).await.pay().await).await
}

async fn next(body: &mut Incoming) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

type Sent = Result<Bytes, std::io::Error>;

/// A handler whose body a test sends: the sender of each run is put where the test takes it.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Option<mpsc::UnboundedSender<Sent>>>>);

impl Slow {
    fn answer(&self) -> Body {
        let (sender, mut frames) = mpsc::unbounded_channel();
        *self.0.lock().unwrap() = Some(sender);
        Body::from_stream(stream::poll_fn(move |cx| frames.poll_recv(cx)))
    }

    fn sender(&self) -> mpsc::UnboundedSender<Sent> {
        self.0.lock().unwrap().take().unwrap()
    }

    async fn shop(&self, config: IdempotencyConfig) -> (SocketAddr, Runs) {
        let slow = self.clone();
        shop(move || slow.answer(), config).await
    }
}

fn part(text: &'static str) -> Sent {
    Ok(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn each_frame_is_there_before_the_handler_makes_the_next() {
    let slow = Slow::default();
    let (address, runs) = slow.shop(IdempotencyConfig::new()).await;
    let mut client = Client::connect(address).await;
    let mut response = client.pay().await;
    let sender = slow.sender();
    for text in ["first", "second", "third"] {
        sender.send(part(text)).unwrap();
        assert_eq!(next(response.body_mut()).await, text);
    }
    drop(sender);
    assert!(response.body_mut().frame().await.is_none());
    let again = pay(address).await;
    assert_eq!((again.is_replayed(), &*again.text), (true, "firstsecondthird"));
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn the_reply_of_a_client_that_left_in_the_middle_is_kept_whole_and_replayed() {
    let slow = Slow::default();
    let (address, runs) = slow.shop(IdempotencyConfig::new()).await;
    let mut client = Client::connect(address).await;
    let mut response = client.pay().await;
    let sender = slow.sender();
    sender.send(part("first")).unwrap();
    assert_eq!(next(response.body_mut()).await, "first");
    drop((client, response));
    let again = tokio::spawn(pay(address));
    // The server learns of it as it writes.
    for text in ["second", "third", "fourth"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sender.send(part(text)).unwrap();
    }
    drop(sender);
    let again = again.await.unwrap();
    assert_eq!((again.is_replayed(), &*again.text), (true, "firstsecondthirdfourth"));
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_caller_that_never_reads_does_not_keep_its_duplicate_waiting() {
    // More than the buffers of both sockets hold.
    const LENGTH: usize = 24 << 20;
    let slow = Slow::default();
    let config = IdempotencyConfig::new().most_reply_bytes(2 * LENGTH);
    let (address, runs) = slow.shop(config).await;
    let mut client = Client::connect(address).await;
    let unread = client.pay().await;
    let sender = slow.sender();
    let block = Bytes::from(vec![b'7'; 64 * 1024]);
    for _ in 0..LENGTH / block.len() {
        sender.send(Ok(block.clone())).unwrap();
    }
    drop(sender);
    let again = pay(address).await;
    assert_eq!((again.is_replayed(), again.text.len(), runs.count()), (true, LENGTH, 1));
    // And it is all there for the caller when it does read.
    assert_eq!(Got::of(unread).await.text.len(), LENGTH);
}

#[tokio::test]
async fn a_reply_beyond_the_limit_reaches_its_first_caller_whole_and_no_other() {
    const LENGTH: usize = 150_000;
    let whole = || Body::from(vec![b'7'; LENGTH]);
    // Whether its length is known or not.
    let in_parts = move || {
        let parts = (0..LENGTH / 1000).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b'7'; 1000])));
        Body::from_stream(stream::iter(parts).then(async |part| {
            tokio::task::yield_now().await;
            part
        }))
    };
    let config = || IdempotencyConfig::new().most_reply_bytes(LIMIT);
    for (address, runs) in [shop(whole, config()).await, shop(in_parts, config()).await] {
        let first = pay(address).await;
        assert_eq!((first.status.as_u16(), first.text.len()), (200, LENGTH));
        assert_eq!(pay(address).await.refused(), (409, None), "final");
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test]
async fn events_reach_the_first_caller_as_they_happen_and_a_duplicate_is_refused() {
    let (events, got) = mpsc::unbounded_channel::<&str>();
    let got = Arc::new(Mutex::new(Some(got)));
    let answer = move || {
        let mut got = got.lock().unwrap().take().unwrap();
        let events = stream::poll_fn(move |cx| got.poll_recv(cx));
        Sse::new(events.map(|event| Ok::<_, Infallible>(Event::default().data(event))))
    };
    let (address, runs) = shop(answer, IdempotencyConfig::new()).await;
    let mut client = Client::connect(address).await;
    let mut response = client.pay().await;
    for event in ["one", "two"] {
        events.send(event).unwrap();
        assert_eq!(next(response.body_mut()).await, format!("data: {event}\n\n"));
        // The stream goes on, and holds no claim.
        assert_eq!(pay(address).await.refused(), (409, None));
    }
    drop(events);
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_body_that_fails_breaks_off_for_its_caller_and_its_key_is_abandoned() {
    let slow = Slow::default();
    let (address, runs) = slow.shop(IdempotencyConfig::new()).await;
    let mut client = Client::connect(address).await;
    let mut response = client.pay().await;
    let sender = slow.sender();
    sender.send(part("first")).unwrap();
    assert_eq!(next(response.body_mut()).await, "first");
    sender.send(Err(std::io::Error::other("disk"))).unwrap();
    assert!(response.body_mut().frame().await.unwrap().is_err());
    assert_eq!(pay(address).await.refused(), (409, None));
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_body_that_panics_breaks_off_for_its_caller_and_its_key_is_abandoned() {
    let slow = Slow::default();
    let handler = slow.clone();
    let answer = move || {
        let frames = handler.answer().into_data_stream();
        Body::from_stream(frames.map(|frame| {
            assert_ne!(frame.as_ref().unwrap(), "panic", "in a body");
            frame
        }))
    };
    let (address, runs) = shop(answer, IdempotencyConfig::new()).await;
    let mut client = Client::connect(address).await;
    let mut response = client.pay().await;
    let sender = slow.sender();
    sender.send(part("first")).unwrap();
    assert_eq!(next(response.body_mut()).await, "first");
    sender.send(part("panic")).unwrap();
    assert!(response.body_mut().frame().await.unwrap().is_err());
    assert_eq!(pay(address).await.refused(), (409, None));
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn repeated_headers_are_replayed_and_what_is_for_one_caller_is_not() {
    let answer = || {
        let mut response = Response::new(Body::from("paid"));
        for (name, value) in [
            ("link", "</1>"),
            ("set-cookie", "session=alice"),
            ("link", "</2>"),
            ("access-control-allow-origin", "https://alice.example"),
            ("ratelimit-remaining", "7"),
            ("x-receipt", "1"),
        ] {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    };
    let (address, runs) = shop(answer, IdempotencyConfig::new()).await;
    let first = pay(address).await;
    assert_eq!(first.headers["set-cookie"], "session=alice");
    assert_eq!(first.headers["ratelimit-remaining"], "7");
    let again = pay(address).await;
    let links: Vec<_> = again.headers.get_all("link").iter().collect();
    assert_eq!(links, ["</1>", "</2>"]);
    assert_eq!(again.headers["x-receipt"], "1");
    for name in ["set-cookie", "access-control-allow-origin", "ratelimit-remaining"] {
        assert!(!again.headers.contains_key(name), "{name}");
    }
    assert_eq!((again.is_replayed(), &*again.text, runs.count()), (true, "paid", 1));
}

#[tokio::test]
async fn trailers_are_replayed() {
    let answer = || {
        let trailers = [("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
        let frames = [Frame::data(Bytes::from("paid")), Frame::trailers(trailers)];
        let frames = stream::iter(frames.map(Ok::<_, Infallible>));
        let body = Body::new(StreamBody::new(frames));
        Response::builder().header("trailer", "x-sum").body(body).unwrap()
    };
    let (address, runs) = shop(answer, IdempotencyConfig::new()).await;
    for replayed in [false, true] {
        let mut client = Client::connect(address).await;
        let response = client.send(Method::POST, &[("te", "trailers")]).await;
        assert_eq!(response.headers().contains_key("idempotent-replayed"), replayed);
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7", "replayed: {replayed}");
        assert_eq!(body.to_bytes(), "paid");
    }
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn a_reply_without_a_body_is_replayed_as_one() {
    for status in [204, 205, 304, 200] {
        let answer = move || Response::builder().status(status).body(Body::empty()).unwrap();
        let (address, runs) = shop(answer, IdempotencyConfig::new()).await;
        // Over one connection: a byte too many would be taken for the next response.
        let mut client = Client::connect(address).await;
        let first = Got::of(client.pay().await).await;
        for _ in 0..2 {
            let again = Got::of(client.pay().await).await;
            assert_eq!((again.status.as_u16(), &*again.text), (status, ""));
            let length = |got: &Got| got.headers.get(header::CONTENT_LENGTH).cloned();
            assert_eq!((length(&again), again.is_replayed()), (length(&first), true));
        }
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test]
async fn the_reply_to_a_head_is_replayed_with_the_length_of_what_it_has_not() {
    let answer =
        || Response::builder().header("content-length", "1234").body(Body::empty()).unwrap();
    let (address, runs) = shop(answer, IdempotencyConfig::new()).await;
    let mut client = Client::connect(address).await;
    for replayed in [false, true, true] {
        let got = Got::of(client.send(Method::HEAD, &[]).await).await;
        assert_eq!(got.headers[header::CONTENT_LENGTH], "1234");
        assert_eq!((got.is_replayed(), &*got.text), (replayed, ""));
    }
    assert_eq!(runs.count(), 1);
}

#[tokio::test]
async fn with_compression_outside_each_caller_gets_the_coding_that_it_takes() {
    let runs = Runs::default();
    let seen = runs.clone();
    let text = "paid ".repeat(200);
    let receipt = text.clone();
    let handler = move || {
        seen.next();
        async move { receipt }
    };
    let router = Router::new()
        .route("/pay", post(handler))
        .layer(respond(IdempotencyLayer::unscoped(handle())))
        .layer(CompressionLayer::new());
    let address = serve(router).await;
    for (accepts, coding) in [("gzip", Some("gzip")), ("identity", None), ("gzip", Some("gzip"))] {
        let mut client = Client::connect(address).await;
        let response = client.send(Method::POST, &[("accept-encoding", accepts)]).await;
        let found =
            response.headers().get("content-encoding").map(|coding| coding.to_str().unwrap());
        assert_eq!(found, coding);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        match coding {
            // The magic number of gzip.
            Some(_) => assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < text.len()),
            None => assert_eq!(body, text),
        }
    }
    assert_eq!(runs.count(), 1);
}
