//! A Redis that speaks TLS.

use std::env;

use redis::Value;
use steadfast_core::Executed;
use steadfast_store::{
    StoreErrorKind,
    redis::{Script, Scripts, connect},
};
use steadfast_testkit::{
    loopback,
    servers::{Authority, RedisServer},
};

/// The port, for the process that calls the server.
const PORT: &str = "STEADFAST_TLS_PORT";

/// A server with a certificate of an authority of its own, and where it is.
fn server(authority: &Authority) -> (RedisServer, u16) {
    let port = loopback().unwrap().1.port();
    let server = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &authority.file("cert.pem"),
        "--tls-key-file",
        &authority.file("key.pem"),
        "--tls-ca-cert-file",
        &authority.file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    (server, port)
}

#[test]
fn a_url_may_demand_tls_which_trusts_what_the_system_trusts() {
    // It goes behind the server, which is declared later.
    let authority = Authority::new();
    let (_server, port) = server(&authority);
    let port = (PORT, &*port.to_string());
    authority.trusted_by("redis_tls::the_process_that_trusts_it", "ca.pem", port);
    authority.trusted_by("redis_tls::the_process_that_does_not", "other.pem", port);
}

/// Nothing, but where the test above has started it.
#[tokio::test]
async fn the_process_that_trusts_it() {
    let Some(port) = env::var_os(PORT) else { return };
    let port = port.to_string_lossy();
    let scripts = Scripts::new(connect(&format!("rediss://localhost:{port}/")).await.unwrap());
    let reply = scripts.run(&Script::new("return ARGV[1]"), &[b"k"], &[b"sealed"]).await.unwrap();
    assert_eq!(reply, Value::BulkString(b"sealed".to_vec()));
    // By a name that the certificate does not have, and in plain text.
    for url in [format!("rediss://127.0.0.1:{port}/"), format!("redis://localhost:{port}/")] {
        let error = connect(&url).await.unwrap_err();
        let found = (error.kind(), error.executed());
        assert_eq!(found, (StoreErrorKind::Unavailable, Executed::No), "{url}");
    }
}

/// Nothing, but where the test above has started it.
#[tokio::test]
async fn the_process_that_does_not() {
    let Some(port) = env::var_os(PORT) else { return };
    let port = port.to_string_lossy();
    let error = connect(&format!("rediss://localhost:{port}/")).await.unwrap_err();
    let found = (error.kind(), error.executed());
    assert_eq!(found, (StoreErrorKind::Unavailable, Executed::No), "{error:?}");
}
