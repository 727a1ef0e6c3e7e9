//! The clocks from outside.
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod bounded;
mod causality;
#[cfg(feature = "tokio")]
mod commit_wait;
mod executions;
mod jumps;
#[cfg(all(feature = "kernel", target_os = "linux"))]
mod kernel;
#[cfg(feature = "http")]
mod layers;
mod persistent;
mod registers;
mod shape;
mod threads;
#[cfg(feature = "tracing")]
mod tracing;
mod traps;

use std::time::{Duration, SystemTime};

use steadfast_core::ManualWallClock;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Some moment of 2026.
const NOW: Duration = Duration::from_secs(1_790_000_000);

fn manual() -> ManualWallClock {
    ManualWallClock::new(SystemTime::UNIX_EPOCH + NOW)
}
