//! Five processes watch each other by heartbeats over UDP while one is stopped, one link is cut, an
//! observer is stopped, and one is killed.
//!
//! ```text
//! cargo run --release --example failure_detector
//! ```
//!
//! Each process sends numbered heartbeats to the four others and runs a φ detector on theirs. The
//! senders lose and delay them, by a seed; the link from 4 to 0 loses three in ten. A heartbeat
//! carries what its sender says of the others, and each process counts these votes: three of five
//! decide who is dead. The parent only listens, prints the φ of each process (a bar each, in a
//! terminal) and asserts who was convicted when, within 20 s:
//!
//! 1. **1 is stopped** (`SIGSTOP`) for four seconds: the others convict it at the instant they had
//!    computed, and trust it again when it goes on. It convicts none of them meanwhile.
//! 2. **The link from 3 to 4 is cut**: 4 convicts 3, alone, and is outvoted.
//! 3. **0, an observer, is stopped** for two seconds: it counts its pause, and convicts none of
//!    the four that it did not hear.
//! 4. **2 is killed**: the others convict it in the computed time, and it stays so.
//!
//! None else is ever convicted, and not the sender of the lossy link.

mod link;
mod log;
mod member;
mod panel;
mod scenes;
mod stage;
mod verdict;
mod wire;

use std::{env, process::ExitCode, time::Duration};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many processes there are.
const MEMBERS: usize = 5;

/// From one heartbeat to the next.
const PERIOD: Duration = Duration::from_millis(50);

/// The φ at which a peer is convicted.
const THRESHOLD: f64 = 8.0;

/// Whose way to [`LOSSY_TO`] loses three heartbeats in ten.
const LOSSY_FROM: usize = 4;
const LOSSY_TO: usize = 0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as one of its own processes.
        ["--member", id, parent] => member::serve(id, parent).await,
        [] => scenes::show().await,
        _ => Err("usage: failure_detector".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("failure_detector: {failure}");
            ExitCode::FAILURE
        }
    }
}
