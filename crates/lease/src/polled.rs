//! Views of a store that is looked at.

use std::{future::pending, time::Duration};

use crate::{StoreError, View, race::race};

/// What tells that it is time for a look, before the interval is over.
pub(crate) trait Wakes: Send {
    /// Returns when something was told since it has returned before.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

/// Of a store that tells nothing by itself.
struct Silent;

impl Wakes for Silent {
    async fn wait(&mut self) {
        pending::<()>().await;
    }
}

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
    observe_told(seen, interval, Silent, look).await
}

/// The same, also when it is `told` to.
pub(crate) async fn observe_told<F>(
    seen: Option<&View>,
    interval: Duration,
    mut told: impl Wakes,
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
        let pause = tokio::time::sleep(left.clamp(GRAIN, interval.max(GRAIN)));
        race(told.wait(), pause).await;
    }
}

const GRAIN: Duration = Duration::from_millis(1);
