//! The part of the window that stands behind the lock.

use steadfast_core::{
    Counts,
    parts::{Buckets, CountWindow, Mark, TimeWindow},
};

use crate::{config::WindowConfig, word::MAX_COUNTDOWN};

/// A count window, whose plain successes are counted down in the word; or the marked outcomes of a time window, whose plain
/// successes are counted in stripes.
#[derive(Debug)]
pub(crate) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    pub(crate) fn new(config: WindowConfig) -> Self {
        match config {
            WindowConfig::Count(size) => Self::Count(CountWindow::new(size)),
            WindowConfig::Time(buckets) => Self::Time(TimeWindow::new(buckets)),
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Count(window) => window.clear(),
            Self::Time(window) => window.clear(),
        }
    }
}

/// How many plain successes a count window can take before it must be looked at again, and whether the last of them
/// completes the minimum of calls.
pub(crate) fn countdown(window: &CountWindow, minimum: u64) -> (u32, bool) {
    let total = window.counts().total;
    if total < minimum {
        return (narrow(minimum - total), true);
    }
    (narrow(window.until_still()), false)
}

fn narrow(countdown: u64) -> u32 {
    // Sizes and minimums above the limit are refused when a circuit is made.
    u32::try_from(countdown).unwrap_or(MAX_COUNTDOWN).min(MAX_COUNTDOWN)
}

/// Epochs are told apart in a time window by ticks that cannot meet: each epoch's begin a window further on. A success that was
/// admitted in one epoch and is counted after the next has begun lands where nobody sums.
pub(crate) fn epoch_shift(buckets: Buckets, epoch: u64) -> u64 {
    // Two more than a window: one for the bucket that is being filled, one for a clock read just before the transition.
    epoch * (u64::from(buckets.number()) + 2)
}

/// One outcome in a count window, after `passed` plain successes.
pub(crate) fn record(window: &mut CountWindow, passed: u32, mark: Option<Mark>) -> Counts {
    window.pass(passed.into());
    if let Some(mark) = mark {
        window.record(mark);
    }
    window.counts()
}
