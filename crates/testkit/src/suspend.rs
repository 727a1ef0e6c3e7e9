//! A machine that has slept, as a time namespace shows one.

use std::{
    env, io,
    process::{Command, Output, Stdio},
    time::Duration,
};

/// For how long the machine of [`after_sleep`] has slept: its `CLOCK_BOOTTIME` is so far ahead of
/// its `CLOCK_MONOTONIC`.
pub const SLEEP: Duration = Duration::from_secs(86_400);

/// Set for the child process.
const CHILD: &str = "STEADFAST_SLEPT";
/// Written by the child once its assertions held: a test that ran is told from one that did not.
const DONE: &str = "slept for a day";

/// Runs `assertions` where this process was started by [`assert_after_sleep`]. Without that there
/// is nothing to assert.
pub fn after_sleep(assertions: impl FnOnce()) {
    if env::var_os(CHILD).is_some() {
        assertions();
        println!("{DONE}");
    }
}

/// Runs the test `child` of the current executable, which calls [`after_sleep`], in a time
/// namespace in which the two clocks differ as after a day of sleep.
///
/// As root of a user namespace where those are allowed, otherwise as root. Where neither can be
/// had the test says that it was skipped, but with the variable `CI` set it fails.
///
/// # Panics
/// When the child fails, or did not run to its end.
pub fn assert_after_sleep(child: &str) {
    let tried = [&["--user", "--map-root-user"][..], &[]].map(|user| run(user, child));
    let Some(output) = tried.iter().flatten().find(|output| !output.stdout.is_empty()) else {
        // Nothing ran: there are no such namespaces here, or they are not for this user.
        assert!(env::var_os("CI").is_none(), "no time namespace: {tried:?}");
        return eprintln!("skipped, no time namespace: {tried:?}");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(DONE), "{text}{error}");
}

fn run(user: &[&str], child: &str) -> io::Result<Output> {
    Command::new("unshare")
        .args(user)
        .args(["--time", "--boottime", &SLEEP.as_secs().to_string()])
        .arg(env::current_exe()?)
        .args(["--exact", child, "--nocapture"])
        .env(CHILD, "")
        .stderr(Stdio::piped())
        .output()
}
