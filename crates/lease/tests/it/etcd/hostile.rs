//! A server that says what a test wants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::HeaderValue;
use steadfast_core::Executed;
use steadfast_lease::{AcquireTerms, Nonce, RenewReply, View};
use tokio::{net::TcpListener, sync::Notify, time::sleep};
use tonic::Status;

use super::*;
use crate::servers::{granted, some_name, terms};

/// What is said to a call.
enum Say {
    Message(Vec<u8>),
    Refuse(Status),
    /// As usual, after this.
    After(Duration),
    /// As usual, once that is told.
    Once(Arc<Notify>),
}

/// A server of etcd's protocol without a store: it grants leases of 15 s, lets each transaction
/// succeed, and finds nothing, but for what a test wants said instead.
#[derive(Default)]
struct Hostile {
    /// By the last part of the path, in this order.
    script: Mutex<Vec<(&'static str, Say)>>,
    calls: Mutex<HashMap<String, i64>>,
    /// The token that is refused.
    forgotten: Mutex<Option<HeaderValue>>,
}

impl Hostile {
    async fn start() -> (Arc<Self>, String) {
        let hostile = Arc::new(Self::default());
        let serves = Arc::clone(&hostile);
        let serve = move |request: Request| {
            let serves = Arc::clone(&serves);
            serves.answer(request)
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(serve);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (hostile, url)
    }

    fn say(&self, to: &'static str, say: Say) {
        self.script.lock().unwrap().push((to, say));
    }

    fn calls(&self, of: &str) -> i64 {
        self.calls.lock().unwrap().get(of).copied().unwrap_or(0)
    }

    async fn answer(self: Arc<Self>, request: Request) -> Response {
        let path = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let token = request.headers().get("token").cloned();
        if path == "Watch" {
            self.count(&path);
            return response(frame(&int(4, 1)));
        }
        if path == "LeaseKeepAlive" {
            return self.keep_alive(request);
        }
        to_bytes(request.into_body(), 10_000).await.unwrap();
        if token.is_some_and(|token| Some(&token) == self.forgotten.lock().unwrap().as_ref()) {
            return Status::unauthenticated("etcdserver: invalid auth token").into_http();
        }
        match self.next(&path).await {
            Ok(message) => response(frame(&message)),
            Err(status) => status.into_http(),
        }
    }

    /// One answer for each request, in their order.
    fn keep_alive(self: Arc<Self>, request: Request) -> Response {
        let parts = request.into_body().into_data_stream();
        let asked = parts.flat_map(|part| stream::iter(messages(part.unwrap_or_default())));
        let answers = asked.then(move |asked| {
            let server = Arc::clone(&self);
            async move {
                server.next("LeaseKeepAlive").await?;
                // The number is in the first field, as it is in the answer's second.
                let number = [&[2 << 3], &asked[1..]].concat();
                Ok::<_, Status>(frame(&[header(1), number, int(3, 15)].concat()))
            }
        });
        response(Body::from_stream(answers))
    }

    fn count(&self, path: &str) -> i64 {
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }

    async fn next(&self, path: &str) -> Result<Vec<u8>, Status> {
        let count = self.count(path);
        let said = {
            let mut script = self.script.lock().unwrap();
            let at = script.iter().position(|(of, _)| *of == path);
            at.map(|at| script.remove(at).1)
        };
        match said {
            Some(Say::Message(message)) => return Ok(message),
            Some(Say::Refuse(status)) => return Err(status),
            Some(Say::After(time)) => sleep(time).await,
            Some(Say::Once(told)) => told.notified().await,
            None => {}
        }
        Ok(match path {
            "Txn" => [header(1), int(2, 1)].concat(),
            "LeaseGrant" => [header(1), int(2, count), int(3, 15)].concat(),
            "LeaseTimeToLive" => [header(1), int(3, 10)].concat(),
            "Authenticate" => [header(1), field(2, format!("token {count}").as_bytes())].concat(),
            _ => header(1),
        })
    }
}

fn response(body: impl Into<Body>) -> Response {
    let response = Response::builder().header("content-type", "application/grpc");
    response.header("grpc-status", "0").body(body.into()).unwrap()
}

fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

fn messages(mut part: Bytes) -> Vec<Bytes> {
    let mut messages = vec![];
    while part.len() > 5 {
        let head = part.split_to(5);
        messages.push(part.split_to(usize::from(head[4])));
    }
    messages
}

fn varint(mut rest: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

fn int(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value.cast_unsigned())].concat()
}

fn field(number: u64, value: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2), &varint(value.len() as u64), value].concat()
}

/// At revision 5, in this term.
fn header(term: i64) -> Vec<u8> {
    field(1, &[int(3, 5), int(4, term)].concat())
}

/// A holding under this nonce, by the lease of this number.
fn held(name: &LeaseName, nonce: [u8; 16], lease: i64) -> Vec<u8> {
    let value = [&[1], &nonce[..], &7_u64.to_be_bytes(), b"holder"].concat();
    let key = format!("{PREFIX}name/{name}");
    let kv =
        [field(1, key.as_bytes()), int(2, 5), int(3, 5), field(5, &value), int(6, lease)].concat();
    [header(1), field(2, &kv)].concat()
}

fn of(nonce: [u8; 16]) -> AcquireTerms {
    AcquireTerms { nonce: Nonce::from_bytes(nonce), ..terms() }
}

fn busy() -> Status {
    Status::resource_exhausted("etcdserver: too many requests")
}

/// The key was created in another term than the lease was renewed in, so the acquisition went on,
/// and its last call did not get through.
#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_created_its_key_and_then_failed_may_have_been_executed() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://{at}")).await;
    let (first, name) = (terms(), some_name());
    granted(&store, &name, &first).await;
    assert!(store.release(&name, first.nonce).await.unwrap());
    server.say("Txn", Say::Message([header(2), int(2, 1)].concat()));
    server.say("LeaseKeepAlive", Say::After(Duration::ZERO));
    for _ in 0..2 {
        server.say("LeaseKeepAlive", Say::Refuse(busy()));
    }
    let error = store.acquire(&name, &terms()).await.unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe, "{error:?}");
}

/// Its lease of etcd's was to spare by then, and is another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_answered_after_the_release_has_no_second_release_free_another_lease() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://{at}")).await;
    let (first, second, third) = (some_name(), some_name(), some_name());
    let owner = of([7; 16]);
    granted(&store, &first, &owner).await;
    let go_on = Arc::new(Notify::new());
    server.say("LeaseKeepAlive", Say::Once(Arc::clone(&go_on)));
    server.say("Range", Say::Message(held(&first, [7; 16], 1)));
    let renews = tokio::spawn({
        let (store, first) = (store.clone(), first.clone());
        async move { store.renew(&first, owner.nonce).await }
    });
    while server.calls("LeaseKeepAlive") == 0 || server.calls("Range") == 0 {
        sleep(MS).await;
    }
    assert!(store.release(&first, owner.nonce).await.unwrap());
    go_on.notify_one();
    let renewed = renews.await.unwrap().unwrap();
    assert!(matches!(renewed, RenewReply::Renewed { .. }), "{renewed:?}");
    // By the lease that is to spare.
    granted(&store, &second, &terms()).await;
    assert_eq!(server.calls("LeaseGrant"), 1);
    store.release(&first, owner.nonce).await.unwrap();
    granted(&store, &third, &terms()).await;
    assert_eq!(server.calls("LeaseGrant"), 2, "the lease of the second is not to spare");
}

/// The repeated call did not get through: the grant is what it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_is_repeated_in_vain_keeps_its_lease_for_itself() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://{at}")).await;
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    server.say("Txn", Say::Refuse(busy()));
    let error = store.acquire(&name, &owner).await.unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe, "it is held since before");
    granted(&store, &some_name(), &terms()).await;
    assert_eq!(server.calls("LeaseGrant"), 2, "the lease of the first is not to spare");
}

/// Compacted, or not allowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_the_server_ends_at_once_is_not_asked_for_in_a_tight_loop() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://{at}")).await;
    let (name, seen) = (some_name(), View::default());
    let waits = tokio::time::timeout(700 * MS, store.observe(&name, Some(&seen)));
    assert!(waits.await.is_err(), "nothing has changed");
    let looks = server.calls("Range");
    assert!((1..=3).contains(&looks), "{looks} looks");
}

/// All leases find out at once, and a password costs the server a tenth of a second.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_asks_for_the_token_that_all_have_lost() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://root:secret@{at}")).await;
    assert_eq!(server.calls("Authenticate"), 1);
    server.say("Authenticate", Say::After(100 * MS));
    *server.forgotten.lock().unwrap() = Some(HeaderValue::from_static("token 1"));
    let looks = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.observe(&some_name(), None).await })
    });
    for look in looks.collect::<Vec<_>>() {
        look.await.unwrap().unwrap();
    }
    // One that was sent late may have met the new token.
    let asked = server.calls("Authenticate");
    assert!((2..=5).contains(&asked), "{asked} times");
}

/// It takes connections, and answers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_server_that_says_nothing_keeps_no_program_from_connecting() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (_server, at) = Hostile::start().await;
    let url = format!("etcd://{},{at}", silent.local_addr().unwrap());
    let config = EtcdConfig::new().call_limit(4 * SEC);
    EtcdStore::connect(config, &url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_without_a_revision_is_corrupt_and_none() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://{at}")).await;
    server.say("Txn", Say::Message(int(2, 1)));
    let error = store.acquire(&some_name(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::Maybe));
    // A lease of nothing.
    server.say("LeaseGrant", Say::Message([header(1), int(2, 9)].concat()));
    let error = store.acquire(&some_name(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::No));
}

/// The process that acquired it is another: its lease of etcd's must not last on without a key.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_in_another_process_leaves_no_lease_of_etcds_behind() {
    let (server, at) = Hostile::start().await;
    let store = connect(&format!("etcd://{at}")).await;
    let (name, owner) = (some_name(), of([7; 16]));
    server.say("Range", Say::Message(held(&name, [7; 16], 33)));
    assert!(store.release(&name, owner.nonce).await.unwrap());
    let until = tokio::time::Instant::now() + 5 * SEC;
    while server.calls("LeaseRevoke") == 0 {
        assert!(tokio::time::Instant::now() < until, "it is revoked");
        sleep(5 * MS).await;
    }
}
