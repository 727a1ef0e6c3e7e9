//! A watch of one key.

use futures_util::{StreamExt, future, stream};

use super::{
    api::{self, Answer},
    failure::Failure,
    servers::Servers,
};

/// Waits until the key is written or removed, at this revision or a later one; or less long.
pub(super) async fn changed(servers: &Servers, key: &[u8], from: i64) -> Result<(), Failure> {
    let way = servers.way().await?;
    let message = api::watch(key, from).finish();
    // The stream of requests stays open: with its end the server would end the watch.
    let messages = stream::once(future::ready(message)).chain(stream::pending());
    let mut answers = way.stream(api::WATCH, messages).await?;
    while let Some(message) = answers.message().await? {
        let watched = api::Watched::parse(message).map_err(|_| Failure::unanswered())?;
        if watched.has_events || watched.is_over {
            return Ok(());
        }
    }
    Ok(())
}
