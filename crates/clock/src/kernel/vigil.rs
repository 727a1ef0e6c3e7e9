//! Telling a clock that was kept from one that slept.
//!
//! While a machine is suspended nobody keeps its clock. When it wakes, Linux sets the clock by a hardware one, which may count in whole seconds,
//! and leaves `maxerror` as it was before: the fresh estimate is as wrong as the clock. That the machine has slept shows in
//! how far `CLOCK_BOOTTIME` is ahead of `CLOCK_MONOTONIC`; that the daemon has spoken since, in a `maxerror` that fell, for by itself it only
//! grows.

use std::time::Duration;

/// How long a machine has been up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uptime {
    /// With the time it slept: `CLOCK_BOOTTIME`.
    pub(super) boot: Duration,
    /// Without: `CLOCK_MONOTONIC`, read after the other.
    pub(super) awake: Duration,
}

/// In a time namespace either clock may be ahead of the other from the start. A century keeps the difference positive.
const NAMESPACE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What is shorter is a thread that was paused between reading the two clocks. No machine is suspended and woken in so short a time.
const LEAST_SLEEP: Duration = Duration::from_millis(10);

impl Uptime {
    /// How long the machine has slept, to be compared with an earlier one. Never too much: a pause between the readings is time awake.
    pub(super) fn slept(self) -> Duration {
        (self.boot.saturating_add(NAMESPACE)).saturating_sub(self.awake)
    }

    /// Whether it has slept since it had slept that much.
    pub(super) fn has_slept_since(self, slept: Duration) -> bool {
        self.slept() > slept.saturating_add(LEAST_SLEEP)
    }
}

/// Whether the daemon has spoken since the machine slept.
#[derive(Debug)]
pub(super) struct Vigil {
    slept: Duration,
    /// The last `maxerror` that was heard, while it may still be the one from before the sleep.
    waiting: Option<Heard>,
}

#[derive(Debug)]
struct Heard {
    max_error_us: i64,
    /// No earlier than it was read.
    awake: Duration,
}

impl Vigil {
    /// Of a machine whose clock is believed to have been kept so far.
    pub(super) fn since(now: Uptime) -> Self {
        Self { slept: now.slept(), waiting: None }
    }

    /// Hears a `maxerror` that was read between two looks at the uptime, and says whether the clock was kept since the last sleep.
    pub(super) fn hear(&mut self, before: Uptime, max_error_us: i64, after: Uptime) -> bool {
        let heard = Heard { max_error_us, awake: after.awake };
        if after.has_slept_since(self.slept) {
            *self = Self { slept: after.slept(), waiting: Some(heard) };
            return false;
        }
        let Some(last) = &mut self.waiting else { return true };
        // A thread that was held up tells what it read long ago: less, because `maxerror` has grown since.
        if before.awake < last.awake {
            return false;
        }
        if max_error_us < last.max_error_us {
            self.waiting = None;
            return true;
        }
        *last = heard;
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
        let mut vigil = Vigil::since(up(10, 0));
        let mut hear = |at, max_error_us| vigil.hear(at, max_error_us, at);
        assert!(hear(up(11, 0), 5000) && hear(up(12, 0), 5500));
        assert!(!hear(up(12, 1), 5500));
        assert!(!hear(up(13, 1), 6000) && !hear(up(14, 1), 6500));
        assert!(hear(up(15, 1), 6400) && hear(up(16, 1), 6900));
        assert!(!hear(up(16, 2), 100), "what fell before this sleep tells nothing of the time after it");
        assert!(!hear(up(17, 2), 100));
        assert!(hear(up(18, 2), 99));
    }

    #[test]
    fn what_was_read_before_another_one_tells_nothing() {
        let mut vigil = Vigil::since(up(10, 0));
        assert!(!vigil.hear(up(20, 5), 9000, up(22, 5)));
        assert!(!vigil.hear(up(21, 5), 8500, up(23, 5)), "it may be the older of the two");
        assert!(!vigil.hear(up(19, 0), 8000, up(19, 0)), "it is");
        assert!(vigil.hear(up(22, 5), 8000, up(22, 5)));
    }

    #[test]
    fn a_sleep_between_the_reading_and_the_looks_is_seen() {
        let mut vigil = Vigil::since(up(10, 0));
        assert!(!vigil.hear(up(11, 0), 5000, up(11, 60)));
    }

    #[test]
    fn a_thread_that_was_paused_between_two_clocks_has_not_slept() {
        let mut vigil = Vigil::since(up(10, 0));
        let paused = |late| Uptime { boot: 20 * SEC, awake: 20 * SEC + late };
        assert!(vigil.hear(paused(SEC), 5000, paused(60 * SEC)));
        assert!(vigil.hear(up(30, 0), 5000, up(30, 0)));
    }

    #[test]
    fn in_a_time_namespace_a_sleep_is_seen_as_well() {
        let up = |slept: u32| Uptime { boot: SEC * (10 + slept), awake: 5000 * SEC };
        let mut vigil = Vigil::since(up(0));
        assert!(vigil.hear(up(0), 5000, up(0)));
        assert!(!vigil.hear(up(2), 5000, up(2)));
    }
}
