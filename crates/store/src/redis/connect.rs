//! A connection by its URL.

use std::time::Duration;

use redis::{
    Client, IntoConnectionInfo,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use steadfast_core::Executed;

use super::error;
use crate::StoreError;

/// A server that is slower to accept a connection is down.
const CONNECT: Duration = Duration::from_secs(2);
/// As long as a call of a store may take by default. Redis answers in well under a millisecond, and
/// later while its machine stands still or its disk is busy.
const ANSWER: Duration = Duration::from_secs(5);
/// A connection to a machine that has vanished is given up after so long without a sign of it.
const SILENCE: Duration = Duration::from_secs(15);

/// Connects by a URL: `redis://user:password@host:port/database`, `redis+unix:///path` for a
/// socket, `rediss://…` for TLS (feature `redis-tls`, by the certificates that the system trusts).
///
/// The connection is shared by its clones. When it is lost it is made anew by the next call, which
/// fails if that fails: nothing is sent twice. A call is given 5 s, and a connection 2 s.
///
/// # Errors
/// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when the URL cannot be read, wants TLS
/// without that feature, or when the server does not let the user in; otherwise
/// [`Unavailable`](crate::StoreErrorKind::Unavailable) or
/// [`TimedOut`](crate::StoreErrorKind::TimedOut).
pub async fn connect(url: &str) -> Result<ConnectionManager, StoreError> {
    #[cfg(feature = "redis-tls")]
    choose_provider();
    // Whatever happens here, no call was sent.
    let failed = |error| error::of(&error).executed_as(Executed::No);
    let info = url.into_connection_info().map_err(failed)?;
    let tcp = TcpSettings::default()
        // A call is written whole, and another may be right behind it.
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(SILENCE));
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    let client = Client::open(info.set_tcp_settings(tcp)).map_err(failed)?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        // The caller knows better whether to try again, and is told at once.
        .set_number_of_retries(0);
    ConnectionManager::new_with_config(client, config).await.map_err(failed)
}

/// Makes sure that there is a provider of cryptography: without one, and with two of them compiled
/// in, rustls panics at the first connection. What the program has chosen stays.
#[cfg(feature = "redis-tls")]
fn choose_provider() {
    use rustls::crypto::{CryptoProvider, ring};

    if CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker, which is as good.
        let _ = ring::default_provider().install_default();
    }
}
