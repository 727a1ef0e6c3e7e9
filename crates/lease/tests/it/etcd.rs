//! The store in etcd, on real servers, and against what goes wrong.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use steadfast_core::Executed;
use steadfast_lease::{
    EtcdConfig, EtcdStore, LeaseClient, LeaseClientConfig, LeaseName, RenewReply, Store,
    StoreErrorKind,
};
use steadfast_testkit::servers::{self, EtcdServer};
use tonic::transport::Channel;

mod cluster;
mod faults;
mod hostile;
mod keys;
#[cfg(feature = "etcd-tls")]
mod tls;

mod contract {
    use super::*;

    steadfast_lease::lease_contract! {
        #[tokio::test(flavor = "multi_thread")]
        async || connect(&servers::etcd().url()).await
    }
}

const PREFIX: &str = "steadfast/lease/";
const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// A busy machine is no broken promise.
fn config() -> EtcdConfig {
    EtcdConfig::new().call_limit(20 * SEC)
}

/// A store of its own.
async fn connect(url: &str) -> EtcdStore {
    EtcdStore::connect(config(), url).await.unwrap()
}

async fn client(url: &str, ttl: Duration) -> LeaseClient {
    LeaseClient::new(LeaseClientConfig::new().ttl(ttl), connect(url).await).unwrap()
}

/// One call of the server's gateway, beside the store.
fn say(server: &EtcdServer, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    stream.set_read_timeout(Some(10 * SEC)).unwrap();
    let length = body.len();
    write!(stream, "POST /v3/{path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 OK"), "{path}: {answer}");
    answer
}

/// All values of a field, which are texts.
fn told<'a>(answer: &'a str, field: &str) -> Vec<&'a str> {
    let field = format!("\"{field}\":\"");
    answer.split(&field).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The leases of the server's.
fn leases(server: &EtcdServer) -> usize {
    told(&say(server, "lease/leases", "{}"), "ID").len()
}

/// Of a key, as the gateway takes it.
fn key(name: &LeaseName) -> String {
    base64(format!("{PREFIX}name/{name}").as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |three: &[u8]| {
        let byte = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |n: usize| {
            let digit = usize::try_from(bits >> (18 - 6 * n) & 63).unwrap();
            if n > three.len() { '=' } else { char::from(DIGITS[digit]) }
        };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(encode).collect()
}

#[tokio::test]
async fn a_config_or_a_url_that_cannot_work_is_misconfigured() {
    let url = servers::etcd().url();
    for (config, url) in [
        (EtcdConfig::new().prefix("x".repeat(300)), url.as_str()),
        (EtcdConfig::new().call_limit(Duration::ZERO), &url),
        (EtcdConfig::new(), "etcd://"),
        (EtcdConfig::new(), "http://localhost"),
    ] {
        let refused = EtcdStore::connect(config, url).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured, "{url}");
    }
}

/// Of a channel that the program has made.
#[tokio::test(flavor = "multi_thread")]
async fn the_programs_own_channel_will_do_and_competes_with_the_others() {
    let server = servers::etcd();
    let address = format!("http://127.0.0.1:{}", server.port());
    let channel = Channel::from_shared(address).unwrap().connect_lazy();
    let store = EtcdStore::new(config(), channel.clone()).await.unwrap();
    let (name, owner) = (crate::servers::some_name(), crate::servers::terms());
    crate::servers::granted(&store, &name, &owner).await;
    assert!(crate::servers::is_held(&connect(&server.url()).await, &name).await);
    assert!(matches!(store.renew(&name, owner.nonce).await, Ok(RenewReply::Renewed { .. })));
    assert!(store.release(&name, owner.nonce).await.unwrap());
    let refused = EtcdStore::new(config().call_limit(Duration::ZERO), channel).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    // Where nothing listens.
    let nowhere = Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let away = EtcdStore::new(config(), nowhere).await.unwrap_err();
    assert_eq!((away.kind(), away.executed()), (StoreErrorKind::Unavailable, Executed::No));
}

/// Two programs that share a cluster.
#[tokio::test(flavor = "multi_thread")]
async fn leases_of_different_prefixes_do_not_compete() {
    let (url, name) = (servers::etcd().url(), crate::servers::some_name());
    let other = EtcdStore::connect(config().prefix("other/"), &url).await.unwrap();
    let store = connect(&url).await;
    crate::servers::granted(&store, &name, &crate::servers::terms()).await;
    crate::servers::granted(&other, &name, &crate::servers::terms()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_let_in_by_its_password_and_again_when_its_token_is_forgotten() {
    let server = EtcdServer::start(&[]);
    say(&server, "auth/user/add", r#"{"name":"root","password":"p@ss"}"#);
    say(&server, "auth/user/grant", r#"{"user":"root","role":"root"}"#);
    say(&server, "auth/enable", "{}");
    let at = format!("127.0.0.1:{}", server.port());
    for url in [format!("etcd://{at}"), format!("etcd://root:wrong@{at}")] {
        let refused = EtcdStore::connect(config(), &url).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured, "{refused:?}");
        assert!(!format!("{refused:?}").contains("wrong"));
    }
    let store = connect(&format!("etcd://root:p%40ss@{at}")).await;
    let name = crate::servers::some_name();
    let owner = crate::servers::terms();
    crate::servers::granted(&store, &name, &owner).await;
    assert!(store.renew(&name, owner.nonce).await.is_ok());
    server.restart();
    assert!(crate::servers::is_held(&store, &name).await, "its token was forgotten");
    server.restart();
    assert!(store.renew(&name, owner.nonce).await.is_ok());
}
