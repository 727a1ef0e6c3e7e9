//! Waiting out the uncertainty.

use std::time::{Duration, SystemTime};

use crate::{BoundedClock, Interval, PhysicalClock, Timestamp, Uncertainty, Unknown};

/// The clock and its bound are read again after so much at the latest, so that a wait ends soon
/// after a bound has shrunk.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The width of tokio's timer: what is shorter takes as long.
const TIMER_WIDTH: Duration = Duration::from_millis(1);

impl<U: Uncertainty, C: PhysicalClock> BoundedClock<U, C> {
    /// Waits until the time of `stamp` has certainly passed: until the earliest time it may now be
    /// is at or after the end of the stamp's grain.
    ///
    /// This is Spanner's commit wait (OSDI 2012, section 4.1.2). Stamp a transaction with
    /// [`latest_stamp`](Interval::latest_stamp) or later, do its work, and report it only when this
    /// has returned. Every transaction that begins after the report, on any node whose clock is
    /// within its bound, is then stamped later, if it too is stamped with `latest_stamp` or later.
    /// A stamp straight from a wall clock does not give that: the wall clock of another node may be
    /// behind by its bound.
    ///
    /// Such a stamp takes twice the bound to pass; time that was spent since it was taken counts. A
    /// wall clock that is set back makes the wait longer and never shorter. When the time has
    /// passed already it returns without awaiting anything; otherwise it may be late by up to 2 ms
    /// of tokio's timer, and by up to 5 ms more after a bound has shrunk or a wall clock was set
    /// forward. Put a timeout round it where stamps come from elsewhere: one far ahead takes as
    /// long as that.
    ///
    /// # Errors
    /// When the source cannot say how wrong the clock is, before or during the wait. Whether the
    /// time has passed is then unknown; it may be waited for again.
    ///
    /// # Cancellation
    /// Safe: it holds nothing but a timer.
    ///
    /// # Panics
    /// When it must wait outside of a tokio runtime with its timer enabled.
    pub async fn commit_wait(&self, stamp: Timestamp) -> Result<(), Unknown> {
        self.wait_until_after(stamp.into()).await
    }

    /// Waits until `time` has certainly passed, as [`commit_wait`](Self::commit_wait) does for a
    /// stamp.
    ///
    /// # Errors
    /// As [`commit_wait`](Self::commit_wait).
    ///
    /// # Panics
    /// As [`commit_wait`](Self::commit_wait).
    pub async fn wait_past(&self, time: SystemTime) -> Result<(), Unknown> {
        self.wait_until_after(time.into()).await
    }

    async fn wait_until_after(&self, target: Interval) -> Result<(), Unknown> {
        loop {
            let remaining = self.now()?.until_after(target);
            if remaining.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(remaining.clamp(TIMER_WIDTH, LOOK_EVERY)).await;
        }
    }
}
