//! Five processes keep a register by quorums while they are stopped, cut off and killed; then five
//! observers vote on who is dead.
//!
//! ```text
//! cargo run --release --example quorum_register                 both, in under 20 s
//! cargo run --release --example quorum_register -- register     the register
//! cargo run --release --example quorum_register -- suspects     the observers
//! ```
//!
//! 1. **Register.** Reads and writes ask 3 of 5 nodes, so that every read meets every write; the
//!    newest hybrid timestamp wins; a read that finds nodes behind writes back what it found before
//!    it answers. There are two clients, one on each side of links that can be cut: side A with
//!    nodes 0, 1 and 2, side B with nodes 3 and 4. One node is stopped, the sides are cut off from
//!    each other, two nodes are killed, then a third is stopped, and killed. All the while one
//!    client writes and both read, and no read may be older than what was acknowledged, or read by
//!    another, before it began. Reads of a single node run beside them, and are old: the check can
//!    fail. Where no quorum is possible any more, that is said at once; where it is only not
//!    certain, at the deadline.
//! 2. **Suspects.** Each process watches the others and tells them whom it suspects. A stopped one
//!    is dead by the vote of the others; it convicts no other when it goes on. One whose own way to
//!    the others is cut suspects them all, and is outvoted.
//!
//! Nodes keep what they hold in memory, so one that was killed stays dead.

mod checker;
mod denied;
mod entry;
mod expect;
mod jury;
mod node;
mod observer;
mod peer;
mod register;
mod scenes;
mod seen;
mod sides;
mod suspects;

use std::{env, process::ExitCode};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many processes there are.
const NODES: usize = 5;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as one of its own processes.
        ["--node"] => node::serve().await,
        ["--observer", id] => observer::serve(id).await,
        ["register"] => scenes::show().await,
        ["suspects"] => suspects::show().await,
        [] => both().await,
        _ => Err("usage: quorum_register [register | suspects]".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("quorum_register: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn both() -> Result<(), Failure> {
    scenes::show().await?;
    println!();
    suspects::show().await
}
