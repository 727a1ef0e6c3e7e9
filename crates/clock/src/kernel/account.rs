//! Judging what the kernel says of its clock.

use std::time::Duration;

use crate::{Unknown, uncertainty::UNSYNCHRONISED};

/// `STA_UNSYNC` in `timex.status`: the clock is not synchronised.
const STA_UNSYNC: i32 = 0x0040;

/// `STA_NANO` in `timex.status`: `timex.offset` counts nanoseconds and not microseconds.
const STA_NANO: i32 = 0x2000;

/// What `adjtimex` returns when a second is to be inserted at the end of the day, in UTC.
const TIME_INS: i32 = 1;

/// What `adjtimex` returns when the last second of the day is to be left out.
const TIME_DEL: i32 = 2;

/// What `adjtimex` returns while a leap second is being inserted.
const TIME_OOP: i32 = 3;

/// What `adjtimex` returns after a leap second: the last of the states of a clock that is kept.
const TIME_WAIT: i32 = 4;

/// What `adjtimex` returns of a clock that is not synchronised.
const TIME_ERROR: i32 = 5;

/// The kernel counts its growing error in steps, one each second (`MAXFREQ`). One more covers the
/// part of a second that it has not counted yet.
const STEP_US: u64 = 500;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is not counted of the way to a leap second: the part of a second that
/// [`Account::wall_secs`] leaves out; the second by which one that is left out comes before the end
/// of the day; and what a clock is slewed in two minutes, 60 ms.
const LEAP_MARGIN: Duration = Duration::from_secs(3);

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
    /// `timex.time`: the wall time, in whole seconds.
    pub(super) wall_secs: i64,
}

impl Account {
    /// The bound in it, in whole microseconds and below 16 s, or why there is none. It is to be
    /// used for as long as `kept`.
    pub(super) fn judge(self, kept: Duration) -> Result<Duration, Unknown> {
        let bound = self.bound()?;
        if self.is_near_a_leap_second(kept + bound) { Err(Unknown::LeapSecond) } else { Ok(bound) }
    }

    fn bound(self) -> Result<Duration, Unknown> {
        if self.status & STA_UNSYNC != 0 || self.state == TIME_ERROR {
            return Err(Unknown::Unsynchronised);
        }
        match self.state {
            TIME_OOP => return Err(Unknown::LeapSecond),
            0..=TIME_WAIT => {}
            _ => return Err(Unknown::Implausible),
        }
        let (Ok(max_us), Ok(estimated_us)) =
            (u64::try_from(self.max_error_us), u64::try_from(self.estimated_error_us))
        else {
            return Err(Unknown::Implausible);
        };
        if Duration::from_micros(max_us) >= UNSYNCHRONISED {
            return Err(Unknown::Unsynchronised);
        }
        // Zeros that are written to mark a clock as synchronised: see `KernelBound`. A maximum of
        // zero is one or the other.
        if estimated_us == 0 || estimated_us > max_us {
            return Err(Unknown::NotMeasured);
        }
        let bound = Duration::from_micros(
            max_us.saturating_add(STEP_US).saturating_add(self.outstanding_us()),
        );
        if bound < UNSYNCHRONISED { Ok(bound) } else { Err(Unknown::Unsynchronised) }
    }

    /// Whether one may begin within that time, or has just been. `TIME_OOP` alone is seen too late:
    /// it lasts for a second, and an answer for longer. And one of two clocks that are off by a
    /// bound has done it while the other has not.
    fn is_near_a_leap_second(self, within: Duration) -> bool {
        if !matches!(self.state, TIME_INS | TIME_DEL | TIME_WAIT) {
            return false;
        }
        let secs = u64::try_from(self.wall_secs).unwrap_or(0) % DAY.as_secs();
        let since_midnight = Duration::from_secs(secs);
        since_midnight.min(DAY - since_midnight) <= within + LEAP_MARGIN
    }

    /// By how much the kernel itself says that the clock is off, until the correction is done.
    /// Rounded up.
    fn outstanding_us(self) -> u64 {
        let offset = self.offset.unsigned_abs();
        if self.status & STA_NANO == 0 { offset } else { offset.div_ceil(1000) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{cache::Cache, suspend::Uptime},
        *,
    };

    const CAP_US: i64 = 16_000_000;
    const MIDNIGHT: i64 = 1_795_564_800;
    const NOON: i64 = MIDNIGHT - 43_200;
    const KEPT: Duration = Duration::from_secs(2);

    /// A clock that chronyd keeps.
    fn kept() -> Account {
        Account {
            state: 0,
            status: 0,
            max_error_us: 9776,
            estimated_error_us: 120,
            offset: 0,
            wall_secs: NOON,
        }
    }

    #[test]
    fn a_clock_that_is_kept_is_off_by_its_maximum_and_the_uncounted_part_of_a_second() {
        assert_eq!(kept().judge(KEPT), Ok(Duration::from_micros(9776 + 500)));
        for state in [1, 2, 4] {
            assert!(
                Account { state, ..kept() }.judge(KEPT).is_ok(),
                "a leap second that is announced or over: {state}"
            );
        }
    }

    #[test]
    fn a_correction_that_is_still_applied_counts_in_either_direction_and_unit() {
        for (status, offset) in
            [(0, 2000), (0, -2000), (STA_NANO, 1_999_001), (STA_NANO, -1_999_001)]
        {
            assert_eq!(
                Account { status, offset, ..kept() }.judge(KEPT),
                Ok(Duration::from_micros(9776 + 500 + 2000))
            );
        }
        let off = Account { offset: i64::MIN, ..kept() };
        assert_eq!(off.judge(KEPT), Err(Unknown::Unsynchronised));
    }

    #[test]
    fn the_zeros_that_systemd_timesyncd_writes_are_no_bound() {
        let written = Account {
            max_error_us: 0,
            estimated_error_us: 0,
            offset: 38_000,
            status: 0x2001,
            ..kept()
        };
        assert_eq!(written.judge(KEPT), Err(Unknown::NotMeasured));
    }

    #[test]
    fn the_zeros_that_systemd_timesyncd_writes_are_no_bound_some_seconds_later() {
        // The kernel adds 500 µs a second to the one and nothing to the other.
        for secs in 0..32_000 {
            let grown = Account {
                max_error_us: 500 * secs,
                estimated_error_us: 0,
                status: 0x2001,
                ..kept()
            };
            assert_eq!(grown.judge(KEPT), Err(Unknown::NotMeasured), "{secs} s");
        }
    }

    #[test]
    fn the_sixteen_seconds_of_a_machine_that_nobody_synchronised_are_no_bound() {
        // As Linux says after boot.
        let booted = Account {
            state: 5,
            status: 0x40,
            max_error_us: CAP_US,
            estimated_error_us: CAP_US,
            ..kept()
        };
        assert_eq!(booted.judge(KEPT), Err(Unknown::Unsynchronised));
        // Each sign alone is enough.
        for unsynchronised in [
            Account { state: 5, ..kept() },
            Account { status: 0x40, ..kept() },
            Account { max_error_us: CAP_US, ..kept() },
            Account { max_error_us: CAP_US, estimated_error_us: CAP_US, ..kept() },
            Account { max_error_us: i64::MAX, ..kept() },
            Account { max_error_us: CAP_US - 500, ..kept() },
        ] {
            assert_eq!(
                unsynchronised.judge(KEPT),
                Err(Unknown::Unsynchronised),
                "{unsynchronised:?}"
            );
        }
        let last = Account { max_error_us: CAP_US - 501, ..kept() };
        assert_eq!(last.judge(KEPT), Ok(Duration::from_micros(15_999_999)));
    }

    #[test]
    fn the_zero_that_phc2sys_writes_into_one_of_two_fields_is_no_bound() {
        for max_error_us in [0, 500, 1000, CAP_US - 1] {
            let account = Account { max_error_us, estimated_error_us: CAP_US, ..kept() };
            assert_eq!(account.judge(KEPT), Err(Unknown::NotMeasured));
        }
    }

    #[test]
    fn a_leap_second_and_what_cannot_be_have_names() {
        assert_eq!(Account { state: 3, ..kept() }.judge(KEPT), Err(Unknown::LeapSecond));
        for implausible in [
            Account { state: 6, ..kept() },
            Account { state: -1, ..kept() },
            Account { max_error_us: -1, ..kept() },
            Account { estimated_error_us: -1, ..kept() },
            Account { max_error_us: i64::MIN, estimated_error_us: i64::MIN, ..kept() },
        ] {
            assert_eq!(implausible.judge(KEPT), Err(Unknown::Implausible), "{implausible:?}");
        }
    }

    #[test]
    fn close_to_the_end_of_a_day_with_a_leap_second_nothing_is_known() {
        let at =
            |state, secs: i64| Account { state, wall_secs: MIDNIGHT + secs, ..kept() }.judge(KEPT);
        for state in [TIME_INS, TIME_DEL, TIME_WAIT] {
            for secs in [-5, -1, 0, 1, 5] {
                assert_eq!(at(state, secs), Err(Unknown::LeapSecond), "{state} {secs}");
            }
            assert!(at(state, -6).is_ok() && at(state, 6).is_ok(), "{state}");
        }
        assert!(at(0, -1).is_ok() && at(0, 0).is_ok(), "a day like any other");
        let unknown =
            Account { max_error_us: CAP_US, state: TIME_INS, wall_secs: MIDNIGHT, ..kept() };
        assert_eq!(
            unknown.judge(KEPT),
            Err(Unknown::Unsynchronised),
            "the lasting reason comes first"
        );
    }

    /// A kernel before, in and after a leap second, by milliseconds since the second was due on a
    /// clock that has none.
    #[derive(Clone, Copy, Debug)]
    enum Leap {
        Inserted,
        LeftOut,
    }

    impl Leap {
        /// The wall clock, in milliseconds since midnight.
        fn wall_ms(self, passed_ms: i64) -> i64 {
            match (self, passed_ms) {
                (Self::Inserted, ..0) | (Self::LeftOut, 0..) => passed_ms,
                _ => passed_ms - 1000,
            }
        }

        fn account(self, passed_ms: i64, max_error_us: i64) -> Account {
            let state = match (self, passed_ms) {
                (Self::Inserted, ..0) => TIME_INS,
                (Self::Inserted, 0..1000) => TIME_OOP,
                (Self::LeftOut, ..0) => TIME_DEL,
                _ => TIME_WAIT,
            };
            let wall_secs = MIDNIGHT + self.wall_ms(passed_ms).div_euclid(1000);
            Account { state, max_error_us, wall_secs, ..kept() }
        }
    }

    /// Garbage, and what is close to sense.
    fn any_word() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -2..20_000_000_i64, -2..2000_i64]
    }

    proptest! {
        /// Of every answer that is used, however old: were the clock as wrong as it may be, it
        /// would be off by no more than that.
        #[test]
        fn a_kept_bound_holds_through_a_leap_second(
            leap in prop_oneof![Just(Leap::Inserted), Just(Leap::LeftOut)],
            every_ms in prop_oneof![1..3000_u64, 1..=60_000_u64],
            max_error_us in prop_oneof![120..20_000_i64, 120..5_000_000_i64],
            first_ms in -130_000..2000_i64,
            pauses_ms in proptest::collection::vec(prop_oneof![0..50_i64, 0..1000_i64, 0..70_000_i64], 1..60),
        ) {
            let every = Duration::from_millis(every_ms);
            let says = |at_ms| leap.account(at_ms, max_error_us).judge(Cache::keeps(every));
            let up = |at_ms: i64| {
                let boot = Duration::from_millis(at_ms.checked_add(1_000_000).unwrap().unsigned_abs());
                Uptime { boot, awake: boot }
            };
            let cache = Cache::new(every, up(first_ms), says(first_ms));
            let mut at_ms = first_ms;
            for pause_ms in pauses_ms {
                at_ms += pause_ms;
                let Ok(bound) = cache.bound(up(at_ms), || says(at_ms)) else { continue };
                for off_ms in [-max_error_us / 1000, -1, 0, 1, max_error_us / 1000] {
                    if off_ms.abs() * 1000 > max_error_us {
                        continue;
                    }
                    let off = leap.wall_ms(at_ms + off_ms) - leap.wall_ms(at_ms);
                    prop_assert!(Duration::from_millis(off.unsigned_abs()) <= bound, "{bound:?} at {at_ms} ms, off by {off} ms");
                    prop_assert!(!matches!((leap, at_ms), (Leap::Inserted, 0..1000)), "each time is said twice");
                }
            }
        }

        #[test]
        fn whatever_the_kernel_says_is_a_bound_below_sixteen_seconds_or_unknown(
            state in prop_oneof![any::<i32>(), 0..6],
            status in prop_oneof![any::<i32>(), Just(0), Just(STA_NANO), Just(0x2001)],
            max_error_us in any_word(),
            estimated_error_us in any_word(),
            offset in any_word(),
            wall_secs in any_word(),
        ) {
            let account = Account { state, status, max_error_us, estimated_error_us, offset, wall_secs };
            if let Ok(bound) = account.judge(KEPT) {
                prop_assert!(bound < UNSYNCHRONISED && bound.subsec_nanos() % 1000 == 0);
                prop_assert!(bound.as_micros() > u128::from(max_error_us.unsigned_abs()), "never below what the kernel says");
                prop_assert!(max_error_us > 0 && estimated_error_us > 0 && max_error_us >= estimated_error_us);
                prop_assert!((0..=4).contains(&state) && state != 3 && status & STA_UNSYNC == 0);
            }
        }
    }
}
