//! How long this machine has been up, and awake.

use super::vigil::Uptime;

/// How often the two clocks are read again when the thread was paused between them.
#[cfg(target_os = "linux")]
const LOOKS: usize = 3;

/// Now.
#[cfg(target_os = "linux")]
pub(super) fn uptime() -> Uptime {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let time = clock_gettime(clock);
        // Neither half is ever negative, and nanoseconds are less than a second.
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let look = || {
        let before = read(ClockId::Monotonic);
        let boot = read(ClockId::Boottime);
        let awake = read(ClockId::Monotonic);
        (Uptime { boot, awake }, awake.saturating_sub(before))
    };
    // A pause would hide a sleep of the same length.
    let narrow = (1..LOOKS).map(|_| look()).find(|(_, paused)| *paused < Duration::from_millis(1));
    narrow.unwrap_or_else(look).0
}

/// Now. Nothing is known of sleep, nor asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn uptime() -> Uptime {
    use steadfast_core::SystemWallClock;

    use crate::PhysicalClock;
    let up = SystemWallClock.monotonic();
    Uptime { boot: up, awake: up }
}
