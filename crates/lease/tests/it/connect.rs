//! Clients by the URLs of their stores.

use std::time::Duration;

use steadfast_lease::{LeaseClient, LeaseClientConfig, StoreErrorKind};
use steadfast_testkit::servers;

use crate::servers::some_name;

async fn connect(url: &str) -> LeaseClient {
    LeaseClient::connect(LeaseClientConfig::new(), url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_one_url_compete_whichever_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("leases");
    for url in [
        format!("file:{}", path.display()),
        format!("file://{}", path.display()),
        servers::redis().url(),
        servers::postgres().url(),
        servers::etcd().url(),
    ] {
        let (one, other, name) = (connect(&url).await, connect(&url).await, some_name());
        let lease = one.try_acquire(&name).await.unwrap();
        assert!(other.try_acquire(&name).await.is_err(), "{url}");
        let before = lease.token();
        lease.release().await.unwrap();
        assert!(other.try_acquire(&name).await.unwrap().token() > before, "{url}");
        assert!(other.shutdown(Duration::from_secs(5)).await);
    }
    let (one, other, name) = (connect("memory:").await, connect("memory:").await, some_name());
    let _one = one.try_acquire(&name).await.unwrap();
    let _other = other.try_acquire(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_nowhere_says_why_and_shows_no_password() {
    use StoreErrorKind::{Misconfigured, Unavailable};
    let closed = steadfast_testkit::loopback().unwrap().1;
    for (url, kind) in [
        (String::new(), Misconfigured),
        ("leases".into(), Misconfigured),
        ("memory:secret".into(), Misconfigured),
        ("consul://user:secret@localhost".into(), Misconfigured),
        ("etcd://secret@localhost".into(), Misconfigured),
        ("file:relative/secret".into(), Misconfigured),
        ("file:".into(), Misconfigured),
        ("redis://:secret@host:no-port/".into(), Misconfigured),
        ("postgres://app:secret@host:no-port/".into(), Misconfigured),
        (format!("redis://:secret@{closed}/"), Unavailable),
        (format!("postgres://app:secret@{closed}/shop"), Unavailable),
        (format!("etcd://app:secret@{closed}"), Unavailable),
    ] {
        let error = LeaseClient::connect(LeaseClientConfig::new(), &url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{url}");
    }
    let config = LeaseClientConfig::new().ttl(Duration::ZERO);
    let error = LeaseClient::connect(config, "memory:").await.unwrap_err();
    assert_eq!(error.kind(), Misconfigured);
}
