//! A machine that sleeps: `CLOCK_MONOTONIC` stops meanwhile, and a comparison of the wall clock
//! with it shows a jump at each awakening.

use std::{
    env, io,
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use steadfast_clock::PhysicalClock;
use steadfast_core::SystemWallClock;

const DAY: Duration = Duration::from_secs(86_400);

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

/// Set for the child process.
const CHILD: &str = "STEADFAST_SLEPT";

/// What the child process does. Without the variable there is nothing to do.
#[test]
fn child() {
    if env::var(CHILD).is_ok() {
        assert!(
            read(ClockId::Boottime) > read(ClockId::Monotonic) + DAY / 2,
            "the two are told apart here"
        );
        assert_sleep_is_counted();
        println!("slept for a day");
    }
}

/// The child in a time namespace in which the two clocks differ as after a day of sleep.
fn asleep(user: &[&str]) -> io::Result<Output> {
    Command::new("unshare")
        .args(user)
        .args(["--time", "--boottime", &DAY.as_secs().to_string()])
        .arg(env::current_exe()?)
        .args(["--exact", "jumps::suspend::child", "--nocapture"])
        .env(CHILD, "")
        .stderr(Stdio::piped())
        .output()
}

#[test]
fn a_machine_that_has_slept_for_a_day_has_not_had_its_clock_set() {
    // As root of a user namespace where those are allowed, otherwise as root.
    let tried = [&["--user", "--map-root-user"][..], &[]].map(asleep);
    let Some(output) = tried.iter().flatten().find(|output| !output.stdout.is_empty()) else {
        // Nothing ran: there are no such namespaces here, or they are not for us.
        assert!(env::var_os("CI").is_none(), "no time namespace: {tried:?}");
        return eprintln!("skipped, no time namespace: {tried:?}");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("slept for a day"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
