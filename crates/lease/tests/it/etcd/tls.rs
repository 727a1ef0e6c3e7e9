//! An etcd that speaks TLS, to a user with a password.

use std::env;

use steadfast_core::Executed;
use steadfast_lease::{EtcdStore, LeaseClient, LeaseClientConfig, StoreErrorKind};
use steadfast_testkit::{
    loopback,
    servers::{Authority, EtcdServer},
};

use super::{config, say};

/// The port, for the process that calls the server.
const PORT: &str = "STEADFAST_ETCD_TLS_PORT";

/// A server with a certificate of an authority of its own, and where it is.
fn server(authority: &Authority) -> (EtcdServer, u16) {
    let port = loopback().unwrap().1.port();
    // In plain text as well, for the test itself.
    let urls = format!("http://127.0.0.1:{{port}},https://127.0.0.1:{port}");
    let server = EtcdServer::start(&[
        "--listen-client-urls",
        &urls,
        "--advertise-client-urls",
        &urls,
        "--cert-file",
        &authority.file("cert.pem"),
        "--key-file",
        &authority.file("key.pem"),
    ]);
    (server, port)
}

#[test]
fn a_url_may_demand_tls_with_a_user_and_trusts_what_the_system_trusts() {
    // It goes behind the server, which is declared later.
    let authority = Authority::new();
    let (server, port) = server(&authority);
    let port = (PORT, &*port.to_string());
    say(&server, "auth/user/add", r#"{"name":"root","password":"p@ss"}"#);
    say(&server, "auth/user/grant", r#"{"user":"root","role":"root"}"#);
    say(&server, "auth/enable", "{}");
    authority.trusted_by("etcd::tls::the_process_that_trusts_it", "ca.pem", port);
    authority.trusted_by("etcd::tls::the_process_that_does_not", "other.pem", port);
}

/// Nothing, but where the test above has started it.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_trusts_it() {
    let Some(port) = env::var_os(PORT) else { return };
    let at = format!("localhost:{}", port.to_string_lossy());
    let url = format!("etcds://root:p%40ss@{at}");
    let client = LeaseClient::connect(LeaseClientConfig::new(), &url).await.unwrap();
    let name = crate::servers::some_name();
    let lease = client.try_acquire(&name).await.unwrap();
    assert!(client.look(&name).await.unwrap().held.is_some());
    lease.renew().await.unwrap().unwrap();
    assert!(lease.release().await.unwrap());
    for url in [format!("etcds://root:wrong@{at}"), format!("etcds://{at}")] {
        let refused = EtcdStore::connect(config(), &url).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured, "{refused:?}");
        assert!(!format!("{refused:?}").contains("wrong"));
    }
    // By a name that the certificate does not have, and in plain text.
    let other_name = url.replace("localhost", "127.0.0.1");
    for url in [other_name, url.replace("etcds", "etcd")] {
        let error = EtcdStore::connect(config(), &url).await.unwrap_err();
        let found = (error.kind(), error.executed());
        assert_eq!(found, (StoreErrorKind::Unavailable, Executed::No), "{error:?}");
    }
}

/// Nothing, but where the test above has started it.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_does_not() {
    let Some(port) = env::var_os(PORT) else { return };
    let url = format!("etcds://root:p%40ss@localhost:{}", port.to_string_lossy());
    let error = EtcdStore::connect(config(), &url).await.unwrap_err();
    let found = (error.kind(), error.executed());
    assert_eq!(found, (StoreErrorKind::Unavailable, Executed::No), "{error:?}");
}
