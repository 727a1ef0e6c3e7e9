//! The kernel as a source of a bound.

use std::time::Duration;

use steadfast_core::{BootClock, ConfigError};

use super::{account::Account, estimate::Estimate, suspend::Uptime};
use crate::{Uncertainty, Unknown, physical::reading};

/// A bound from the kernel: what the NTP daemon told it last, grown since by 500 ppm
/// (`adjtimex(2)`, `maxerror`). Linux; elsewhere always [`Unknown::Unsupported`].
///
/// Needs no privilege. A read of the kernel costs about 1 µs and happens once a second by default;
/// in between the last bound grows by 500 ppm of the time since then, the most by which Linux lets
/// a clock be off its rate. Each call reads three clocks, to see whether the machine has slept. No
/// call waits for another one's read, and no bound is older than two intervals: a call that finds
/// an older one reads for itself. A change in the kernel (the daemon gave up, the clock was set) is
/// seen so much later at the latest.
///
/// # What is taken for a bound, and what is not
///
/// | the kernel says | the answer |
/// |---|---|
/// | `STA_UNSYNC` or `TIME_ERROR`, or an error of 16 s and more, as after boot | [`Unknown::Unsynchronised`] |
/// | `maxerror` 0, or `esterror` 0: systemd-timesyncd writes zero into both | [`Unknown::NotMeasured`] |
/// | `esterror` above `maxerror`: phc2sys writes zero into `maxerror` alone | [`Unknown::NotMeasured`] |
/// | `TIME_OOP`; `TIME_INS`, `TIME_DEL` or `TIME_WAIT` within two intervals, the bound and 3 s of midnight, UTC | [`Unknown::LeapSecond`] |
/// | what it said before the machine was suspended | [`Unknown::Suspended`], until `maxerror` has fallen |
/// | a negative error, another state | [`Unknown::Implausible`] |
/// | an error of the system call | [`Unknown::Unreadable`] |
/// | anything else | `maxerror`, the part of the last second that the kernel has not counted yet, and the correction it is still applying (`offset`) |
///
/// The kernel adds 500 µs to `maxerror` each second (`second_overflow` in `kernel/time/ntp.c`) and
/// never touches `esterror`: a second after systemd-timesyncd wrote its zeros, `maxerror` looks
/// like a measurement, and only `esterror` still tells.
///
/// # Suspended machines
///
/// A machine that wakes sets its clock by a hardware clock that may count in whole seconds, and
/// Linux leaves `maxerror` as it was. So from the first call after a sleep on (`CLOCK_BOOTTIME`
/// against `CLOCK_MONOTONIC`) nothing is known until the daemon has reported: until `maxerror`
/// fell, which by itself it never does. What this cannot see:
///
/// - A sleep before this value was made, since when the daemon has not reported.
/// - A sleep that the kernel does not count, because its hardware clock counts in seconds.
/// - **A virtual machine that is paused, saved and restored, or migrated.** Its clocks all stand
///   still together. Its wall clock is then behind by as long as that took, with a small bound,
///   until the daemon has noticed. Use no bound of the kernel's on such machines.
///
/// # How honest it is
///
/// As honest as the daemon. chronyd writes half the root delay plus the root dispersion, leaves out
/// a correction that it slews itself, and needs `rtcsync`, without which it leaves the clock marked
/// as unsynchronised. A daemon that wrote an estimate and was then replaced by one that writes none
/// leaves a bound that was never measured: this cannot be told from here. An estimate below 1 µs is
/// written as zero, and is unknown here.
#[derive(Debug)]
pub struct KernelBound {
    estimate: Estimate,
}

impl KernelBound {
    /// Reads the kernel once a second.
    #[must_use]
    pub fn new() -> Self {
        Self::every(Duration::from_secs(1)).expect("a second is within the bounds")
    }

    /// Reads the kernel once in `every`, when it is asked.
    ///
    /// # Errors
    /// When `every` is below a millisecond or above a minute.
    pub fn every(every: Duration) -> Result<Self, ConfigError> {
        let fits = (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&every);
        ConfigError::require(fits, "every", every, "from 1 ms to a minute")?;
        Ok(Self { estimate: Estimate::new(every, uptime, read) })
    }
}

impl Default for KernelBound {
    fn default() -> Self {
        Self::new()
    }
}

impl Uncertainty for KernelBound {
    fn bound(&self) -> Result<Duration, Unknown> {
        self.estimate.bound(uptime, read)
    }
}

/// How often the clocks are read again when the thread was paused between them.
const ATTEMPTS: usize = 3;

/// The uptime now. A pause between the two readings would hide a sleep of the same length.
fn uptime() -> Uptime {
    let attempt = || {
        let before = reading::awake();
        let boot = BootClock::system().now().since_zero();
        let awake = reading::awake();
        (Uptime { boot, awake }, awake.saturating_sub(before))
    };
    let narrow =
        (1..ATTEMPTS).map(|_| attempt()).find(|(_, paused)| *paused < Duration::from_millis(1));
    narrow.unwrap_or_else(attempt).0
}

#[cfg(target_os = "linux")]
fn read() -> Result<Account, Unknown> {
    use rtime_clock::adjtime::{Timex, adjtimex};
    // No mode: nothing is set.
    let mut timex = Timex::default();
    let state = adjtimex(&mut timex).map_err(|_| Unknown::Unreadable)?;
    let timex = timex.0;
    Ok(Account {
        state,
        status: timex.status,
        max_error_us: word(timex.maxerror),
        estimated_error_us: word(timex.esterror),
        offset: word(timex.offset),
        wall_secs: word(timex.time.tv_sec),
    })
}

/// A word of the kernel's, which is half as long on some machines.
#[cfg(target_os = "linux")]
fn word(word: impl Into<i64>) -> i64 {
    word.into()
}

#[cfg(not(target_os = "linux"))]
fn read() -> Result<Account, Unknown> {
    Err(Unknown::Unsupported)
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_cannot_work_is_refused() {
        for every in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(61)] {
            assert_eq!(KernelBound::every(every).unwrap_err().field, "every");
        }
        assert!(KernelBound::every(Duration::from_millis(1)).is_ok());
    }
}
