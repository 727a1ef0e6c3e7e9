//! The deadline of one call.

use std::time::Duration;

use crate::StoreError;

/// The answer of one call of a store, or that it took longer than `limit`: the time that it waits
/// for a connection is part of it.
///
/// A call that is cut short is dropped, and may have been executed.
///
/// # Errors
/// Those of the call, and [`TimedOut`](crate::StoreErrorKind::TimedOut).
///
/// # Panics
/// Outside of a tokio runtime with a timer.
pub async fn within<T, E: From<StoreError>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(StoreError::timed_out().into()))
}
