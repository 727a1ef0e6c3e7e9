//! A machine that sleeps: `CLOCK_MONOTONIC` stops meanwhile, and a comparison of the wall clock
//! with it shows a jump at each awakening.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use steadfast_clock::PhysicalClock;
use steadfast_core::SystemWallClock;
use steadfast_testkit::suspend::{SLEEP, after_sleep, assert_after_sleep};

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap())
}

fn assert_sleep_is_counted() {
    let (before, monotonic, after) =
        (read(ClockId::Boottime), SystemWallClock.monotonic(), read(ClockId::Boottime));
    assert!(
        (before..=after).contains(&monotonic),
        "{monotonic:?} between {before:?} and {after:?}"
    );
}

#[test]
fn time_that_passed_is_counted_from_boot_through_suspend() {
    assert_sleep_is_counted();
}

/// For the child process.
#[test]
fn child() {
    after_sleep(|| {
        assert!(
            read(ClockId::Boottime) > read(ClockId::Monotonic) + SLEEP / 2,
            "the two are told apart here"
        );
        assert_sleep_is_counted();
    });
}

#[test]
fn a_machine_that_has_slept_for_a_day_has_not_had_its_clock_set() {
    assert_after_sleep("jumps::suspend::child");
}
