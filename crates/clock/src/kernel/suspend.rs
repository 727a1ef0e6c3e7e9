//! Telling a clock that was kept from one that slept.
//!
//! While a machine is suspended no daemon keeps its clock. When it wakes, Linux sets the clock by a
//! hardware one, which may count in whole seconds, and leaves `maxerror` as it was: the estimate
//! says nothing of the clock any more. A suspend shows in how far `CLOCK_BOOTTIME` is ahead of
//! `CLOCK_MONOTONIC`. A report of the daemon since then shows in a `maxerror` that fell, for by
//! itself it only grows.

use std::time::Duration;

/// How long a machine has been up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uptime {
    /// With the time it slept: `CLOCK_BOOTTIME`.
    pub(super) boot: Duration,
    /// Without: `CLOCK_MONOTONIC`, read after the other.
    pub(super) awake: Duration,
}

/// In a time namespace either clock may be ahead from the start. A century keeps the difference
/// positive.
const NAMESPACE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A shorter sleep is a thread that was paused between reading the two clocks: no machine is
/// suspended and woken in so short a time.
const LEAST_SLEEP: Duration = Duration::from_millis(10);

impl Uptime {
    /// Whether the machine has slept since it had been up for `earlier`.
    pub(super) fn has_slept_since(self, earlier: Self) -> bool {
        self.slept() > earlier.slept().saturating_add(LEAST_SLEEP)
    }

    /// How long the machine has slept, to be compared with an earlier one. Never too much: a pause
    /// between the readings counts as time awake.
    fn slept(self) -> Duration {
        self.boot.saturating_add(NAMESPACE).saturating_sub(self.awake)
    }
}

/// Whether the daemon has reported since the machine last slept.
#[derive(Debug)]
pub(super) struct SuspendGuard {
    /// The last uptime at which a sleep was found, or the first.
    since: Uptime,
    /// The last `maxerror`, while it may still be the one from before the sleep.
    stale: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    max_error_us: i64,
    /// No earlier than it was read.
    awake: Duration,
}

impl SuspendGuard {
    /// Of a machine whose clock is believed to have been kept so far.
    pub(super) const fn new(now: Uptime) -> Self {
        Self { since: now, stale: None }
    }

    /// Takes a `maxerror` that was read between two readings of the uptime, and returns whether it
    /// is a report from after the last sleep.
    pub(super) fn accept(&mut self, before: Uptime, max_error_us: i64, after: Uptime) -> bool {
        let reading = Reading { max_error_us, awake: after.awake };
        if after.has_slept_since(self.since) {
            *self = Self { since: after, stale: Some(reading) };
            return false;
        }
        let Some(last) = &mut self.stale else { return true };
        // A thread that was held up brings an older value, which is smaller without any report.
        if before.awake < last.awake {
            return false;
        }
        if max_error_us < last.max_error_us {
            self.stale = None;
            return true;
        }
        *last = reading;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn up(awake: u32, slept: u32) -> Uptime {
        Uptime { boot: SEC * (awake + slept), awake: SEC * awake }
    }

    #[test]
    fn after_a_sleep_only_an_error_that_fell_tells_that_the_daemon_has_spoken() {
        let mut guard = SuspendGuard::new(up(10, 0));
        let mut accept = |at, max_error_us| guard.accept(at, max_error_us, at);
        assert!(accept(up(11, 0), 5000) && accept(up(12, 0), 5500));
        assert!(!accept(up(12, 1), 5500));
        assert!(!accept(up(13, 1), 6000) && !accept(up(14, 1), 6500));
        assert!(accept(up(15, 1), 6400) && accept(up(16, 1), 6900));
        assert!(
            !accept(up(16, 2), 100),
            "what fell before this sleep tells nothing of the time after it"
        );
        assert!(!accept(up(17, 2), 100));
        assert!(accept(up(18, 2), 99));
    }

    #[test]
    fn what_was_read_before_another_one_tells_nothing() {
        let mut guard = SuspendGuard::new(up(10, 0));
        assert!(!guard.accept(up(20, 5), 9000, up(22, 5)));
        assert!(!guard.accept(up(21, 5), 8500, up(23, 5)), "it may be the older of the two");
        assert!(!guard.accept(up(19, 0), 8000, up(19, 0)), "it is");
        assert!(guard.accept(up(22, 5), 8000, up(22, 5)));
    }

    #[test]
    fn a_sleep_between_the_reading_and_the_looks_is_seen() {
        let mut guard = SuspendGuard::new(up(10, 0));
        assert!(!guard.accept(up(11, 0), 5000, up(11, 60)));
    }

    #[test]
    fn a_thread_that_was_paused_between_two_clocks_has_not_slept() {
        let mut guard = SuspendGuard::new(up(10, 0));
        let paused = |late| Uptime { boot: 20 * SEC, awake: 20 * SEC + late };
        assert!(guard.accept(paused(SEC), 5000, paused(60 * SEC)));
        assert!(guard.accept(up(30, 0), 5000, up(30, 0)));
    }

    #[test]
    fn in_a_time_namespace_a_sleep_is_seen_as_well() {
        let up = |slept: u32| Uptime { boot: SEC * (10 + slept), awake: 5000 * SEC };
        let mut guard = SuspendGuard::new(up(0));
        assert!(guard.accept(up(0), 5000, up(0)));
        assert!(!guard.accept(up(2), 5000, up(2)));
    }
}
