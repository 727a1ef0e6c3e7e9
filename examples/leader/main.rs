//! Leader: three processes compete for a lease, and the one that leads writes an account. Between
//! its check and its write the leader is stopped (`SIGSTOP`), another takes over and writes, and
//! then the first wakes.
//!
//! ```text
//! cargo run --release --example leader                          leases in files; 6 s
//! cargo run --release --example leader -- --store etcd          leases in three nodes of etcd
//! cargo run --release --example leader -- --store redis         leases and account in Redis
//! cargo run --release --example leader -- --store postgres      leases and account in PostgreSQL
//! ```
//!
//! It is played twice. Unfenced, the late write undoes what the successor has written, though the
//! first had looked at its lease right before it: no lease can prevent that. Fenced, every read and
//! every write has the fencing token of the lease, and the account rejects the late one.
//!
//! The account is fenced where it is (`account.rs`): behind an HTTP server by a layer, in Redis by
//! the scripts that read and write it, in PostgreSQL in its transactions. A timeline of who led
//! under which token is printed, and drawn into a file beside this program.
//!
//! etcd, PostgreSQL and Redis are started by this program, from what is installed, and end with it.

mod account;
mod act;
mod claims;
mod draw;
mod ledger;
mod line;
mod place;
mod play;
mod stage;
mod terms;
mod timeline;
mod word;
mod worker;

use std::{env, fs, io, process::ExitCode, time::Duration};

use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use crate::{
    act::{Act, Seen},
    place::{Kind, Place},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Of the lease: short, because it is waited for, and still six times as long as a renewal may take
/// on a busy machine.
const TTL: Duration = Duration::from_secs(2);
/// Several times what it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as one of those that compete.
        ["--process", ref rest @ ..] => worker::compete(rest).await,
        [] => play(Kind::File).await,
        ["--store", store] => match Kind::of(store) {
            Some(kind) => play(kind).await,
            None => Err(USAGE.into()),
        },
        _ => Err(USAGE.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("leader: {failure}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: leader [--store file|etcd|redis|postgres]";

async fn play(kind: Kind) -> Result<(), Failure> {
    println!("Three processes, a lease of {TTL:?}; {kind}.");
    // Whichever ends first: the acts go with their future, and its processes and files with it.
    let acts = tokio::select! {
        seen = acts(kind) => seen?,
        ended = interrupted() => {
            ended?;
            return Err("interrupted".into());
        }
        () = tokio::time::sleep(LIMIT) => return Err("it does not come to its end".into()),
    };
    for (act, seen) in &acts {
        claims::check(*act, seen)?;
    }
    let file = env::current_exe()?.with_file_name(format!("leader-{}.svg", kind.name()));
    fs::write(&file, draw::draw(&acts)?)?;
    println!(
        "\nUnfenced, updates were lost that had been acknowledged. Fenced, the one that had woken \
         was rejected, and none was lost.\nThe timelines are drawn in {}",
        file.display()
    );
    Ok(())
}

async fn acts(kind: Kind) -> Result<Vec<(Act, Seen)>, Failure> {
    let (place, mut acts) = (Place::set(kind).await?, Vec::new());
    for act in Act::BOTH {
        println!("\n{}", act.name());
        let seen = act.play(&place).await?;
        timeline::print(&seen.events);
        println!(
            "  {} writes acknowledged, each of one more; in the account is {}",
            seen.acknowledged, seen.balance
        );
        acts.push((act, seen));
    }
    Ok(acts)
}

/// By the terminal, or whatever else ends programs kindly.
async fn interrupted() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = ctrl_c() => ended,
        _ = terminated.recv() => Ok(()),
    }
}
