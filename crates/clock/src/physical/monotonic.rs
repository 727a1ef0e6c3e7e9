//! The monotonic clock that tells a jump of the wall clock from time that passed.

use std::time::Duration;

#[cfg(target_os = "linux")]
pub(super) fn now() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    // Through suspend, as the wall clock does: a machine that wakes up has not had its clock set.
    let time = clock_gettime(ClockId::Boottime);
    // Counted from boot: neither half is ever negative, and nanoseconds are less than a second.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "compares the wall clock with time that passed, about once a second")]
pub(super) fn now() -> Duration {
    use std::{sync::OnceLock, time::Instant};
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    now.saturating_duration_since(*START.get_or_init(|| now))
}
