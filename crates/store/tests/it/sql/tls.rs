//! Connections that are encrypted.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use steadfast_core::Executed;
use steadfast_store::{Sql, Statement, StoreErrorKind, connect, connect_with};
use steadfast_testkit::servers::PostgresServer;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What the executable is started again with, to connect in an environment of its own.
const URL: &str = "STEADFAST_TLS_URL";

/// A server that speaks TLS, with a certificate of its own making for `localhost`.
fn server() -> (PostgresServer, std::path::PathBuf) {
    let server = PostgresServer::start();
    let data = server.directory().join("data");
    let openssl = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-batch"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "server.key", "-out", "server.crt"])
        .current_dir(&data)
        .output()
        .expect("apt-get install -y openssl");
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    let owner = fs::metadata(&data).unwrap();
    for file in ["server.key", "server.crt"].map(|file| data.join(file)) {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let settings = data.join("postgresql.conf");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text + "\nssl = on\n").unwrap();
    server.restart();
    (server, data.join("server.crt"))
}

async fn is_encrypted(pool: deadpool_postgres::Pool) -> bool {
    let text = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = pool.clone().run_statement(&Statement::unnamed(text), &[]).await.unwrap().unwrap();
    row.int(0).unwrap() == 1
}

fn trusting(certificate: &Path) -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_demands_tls_is_encrypted_and_its_server_must_be_trusted() {
    if let Ok(url) = env::var(URL) {
        // As the environment says whom to trust.
        assert!(is_encrypted(connect(&url).await.unwrap()).await);
        return;
    }
    let (server, certificate) = tokio::task::spawn_blocking(server).await.unwrap();
    let url = server.url().replace("127.0.0.1", "localhost");
    assert!(!is_encrypted(connect(&url).await.unwrap()).await, "it was not asked for");
    let url = url + "?sslmode=require";
    let error = connect(&url).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
    assert!(is_encrypted(connect_with(&url, trusting(&certificate)).await.unwrap()).await);

    let name = "sql::tls::a_url_that_demands_tls_is_encrypted_and_its_server_must_be_trusted";
    let trusts = Command::new(env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(URL, &url)
        .env("SSL_CERT_FILE", &certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&trusts.stdout);
    assert!(trusts.status.success() && said.contains("1 passed"), "{said}");
}
