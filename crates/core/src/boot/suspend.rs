//! For tests: a machine that has slept, as a time namespace shows one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use steadfast_testkit::suspend::{SLEEP, after_sleep, assert_after_sleep};

use super::*;

fn read(clock: ClockId) -> BootInstant {
    let time = clock_gettime(clock);
    BootInstant::ZERO.saturating_add(Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    ))
}

/// For the child process.
#[test]
fn child() {
    after_sleep(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(sleep_is_counted());
    });
}

async fn sleep_is_counted() {
    let clock = BootClock::system();
    let (before, now, after) = (read(ClockId::Boottime), clock.now(), read(ClockId::Boottime));
    assert!((before..=after).contains(&now), "{now:?} between {before:?} and {after:?}");
    let awake = read(ClockId::Monotonic);
    assert!(now > awake.saturating_add(SLEEP / 2), "the sleep is counted");
    // A timer on the other clock would ring at once, or after a day.
    let at = now.saturating_add(Duration::from_millis(20));
    clock.wait_until(at).await;
    assert!((at..at.saturating_add(SLEEP / 2)).contains(&clock.now()));
}

#[test]
fn sleep_is_counted_and_waits_end_on_the_clock_that_counts_it() {
    assert_after_sleep("boot::suspend::child");
}
