//! The clock that runs through suspend.
//!
//! `Instant` of the standard library and of tokio stand still while a machine is suspended: a lease
//! that was granted for ten seconds would seem to have most of them left after a night. The server
//! that granted it counted on. So whatever must end when a machine elsewhere thinks that it has
//! ended is measured on this clock.

#[cfg(feature = "time")]
mod manual;
#[cfg(all(test, target_os = "linux", feature = "time"))]
mod suspend;
#[cfg(feature = "time")]
mod timerfd;
#[cfg(feature = "time")]
mod wait;

use std::time::Duration;

#[cfg(feature = "time")]
pub use self::{manual::ManualBootClock, wait::BootWait};

/// A moment on a [`BootClock`], in nanoseconds since that clock began; the system's begins at boot.
///
/// It means nothing on another machine, after a restart of this one, or on another clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(u64);

impl BootInstant {
    /// When the clock began.
    pub const ZERO: Self = Self(0);

    /// The last moment there is, 584 years later.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment so many nanoseconds after the clock began.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock began.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time since the clock began.
    #[must_use]
    pub const fn since_zero(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// So much later; `None` after [`MAX`](Self::MAX).
    #[must_use]
    pub fn checked_add(self, by: Duration) -> Option<Self> {
        u64::try_from(by.as_nanos()).ok().and_then(|by| self.0.checked_add(by)).map(Self)
    }

    /// So much earlier; `None` before [`ZERO`](Self::ZERO).
    #[must_use]
    pub fn checked_sub(self, by: Duration) -> Option<Self> {
        u64::try_from(by.as_nanos()).ok().and_then(|by| self.0.checked_sub(by)).map(Self)
    }

    /// So much later, [`MAX`](Self::MAX) at most.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        self.checked_add(by).unwrap_or(Self::MAX)
    }

    /// So much earlier, [`ZERO`](Self::ZERO) at least.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        self.checked_sub(by).unwrap_or(Self::ZERO)
    }

    /// How much later this is than `earlier`; zero if it is not.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A monotonic clock that goes on while the machine is suspended. Plain data, no type parameter.
///
/// | made by | what it reads | for |
/// |---|---|---|
/// | [`system`](Self::system) | Linux: `CLOCK_BOOTTIME`, 22 ns. Elsewhere the standard monotonic clock, which **may stand still in suspend** (macOS) | the default |
/// | `tokio`, with the feature `time` | tokio's clock, from zero when it is made | tests on paused time, simulators |
/// | `ManualBootClock::clock`, with the feature `time` | what it was told | tests of suspend |
///
/// No clock in a virtual machine counts while the hypervisor has paused it.
///
/// With the feature `time` it also waits: see `wait_until`.
#[derive(Clone, Debug, Default)]
pub struct BootClock {
    source: Source,
}

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    /// Counts from there.
    #[cfg(feature = "time")]
    Tokio(tokio::time::Instant),
    #[cfg(feature = "time")]
    Manual(ManualBootClock),
    /// The system's, ahead by so many nanoseconds, and without a timer of the kernel's.
    #[cfg(all(test, feature = "time"))]
    Slept(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl BootClock {
    /// The system's.
    #[must_use]
    pub const fn system() -> Self {
        Self { source: Source::System }
    }

    /// The time now. No runtime is needed.
    #[must_use]
    pub fn now(&self) -> BootInstant {
        match &self.source {
            Source::System => system::now(),
            #[cfg(feature = "time")]
            Source::Tokio(start) => {
                let since = tokio::time::Instant::now().saturating_duration_since(*start);
                BootInstant::ZERO.saturating_add(since)
            }
            #[cfg(feature = "time")]
            Source::Manual(manual) => manual.now(),
            #[cfg(all(test, feature = "time"))]
            Source::Slept(nanos) => system::now().saturating_add(Duration::from_nanos(
                nanos.load(std::sync::atomic::Ordering::Relaxed),
            )),
        }
    }
}

#[cfg(feature = "time")]
impl BootClock {
    /// A clock that follows tokio's, and begins now: for tests on paused time and for simulators.
    /// Clones of it show the same time, but on a thread outside of the runtime, where no clock of
    /// tokio's is paused.
    #[must_use]
    pub fn tokio() -> Self {
        Self { source: Source::Tokio(tokio::time::Instant::now()) }
    }

    /// Waits until `at`; ready at once if that has passed. A machine that wakes from suspend after
    /// `at` finds the wait over.
    ///
    /// | the system's clock | woken late by | after a suspend |
    /// |---|---|---|
    /// | Linux, with the feature `timerfd` | 0.1 ms: a timer of the kernel's on `CLOCK_BOOTTIME` | at once |
    /// | otherwise | 1 ms: tokio's timer, which looks at the clock again each second | within a second |
    ///
    /// Each wait of the first kind holds a file descriptor, so a process has at most 64 of them at
    /// a time; all further waits are of the second kind. A task with many deadlines needs one wait,
    /// for the first of them.
    ///
    /// # Cancellation
    /// Safe: it holds nothing but a timer.
    ///
    /// It belongs to the runtime that polls it first, and goes on in another one when that has shut
    /// down.
    ///
    /// # Panics
    /// The future, when it must wait on the system's or tokio's clock outside of a tokio runtime
    /// with its timer enabled, or in one that is shut down; with the feature `timerfd` on Linux
    /// also when I/O is not enabled.
    #[must_use = "futures do nothing unless polled"]
    pub fn wait_until(&self, at: BootInstant) -> BootWait {
        BootWait::new(self.clone(), at)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, clock_gettime};

    use super::BootInstant;

    pub(super) fn now() -> BootInstant {
        let time = clock_gettime(ClockId::Boottime);
        // Counted from boot: neither half is ever negative, and 64 bits last for 584 years.
        let secs = time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000);
        BootInstant(secs.saturating_add(time.tv_nsec.unsigned_abs()))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{sync::OnceLock, time::Instant};

    use super::BootInstant;

    /// Before the first reading there is nothing to count from.
    static START: OnceLock<Instant> = OnceLock::new();

    #[expect(
        clippy::disallowed_methods,
        reason = "the fallback where no clock runs through suspend"
    )]
    pub(super) fn now() -> BootInstant {
        let now = Instant::now();
        BootInstant::ZERO.saturating_add(now.saturating_duration_since(*START.get_or_init(|| now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn arithmetic_ends_at_the_ends_and_never_panics() {
        let second = BootInstant::from_nanos(1_000_000_000);
        assert_eq!(BootInstant::ZERO.checked_add(SEC), Some(second));
        assert_eq!(second.checked_sub(SEC), Some(BootInstant::ZERO));
        assert_eq!(second.checked_sub(2 * SEC), None);
        assert_eq!(second.checked_add(Duration::MAX), None);
        assert_eq!(BootInstant::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(second.saturating_add(Duration::MAX), BootInstant::MAX);
        assert_eq!(BootInstant::MAX.saturating_sub(Duration::MAX), BootInstant::ZERO);
        assert_eq!(second.saturating_duration_since(BootInstant::MAX), Duration::ZERO);
        assert_eq!(
            BootInstant::MAX.saturating_duration_since(second).as_nanos(),
            u128::from(u64::MAX) - 1_000_000_000
        );
        assert_eq!(second.since_zero(), SEC);
    }

    #[test]
    fn the_system_clock_moves_on_and_never_back() {
        let clock = BootClock::default();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last > BootInstant::ZERO);
    }
}
