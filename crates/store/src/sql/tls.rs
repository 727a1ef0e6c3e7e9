//! TLS that trusts what the system trusts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;

/// By the provider of cryptography that the program has installed, or ring.
pub(super) fn trusting_the_system() -> Result<MakeRustlsConnect, StoreError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unreadable) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        return Err(StoreError::misconfigured().because("the system has no trusted certificates"));
    }
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::misconfigured().because(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
