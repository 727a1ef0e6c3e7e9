//! Records that are removed when they have had their time.

use std::time::Duration;

use crate::{StoreError, StoreErrorKind};

/// Purges at once, and then at every interval, for as long as it is polled. A store that is away is
/// waited for.
///
/// # Errors
/// It returns when the store is misconfigured, which no waiting mends.
///
/// # Panics
/// Outside of a tokio runtime with a timer.
pub async fn reap<T, F>(every: Duration, purge: impl Fn() -> F) -> StoreError
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match purge().await {
            Err(error) if error.kind() == StoreErrorKind::Misconfigured => return error,
            _ => tokio::time::sleep(every).await,
        }
    }
}
