//! A client by the URL of its store.

use super::LeaseClient;
use crate::{LeaseClientConfig, MemoryConfig, MemoryStore, Store, StoreError};

impl LeaseClient {
    /// A client of the store at `url`, with the defaults of that store's config.
    ///
    /// | URL | store | feature |
    /// |---|---|---|
    /// | `memory:` | a [`MemoryStore`] of its own, for tests | `tokio` |
    /// | `file:/var/lib/shop/leases`, a directory | `FileStore` | `file` |
    /// | `redis://user:password@host:port/database`, `rediss://…` with TLS | `RedisStore` | `redis`, `redis-tls` |
    /// | `postgres://user:password@host:port/database`, `…?sslmode=require` with TLS | `PostgresStore`, whose table is made if there is none | `deadpool`, `tls` |
    /// | `etcd://user:password@host:port,host:port`, `etcds://…` with TLS | `EtcdStore` | `etcd`, `etcd-tls` |
    ///
    /// ```
    /// use steadfast_lease::{LeaseClient, LeaseClientConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = LeaseClient::connect(LeaseClientConfig::new(), "memory:").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when the config cannot work, the URL
    /// is none of these, or is of a feature that this build does not have, or when the server does
    /// not let the user in; otherwise as the store's own way to connect. Nothing shows a password.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(config: LeaseClientConfig, url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        match scheme {
            "memory" if rest.is_empty() => {
                let store = MemoryStore::new(MemoryConfig::new());
                over(config, store.map_err(|error| StoreError::misconfigured().because(error))?)
            }
            "file" => over(config, files(rest).await?),
            "redis" | "rediss" | "redis+unix" => over(config, redis(url).await?),
            "postgres" | "postgresql" => over(config, postgres(url).await?),
            "etcd" | "etcds" => over(config, etcd(url).await?),
            _ => Err(StoreError::misconfigured().because("the URL is of no store of leases")),
        }
    }
}

fn over(config: LeaseClientConfig, store: impl Store) -> Result<LeaseClient, StoreError> {
    LeaseClient::new(config, store).map_err(|error| StoreError::misconfigured().because(error))
}

#[cfg(all(feature = "file", target_os = "linux"))]
async fn files(rest: &str) -> Result<crate::FileStore, StoreError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(StoreError::misconfigured().because("the URL has no absolute path"));
    }
    crate::FileStore::open(crate::FileConfig::new(), path).await
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> Result<crate::RedisStore, StoreError> {
    crate::RedisStore::connect(crate::RedisConfig::new(), url).await
}

#[cfg(feature = "deadpool")]
async fn postgres(url: &str) -> Result<impl Store + use<>, StoreError> {
    let pool = steadfast_store::connect(url).await?;
    let store = crate::PostgresStore::new(crate::PostgresConfig::new(), pool)
        .map_err(|error| StoreError::misconfigured().because(error))?;
    store.migrate().await?;
    Ok(store)
}

#[cfg(feature = "etcd")]
async fn etcd(url: &str) -> Result<crate::EtcdStore, StoreError> {
    crate::EtcdStore::connect(crate::EtcdConfig::new(), url).await
}

#[cfg(not(all(feature = "file", target_os = "linux")))]
async fn files(_: &str) -> Result<MemoryStore, StoreError> {
    Err(without("file"))
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> Result<MemoryStore, StoreError> {
    Err(without("redis"))
}

#[cfg(not(feature = "deadpool"))]
async fn postgres(_: &str) -> Result<MemoryStore, StoreError> {
    Err(without("deadpool"))
}

#[cfg(not(feature = "etcd"))]
async fn etcd(_: &str) -> Result<MemoryStore, StoreError> {
    Err(without("etcd"))
}

#[cfg(not(all(
    feature = "file",
    target_os = "linux",
    feature = "redis",
    feature = "deadpool",
    feature = "etcd"
)))]
fn without(feature: &str) -> StoreError {
    StoreError::misconfigured().because(format!("the URL needs the feature `{feature}`"))
}
