//! For tests: a machine that has slept, as a time namespace shows one.

use std::{
    env, io,
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn read(clock: ClockId) -> BootInstant {
    let time = clock_gettime(clock);
    BootInstant::ZERO.saturating_add(Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    ))
}

/// Set for the child process.
const CHILD: &str = "STEADFAST_SLEPT";

/// What the child process does. Without the variable there is nothing to do.
#[tokio::test]
async fn child() {
    if env::var(CHILD).is_ok() {
        let clock = BootClock::system();
        let (before, now, after) = (read(ClockId::Boottime), clock.now(), read(ClockId::Boottime));
        assert!((before..=after).contains(&now), "{now:?} between {before:?} and {after:?}");
        let awake = read(ClockId::Monotonic);
        assert!(now > awake.saturating_add(DAY / 2), "the sleep is counted");
        // A timer on the other clock would ring at once, or after a day.
        let at = now.saturating_add(Duration::from_millis(20));
        clock.wait_until(at).await;
        assert!((at..at.saturating_add(DAY / 2)).contains(&clock.now()));
        println!("slept for a day");
    }
}

/// The child in a time namespace in which the two clocks differ as after a day of sleep.
fn asleep(user: &[&str]) -> io::Result<Output> {
    Command::new("unshare")
        .args(user)
        .args(["--time", "--boottime", &DAY.as_secs().to_string()])
        .arg(env::current_exe()?)
        .args(["--exact", "boot::suspend::child", "--nocapture"])
        .env(CHILD, "")
        .stderr(Stdio::piped())
        .output()
}

#[test]
fn sleep_is_counted_and_waits_end_on_the_clock_that_counts_it() {
    // As root of a user namespace where those are allowed, otherwise as root.
    let tried = [&["--user", "--map-root-user"][..], &[]].map(asleep);
    let Some(output) = tried.iter().flatten().find(|output| !output.stdout.is_empty()) else {
        // Nothing ran: there are no such namespaces here, or they are not for this user.
        assert!(env::var_os("CI").is_none(), "no time namespace: {tried:?}");
        return eprintln!("skipped, no time namespace: {tried:?}");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("slept for a day"), "{text}{error}");
}
