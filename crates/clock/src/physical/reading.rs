//! The system's wall clock as the time since the epoch, which spares a tenth of a reading over `SystemTime`.

use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

/// Now.
#[cfg(target_os = "linux")]
#[inline]
pub(super) fn exact() -> Duration {
    read(ClockId::Realtime)
}

/// At the kernel's last tick.
#[cfg(target_os = "linux")]
#[inline]
pub(super) fn coarse() -> Duration {
    read(ClockId::RealtimeCoarse)
}

#[cfg(target_os = "linux")]
#[inline]
fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Before the epoch the seconds are negative: then it is the epoch.
    match u64::try_from(time.tv_sec) {
        Ok(secs) => Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0)),
        Err(_) => Duration::ZERO,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn exact() -> Duration {
    use steadfast_core::{SystemWallClock, WallClock};
    SystemWallClock.now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn coarse() -> Duration {
    exact()
}
