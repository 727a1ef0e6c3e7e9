//! Judging what the kernel says of its clock.

use std::time::Duration;

use crate::{Unknown, uncertainty::UNSYNCHRONISED};

/// `STA_UNSYNC` in `timex.status`: the clock is not synchronised.
const STA_UNSYNC: i32 = 0x0040;

/// `STA_NANO` in `timex.status`: `timex.offset` counts nanoseconds and not microseconds.
const STA_NANO: i32 = 0x2000;

/// What `adjtimex` returns while a leap second is being inserted.
const TIME_OOP: i32 = 3;

/// What `adjtimex` returns after a leap second: the last of the states of a clock that is kept.
const TIME_WAIT: i32 = 4;

/// What `adjtimex` returns of a clock that is not synchronised.
const TIME_ERROR: i32 = 5;

/// The kernel counts its growing error in steps, one each second (`MAXFREQ`). One more covers the part of a second that it has not
/// counted yet.
const STEP_US: u64 = 500;

/// What `adjtimex` says, whatever it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    /// What it returned.
    pub(super) state: i32,
    /// `timex.status`.
    pub(super) status: i32,
    /// `timex.maxerror`.
    pub(super) max_error_us: i64,
    /// `timex.esterror`.
    pub(super) estimated_error_us: i64,
    /// `timex.offset`: the correction that the kernel is still applying.
    pub(super) offset: i64,
}

impl Account {
    /// The bound in it, in whole microseconds and below 16 s, or why there is none.
    pub(super) fn judge(self) -> Result<Duration, Unknown> {
        if self.status & STA_UNSYNC != 0 || self.state == TIME_ERROR {
            return Err(Unknown::Unsynchronised);
        }
        match self.state {
            TIME_OOP => return Err(Unknown::LeapSecond),
            0..=TIME_WAIT => {}
            _ => return Err(Unknown::Implausible),
        }
        let (Ok(max_us), Ok(estimated_us)) = (u64::try_from(self.max_error_us), u64::try_from(self.estimated_error_us))
        else {
            return Err(Unknown::Implausible);
        };
        if Duration::from_micros(max_us) >= UNSYNCHRONISED {
            return Err(Unknown::Unsynchronised);
        }
        // Zeros that are written to mark a clock as synchronised: see `KernelBound`. A maximum of zero is one or the other.
        if estimated_us == 0 || estimated_us > max_us {
            return Err(Unknown::NotMeasured);
        }
        let bound = Duration::from_micros(max_us.saturating_add(STEP_US).saturating_add(self.outstanding_us()));
        if bound < UNSYNCHRONISED { Ok(bound) } else { Err(Unknown::Unsynchronised) }
    }

    /// By how much the kernel itself says that the clock is off, until the correction is done. Rounded up.
    fn outstanding_us(self) -> u64 {
        let offset = self.offset.unsigned_abs();
        if self.status & STA_NANO == 0 { offset } else { offset.div_ceil(1000) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP_US: i64 = 16_000_000;

    /// A clock that chronyd keeps.
    fn kept() -> Account {
        Account { state: 0, status: 0, max_error_us: 9776, estimated_error_us: 120, offset: 0 }
    }

    #[test]
    fn a_clock_that_is_kept_is_off_by_its_maximum_and_the_uncounted_part_of_a_second() {
        assert_eq!(kept().judge(), Ok(Duration::from_micros(9776 + 500)));
        for state in [1, 2, 4] {
            assert!(Account { state, ..kept() }.judge().is_ok(), "a leap second that is announced or over: {state}");
        }
    }

    #[test]
    fn a_correction_that_is_still_applied_counts_in_either_direction_and_unit() {
        for (status, offset) in [(0, 2000), (0, -2000), (STA_NANO, 1_999_001), (STA_NANO, -1_999_001)] {
            assert_eq!(Account { status, offset, ..kept() }.judge(), Ok(Duration::from_micros(9776 + 500 + 2000)));
        }
        let off = Account { offset: i64::MIN, ..kept() };
        assert_eq!(off.judge(), Err(Unknown::Unsynchronised));
    }

    #[test]
    fn the_zeros_that_systemd_timesyncd_writes_are_no_bound() {
        let written = Account { max_error_us: 0, estimated_error_us: 0, offset: 38_000, status: 0x2001, ..kept() };
        assert_eq!(written.judge(), Err(Unknown::NotMeasured));
    }

    #[test]
    fn the_zeros_that_systemd_timesyncd_writes_are_no_bound_some_seconds_later() {
        // The kernel adds 500 µs a second to the one and nothing to the other.
        for secs in 0..32_000 {
            let grown = Account { max_error_us: 500 * secs, estimated_error_us: 0, status: 0x2001, ..kept() };
            assert_eq!(grown.judge(), Err(Unknown::NotMeasured), "{secs} s");
        }
    }

    #[test]
    fn the_sixteen_seconds_of_a_machine_that_nobody_synchronised_are_no_bound() {
        // As Linux says after boot.
        let booted = Account { state: 5, status: 0x40, max_error_us: CAP_US, estimated_error_us: CAP_US, offset: 0 };
        assert_eq!(booted.judge(), Err(Unknown::Unsynchronised));
        // Each sign alone is enough.
        for unsynchronised in [
            Account { state: 5, ..kept() },
            Account { status: 0x40, ..kept() },
            Account { max_error_us: CAP_US, ..kept() },
            Account { max_error_us: CAP_US, estimated_error_us: CAP_US, ..kept() },
            Account { max_error_us: i64::MAX, ..kept() },
            Account { max_error_us: CAP_US - 500, ..kept() },
        ] {
            assert_eq!(unsynchronised.judge(), Err(Unknown::Unsynchronised), "{unsynchronised:?}");
        }
        let last = Account { max_error_us: CAP_US - 501, ..kept() };
        assert_eq!(last.judge(), Ok(Duration::from_micros(15_999_999)));
    }

    #[test]
    fn the_zero_that_phc2sys_writes_into_one_of_two_fields_is_no_bound() {
        for max_error_us in [0, 500, 1000, CAP_US - 1] {
            let account = Account { max_error_us, estimated_error_us: CAP_US, ..kept() };
            assert_eq!(account.judge(), Err(Unknown::NotMeasured));
        }
    }

    #[test]
    fn a_leap_second_and_what_cannot_be_have_names() {
        assert_eq!(Account { state: 3, ..kept() }.judge(), Err(Unknown::LeapSecond));
        for implausible in [
            Account { state: 6, ..kept() },
            Account { state: -1, ..kept() },
            Account { max_error_us: -1, ..kept() },
            Account { estimated_error_us: -1, ..kept() },
            Account { max_error_us: i64::MIN, estimated_error_us: i64::MIN, ..kept() },
        ] {
            assert_eq!(implausible.judge(), Err(Unknown::Implausible), "{implausible:?}");
        }
    }

    /// Garbage, and what is close to sense.
    fn any_word() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -2..20_000_000_i64, -2..2000_i64]
    }

    proptest! {
        #[test]
        fn whatever_the_kernel_says_is_a_bound_below_sixteen_seconds_or_unknown(
            state in prop_oneof![any::<i32>(), 0..6],
            status in prop_oneof![any::<i32>(), Just(0), Just(STA_NANO), Just(0x2001)],
            max_error_us in any_word(),
            estimated_error_us in any_word(),
            offset in any_word(),
        ) {
            let account = Account { state, status, max_error_us, estimated_error_us, offset };
            if let Ok(bound) = account.judge() {
                prop_assert!(bound < UNSYNCHRONISED && bound.subsec_nanos() % 1000 == 0);
                prop_assert!(bound.as_micros() > u128::from(max_error_us.unsigned_abs()), "never below what the kernel says");
                prop_assert!(max_error_us > 0 && estimated_error_us > 0 && max_error_us >= estimated_error_us);
                prop_assert!((0..=4).contains(&state) && state != 3 && status & STA_UNSYNC == 0);
            }
        }
    }
}
