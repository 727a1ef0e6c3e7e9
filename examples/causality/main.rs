//! Three processes whose clocks disagree by seconds keep a replicated register; then a clock that
//! knows how wrong it may be.
//!
//! `cargo run --release --example causality`
//!
//! 1. **Order.** A client writes to one node, hears that it is done, and writes the same key to
//!    another node. The second write happened after the first. Each node keeps two registers for a
//!    key, in both of which the last write wins: by wall clock, and by hybrid timestamp, which the
//!    layers carry from the nodes to the client and back. Each write that the wall clock loses to
//!    an earlier one, on any node, is printed; asserted is that hybrid time loses none, neither
//!    where it is made nor where it is replicated.
//! 2. **Certainty.** The clocks are set right to within ε = 4 ms. Commits are stamped with the
//!    latest time it may be, and shown once that has certainly passed (commit-wait). Readers assert
//!    that nothing is shown before its time, and that of two commits, one after the other, the
//!    later has the later stamp, on whichever nodes they were made; and what becomes of that
//!    without the wait.
//!
//! All three processes run on one machine, so its clock is the true time here. Each is given its
//! own error.

mod certainty;
mod commits;
mod node;
mod order;
mod peer;
mod registers;

use std::{env, process::ExitCode};

use steadfast_chaos::process::Child;
use tokio::task::block_in_place;

use crate::peer::Peer;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the nodes' clocks are off by, in milliseconds.
const SKEWS_MS: [i64; 3] = [2_000, 0, -3_000];

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as one of its own nodes.
        ["--node", id] => node::serve(id).await,
        [] => show().await,
        _ => Err("usage: causality".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("causality: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn show() -> Result<(), Failure> {
    let children = spawn()?;
    let client = Peer::client()?;
    let nodes: Vec<Peer> = children.iter().map(|child| client.at(child.address())).collect();
    for node in &nodes {
        let others = nodes.iter().filter(|other| other.address() != node.address());
        node.put(
            "/peers",
            &others.map(|other| other.address().to_string()).collect::<Vec<_>>().join(" "),
        )
        .await?;
    }
    order::show(&nodes).await?;
    certainty::show(&nodes).await
}

/// One process for each clock. Dropping them kills them.
fn spawn() -> Result<Vec<Child>, Failure> {
    let start = |id: usize| Child::spawn(["--node".to_owned(), id.to_string()]);
    Ok(block_in_place(|| (0..SKEWS_MS.len()).map(start).collect::<Result<_, _>>())?)
}
