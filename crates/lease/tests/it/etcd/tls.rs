//! An etcd that speaks TLS, to a user with a password.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use steadfast_core::Executed;
use steadfast_lease::{EtcdStore, LeaseClient, LeaseClientConfig, StoreErrorKind};
use steadfast_testkit::{loopback, servers::EtcdServer};

use super::{config, say};

/// The port, for the process that calls the server.
const PORT: &str = "STEADFAST_ETCD_TLS_PORT";

/// A server with a certificate of an authority of its own. It ends before its directory.
struct Tls {
    server: Option<EtcdServer>,
    directory: PathBuf,
    port: u16,
}

impl Tls {
    fn start() -> Self {
        let directory = env::temp_dir().join(format!("steadfast-etcd-tls-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        authority(&directory, "ca");
        let whose = "-subj /CN=localhost -addext subjectAltName=DNS:localhost";
        let by = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE";
        openssl(&directory, &format!("{NEW} -keyout key.pem -out cert.pem {whose} {by}"));
        let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let port = loopback().unwrap().1.port();
        // In plain text as well, for the test itself.
        let urls = format!("http://127.0.0.1:{{port}},https://127.0.0.1:{port}");
        let server = EtcdServer::start(&[
            "--listen-client-urls",
            &urls,
            "--advertise-client-urls",
            &urls,
            "--cert-file",
            &file("cert.pem"),
            "--key-file",
            &file("key.pem"),
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

const NEW: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

fn authority(directory: &Path, name: &str) {
    openssl(directory, &format!("{NEW} -keyout {name}.key -out {name}.pem -subj /CN={name}"));
}

fn openssl(directory: &Path, line: &str) {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(directory).output();
    let output = output.expect("it comes with Debian's postgresql: cargo xtask test servers");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_url_may_demand_tls_with_a_user_and_trusts_what_the_system_trusts() {
    let tls = Tls::start();
    let server = tls.server.as_ref().unwrap();
    say(server, "auth/user/add", r#"{"name":"root","password":"p@ss"}"#);
    say(server, "auth/user/grant", r#"{"user":"root","role":"root"}"#);
    say(server, "auth/enable", "{}");
    tls.trusted_by("etcd::tls::the_process_that_trusts_it", "ca.pem");
    authority(&tls.directory, "other");
    tls.trusted_by("etcd::tls::the_process_that_does_not", "other.pem");
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
