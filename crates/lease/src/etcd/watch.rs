//! A watch of one key.

use futures_util::{StreamExt, future, stream};

use super::{
    api::{self, Answer},
    failure::Failure,
    servers::Servers,
};

/// Waits until the key is written or removed, at this revision or a later one.
///
/// # Errors
/// When the watch ends before that: its revision was compacted, or the server does not let it go
/// on. A server that ends each watch at once must not be asked in a tight loop.
pub(super) async fn changed(servers: &Servers, key: &[u8], from: i64) -> Result<(), Failure> {
    let way = servers.way().await?;
    let message = api::watch(key, from).finish();
    // The stream of requests stays open: with its end the server would end the watch.
    let messages = stream::once(future::ready(message)).chain(stream::pending());
    let mut answers = way.stream(api::WATCH, messages).await?;
    while let Some(message) = answers.message().await? {
        let watched = api::Watched::parse(message).map_err(|_| Failure::unanswered())?;
        if watched.has_events {
            return Ok(());
        }
        if watched.is_over {
            break;
        }
    }
    Err(Failure::unanswered())
}
