//! A pool by its URL.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts,
    tokio_postgres::{
        Config, NoTls, Socket,
        config::SslMode,
        tls::{MakeTlsConnect, TlsConnect},
    },
};

use super::deadpool::pool_error;
use crate::StoreError;

/// A server that takes longer to give a connection is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pool of connections to the PostgreSQL server of `url`, of which one is made here.
///
/// The URL is `postgres://user:password@host:5432/database`, or of the form of libpq. Connections
/// are encrypted where it says `sslmode=require`, for which the feature `tls` is needed: the
/// server's certificate must be one that the system trusts. `prefer` encrypts nothing, with the
/// feature or without.
///
/// The pool has twice as many connections as there are cores, and waits 5 s for one. For another
/// pool build deadpool's own.
///
/// # Errors
/// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when the URL is none, asks for TLS that
/// this build does not have, or the server refuses the user; otherwise
/// [`Unavailable`](crate::StoreErrorKind::Unavailable) or
/// [`TimedOut`](crate::StoreErrorKind::TimedOut). Nothing shows the password.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn connect(url: &str) -> Result<Pool, StoreError> {
    let config = parse(url)?;
    if config.get_ssl_mode() != SslMode::Require {
        return pool(config, NoTls).await;
    }
    #[cfg(feature = "tls")]
    return pool(config, super::tls::trusting_the_system()?).await;
    #[cfg(not(feature = "tls"))]
    Err(StoreError::misconfigured().because("the URL asks for TLS, which is the feature `tls`"))
}

/// The same with a TLS of your own, which is used as the URL's `sslmode` says: `prefer`, where it
/// says nothing, encrypts if the server offers it.
///
/// # Errors
/// As [`connect`].
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn connect_with<T>(url: &str, tls: T) -> Result<Pool, StoreError>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    pool(parse(url)?, tls).await
}

fn parse(url: &str) -> Result<Config, StoreError> {
    url.parse().map_err(|error: deadpool_postgres::tokio_postgres::Error| {
        StoreError::misconfigured().because(error)
    })
}

async fn pool<T>(mut config: Config, tls: T) -> Result<Pool, StoreError>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + Sync,
    T::TlsConnect: Send + Sync,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    config.get_connect_timeout().is_none().then(|| config.connect_timeout(PATIENCE));
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let timeouts =
        Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
    let pool = Pool::builder(Manager::from_config(config, tls, recycling))
        .runtime(Runtime::Tokio1)
        .timeouts(timeouts)
        .build()
        .map_err(|error| StoreError::misconfigured().because(error))?;
    drop(pool.get().await.map_err(pool_error)?);
    Ok(pool)
}
