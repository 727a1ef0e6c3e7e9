//! Where a layer reads the monotonic clock.

use std::time::Instant;

/// Which monotonic clock a layer reads. Plain data, no type parameter.
///
/// The default follows tokio's clock, so paused tests and simulators work as they are. The coarse
/// clock costs a tenth of it and moves in steps of the kernel's tick (1 to 10 ms, 4 ms on common
/// kernels): enough for windows with buckets of 100 ms and more, useless for measuring latency, and
/// blind to tokio's paused time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeSource {
    /// `tokio::time::Instant::now()`.
    #[default]
    Tokio,
    /// `CLOCK_MONOTONIC_COARSE` on Linux; elsewhere the standard monotonic clock.
    Coarse,
}

impl TimeSource {
    /// The time now. No runtime is needed.
    #[inline]
    #[must_use]
    pub fn now(self) -> Instant {
        match self {
            Self::Tokio => tokio::time::Instant::now().into_std(),
            Self::Coarse => coarse::now(),
        }
    }
}

/// A monotonic clock that counts nanoseconds from the moment it was made: one word instead of an
/// instant.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    source: TimeSource,
    started: Instant,
    coarse_start: u64,
}

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start(source: TimeSource) -> Self {
        let coarse_start = match source {
            TimeSource::Tokio => 0,
            TimeSource::Coarse => coarse::nanos(),
        };
        Self { source, started: source.now(), coarse_start }
    }

    /// Nanoseconds since the start; good for 584 years.
    #[inline]
    #[must_use]
    pub fn nanos(&self) -> u64 {
        match self.source {
            TimeSource::Tokio => self.nanos_at(self.source.now()),
            TimeSource::Coarse => coarse::nanos().saturating_sub(self.coarse_start),
        }
    }

    /// The nanoseconds from the start to `instant`; 0 for any earlier one.
    #[inline]
    #[must_use]
    pub fn nanos_at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.started);
        since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(since.subsec_nanos()))
    }

    /// The instant that many nanoseconds after the start.
    #[must_use]
    pub fn instant(&self, nanos: u64) -> Instant {
        self.started + std::time::Duration::from_nanos(nanos)
    }
}

#[cfg(target_os = "linux")]
mod coarse {
    use std::{
        sync::OnceLock,
        time::{Duration, Instant},
    };

    use rustix::time::{ClockId, clock_gettime};

    /// `Instant` cannot be made from a clock reading, only moved: one pair of readings anchors the
    /// coarse clock to it.
    static ANCHOR: OnceLock<(Instant, u64)> = OnceLock::new();

    #[inline]
    pub(super) fn now() -> Instant {
        let reading = nanos();
        let &(instant, anchored) = ANCHOR.get_or_init(|| anchor(reading));
        // Another thread may have anchored a tick after our reading.
        instant + Duration::from_nanos(reading.saturating_sub(anchored))
    }

    #[expect(clippy::disallowed_methods, reason = "anchors the coarse clock, once in a process")]
    fn anchor(reading: u64) -> (Instant, u64) {
        (Instant::now(), reading)
    }

    #[inline]
    pub(super) fn nanos() -> u64 {
        let time = clock_gettime(ClockId::MonotonicCoarse);
        // A monotonic clock starts near boot and is never negative; u64 nanoseconds last 584 years.
        time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use std::time::Instant;

    use std::sync::OnceLock;

    static ANCHOR: OnceLock<Instant> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "the fallback where there is no coarse clock")]
    pub(super) fn now() -> Instant {
        Instant::now()
    }

    pub(super) fn nanos() -> u64 {
        let now = now();
        let since = now.saturating_duration_since(*ANCHOR.get_or_init(|| now));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stopwatch_counts_what_its_source_shows() {
        let (fine, coarse) =
            (Stopwatch::start(TimeSource::Tokio), Stopwatch::start(TimeSource::Coarse));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(fine.nanos(), 3_000_000_000);
        assert_eq!(fine.nanos_at(fine.instant(5)), 5);
        assert!(coarse.nanos() < 1_000_000_000, "the coarse clock does not know of paused time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_default_follows_a_paused_clock() {
        let before = TimeSource::default().now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(TimeSource::default().now() - before, Duration::from_secs(3600));
    }

    #[test]
    fn the_coarse_clock_stays_within_a_tick_of_the_fine_one_and_never_goes_back() {
        let mut last = TimeSource::Coarse.now();
        let offset = TimeSource::Tokio.now().saturating_duration_since(last);
        for _ in 0..100_000 {
            let now = TimeSource::Coarse.now();
            assert!(now >= last);
            last = now;
        }
        let later = TimeSource::Tokio.now().saturating_duration_since(TimeSource::Coarse.now());
        // Kernel ticks are at most 10 ms; a test that is preempted between two reads may see more.
        assert!(later.abs_diff(offset) < Duration::from_secs(1), "{offset:?} became {later:?}");
    }
}
