//! Views of a store that tells nothing by itself.

use std::time::Duration;

use crate::{StoreError, View};

/// Looks until the view is another than the one that was seen: at every interval, and when the
/// lease should have expired.
pub(crate) async fn observe<F>(
    seen: Option<&View>,
    interval: Duration,
    look: impl Fn() -> F,
) -> Result<View, StoreError>
where
    F: Future<Output = Result<View, StoreError>>,
{
    loop {
        let view = look().await?;
        if seen.is_none_or(|seen| !seen.is_same(&view)) {
            return Ok(view);
        }
        let left = view.held.map_or(Duration::MAX, |held| held.left);
        // Timers have a grain of a millisecond; what says that nothing is left is not asked again
        // at once.
        tokio::time::sleep(left.clamp(GRAIN, interval.max(GRAIN))).await;
    }
}

const GRAIN: Duration = Duration::from_millis(1);
