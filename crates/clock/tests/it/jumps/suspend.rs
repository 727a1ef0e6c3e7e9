//! A machine that sleeps: `CLOCK_MONOTONIC` stops meanwhile, and whoever compares the wall clock with it sees a jump with each awakening.

use std::{
    env, fs,
    process::{Command, Stdio},
    time::Duration,
};

use steadfast_clock::PhysicalClock;
use steadfast_core::SystemWallClock;

/// Since boot, sleep and all: `CLOCK_BOOTTIME` by another way, in hundredths of a second.
fn uptime() -> Duration {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    Duration::from_secs_f64(text.split(' ').next().unwrap().parse().unwrap())
}

fn assert_monotonic_is_uptime() {
    let (before, monotonic, after) = (uptime(), SystemWallClock.monotonic(), uptime());
    let grain = Duration::from_millis(10);
    assert!((before..=after + grain).contains(&monotonic), "{monotonic:?} between {before:?} and {after:?}");
}

#[test]
fn time_that_passed_is_counted_from_boot_through_suspend() {
    assert_monotonic_is_uptime();
}

/// Set for the child process.
const CHILD: &str = "STEADFAST_SLEPT";

/// What the child process does. Without the variable there is nothing to do.
#[test]
fn child() {
    if env::var(CHILD).is_ok() {
        assert_monotonic_is_uptime();
        println!("slept: {:?}", uptime());
    }
}

#[test]
fn a_machine_that_has_slept_for_a_day_has_not_had_its_clock_set() {
    // A time namespace in which the two clocks differ as after a day of sleep.
    let unshare = Command::new("unshare")
        .args(["--user", "--map-root-user", "--time", "--boottime", "86400"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "jumps::suspend::child", "--nocapture"])
        .env(CHILD, "")
        .stderr(Stdio::piped())
        .output();
    let output = match unshare {
        Ok(output) if !output.stdout.is_empty() => output,
        // Nothing ran: there are no such namespaces here, or they are not for us.
        other => {
            assert!(env::var_os("CI").is_none(), "no time namespace: {other:?}");
            return eprintln!("skipped, no time namespace: {other:?}");
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("slept: "), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
