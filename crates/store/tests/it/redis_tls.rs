//! A Redis that speaks TLS.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use redis::Value;
use steadfast_core::Executed;
use steadfast_store::{
    StoreErrorKind,
    redis::{Script, Scripts, connect},
};
use steadfast_testkit::{loopback, servers::RedisServer};

/// The port, for the process that calls the server.
const PORT: &str = "STEADFAST_TLS_PORT";

/// A server with a certificate of an authority of its own. It ends before its directory.
struct Tls {
    server: Option<RedisServer>,
    directory: PathBuf,
    port: u16,
}

impl Tls {
    fn start() -> Self {
        let directory = env::temp_dir().join(format!("steadfast-tls-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        openssl(&directory, &format!("{new} -keyout ca.key -out ca.pem -subj /CN=tests"));
        let whose = "-subj /CN=localhost -addext subjectAltName=DNS:localhost";
        let by = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
        openssl(&directory, &format!("{new} -keyout key.pem -out cert.pem {whose} {by}"));
        let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let port = loopback().unwrap().1.port();
        let server = RedisServer::start(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &file("cert.pem"),
            "--tls-key-file",
            &file("key.pem"),
            "--tls-ca-cert-file",
            &file("ca.pem"),
            "--tls-auth-clients",
            "no",
        ]);
        Self { server: Some(server), directory, port }
    }

    /// Runs a test of this executable in a process that trusts this authority alone.
    fn trusted_by(&self, test: &str, authority: &str) {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(PORT, self.port.to_string())
            .env("SSL_CERT_FILE", self.directory.join(authority))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let did = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && did.contains("1 passed"), "{did}{said}");
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.server = None;
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn openssl(directory: &Path, line: &str) {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(directory).output();
    let output = output.expect("it comes with Debian's postgresql: cargo xtask test servers");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_url_may_demand_tls_which_trusts_what_the_system_trusts() {
    let tls = Tls::start();
    tls.trusted_by("redis_tls::the_process_that_trusts_it", "ca.pem");
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&tls.directory, &format!("{new} -keyout o.key -out other.pem -subj /CN=other"));
    tls.trusted_by("redis_tls::the_process_that_does_not", "other.pem");
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
