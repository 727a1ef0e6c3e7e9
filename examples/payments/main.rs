//! Payments: 200 payers that pay once each, over a network and through crashes that make them ask
//! again, first of a server that ignores idempotency keys and then of one that keeps them.
//!
//! ```text
//! cargo run --release --example payments                          in memory; 15 s
//! cargo run --release --example payments -- --store sqlite        a file, and two crashes
//! cargo run --release --example payments -- --store postgres      PostgreSQL, and two crashes
//! cargo run --release --example payments -- --store redis         Redis, and two crashes
//! ```
//!
//! Payers and server are two processes. Between them requests and replies are lost, late and
//! duplicated, and a proxy delays, cuts and silences their connections. Where keys outlive the
//! server's process, it is killed (`SIGKILL`) twice and started again.
//!
//! Each kind of store has its way to one charge a payment (`charge.rs`): with SQLite and PostgreSQL
//! the charge and the record of its key are in one transaction, which no crash can part. With Redis
//! the money is at a bank that knows nothing of keys: a server that died between charge and record
//! leaves a key that is taken over when its lease is over, by a run that asks the bank first.
//!
//! PostgreSQL and Redis are started by this program, from what is installed, and end with it.

mod bank;
mod books;
mod charge;
mod payers;
mod scene;
mod server;
mod store;
mod weather;

use std::{env, fmt::Display, io, process::ExitCode, time::Duration};

use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use crate::{
    payers::PAYERS,
    scene::{Keys, Scene, Seen},
    store::Kind,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Several times what it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as its own server.
        ["--server", ref rest @ ..] => server::serve(rest).await,
        [] => play(Kind::Memory).await,
        ["--store", store] => match Kind::of(store) {
            Some(kind) => play(kind).await,
            None => Err(USAGE.into()),
        },
        _ => Err(USAGE.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("payments: {failure}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: payments [--store memory|sqlite|redis|postgres]";

/// The same payers and the same weather twice, and then what must hold.
async fn play(kind: Kind) -> Result<(), Failure> {
    let crashes = if kind.is_durable() { 2 } else { 0 };
    println!(
        "{PAYERS} payers, one payment each; keys in {kind}; the server crashes {crashes} times."
    );
    // Whichever ends first: the scene goes with its future, and its processes and files with it.
    let (without, with) = tokio::select! {
        seen = scenes(kind) => seen?,
        ended = interrupted() => {
            ended?;
            return Err("interrupted".into());
        }
        () = tokio::time::sleep(LIMIT) => return Err("it does not come to its end".into()),
    };
    table(&without, &with);

    for seen in [&without, &with] {
        claim(seen.paid == PAYERS, "each payer has a receipt in the end")?;
        claim(seen.unpaid == 0, "each payment was charged")?;
        claim(seen.struck.iter().all(|(_, times)| *times > 0), "each fault has struck")?;
        claim(seen.crashes == crashes, "the server has crashed so often")?;
    }
    claim(without.twice > 0, "without keys, payments were charged more than once")?;
    claim(with.twice == 0, "with keys, each payment was charged exactly once")?;
    claim(with.wrong == 0, "with keys, each receipt is that of the one charge")?;
    claim(with.same_again == PAYERS, "asked once more, each payer gets the same receipt")?;
    println!(
        "\nWithout keys {} of {PAYERS} payments were charged more than once. With keys each was \
         charged once, and its payer has the receipt.",
        without.twice
    );
    Ok(())
}

async fn scenes(kind: Kind) -> Result<(Seen, Seen), Failure> {
    let scene = Scene::set(kind).await?;
    Ok((scene.play(Keys::Ignored).await?, scene.play(Keys::Kept).await?))
}

/// By the terminal, or whatever else ends programs kindly.
async fn interrupted() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = ctrl_c() => ended,
        _ = terminated.recv() => Ok(()),
    }
}

fn table(without: &Seen, with: &Seen) {
    let line = |what: &str, without: &dyn Display, with: &dyn Display| {
        println!("{what:<42}{without:>14}{with:>14}");
    };
    line("\n", &"keys ignored", &"keys kept");
    line("payers with a receipt", &without.paid, &with.paid);
    line("payments charged once", &without.once, &with.once);
    line("payments charged more than once", &without.twice, &with.twice);
    line("charges too many", &without.too_many, &with.too_many);
    line("asked once more, the same receipt", &"-", &with.same_again);
    println!("how it came to that:");
    line("  requests sent", &without.requests, &with.requests);
    for ((what, without), (_, with)) in without.struck.iter().zip(&with.struck) {
        line(&format!("  {what}"), without, with);
    }
    line("  connections opened", &without.connections, &with.connections);
    line("  crashes of the server", &without.crashes, &with.crashes);
    line("  receipts of a run that took a key over", &"-", &with.taken_over);
}

fn claim(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("this does not hold: {what}").into()) }
}
