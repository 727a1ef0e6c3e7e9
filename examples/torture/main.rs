//! Torture: four processes compete for a lease of one second and write three registers under it,
//! while they, their servers and their links are killed, stopped, cut and delayed, clocks are set,
//! and replicas that have missed something take over.
//!
//! ```text
//! cargo run --release --example torture                                 leases in files; 30 s
//! cargo run --release --example torture -- --store etcd --minutes 10
//! cargo run --release --example torture -- --store redis --seconds 30 --seed 7
//! ```
//!
//! The same holders write a register that is not fenced, one whose writes alone are fenced, and one
//! whose reads are fenced too. The first two must lose updates that were acknowledged, or the run
//! shows nothing and fails; the third must lose none. What each holder claims of its lease, and the
//! order of the tokens, is checked against every other (`checker.rs`).
//!
//! Faults are drawn from the seed (`plan.rs`). Stops at random hardly ever find anything, so the
//! two that do are placed (`director.rs`): a holder between its check and its write, woken when its
//! lease is over; and its successor between its first read and its first write, while the former
//! wakes and writes.
//!
//! Servers are started by this program, from what is installed, and end with it.

mod checker;
mod director;
mod history;
mod ledger;
mod line;
mod links;
mod nemesis;
mod place;
mod plan;
mod registers;
mod report;
mod run;
mod stage;
mod troupe;
mod way;
mod word;
mod worker;

use std::{env, io, process::ExitCode, time::Duration};

use rand::RngExt;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

use crate::{
    place::Kind,
    run::{MORE, Options},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Of the lease: short, because it is waited for.
const TTL: Duration = Duration::from_secs(1);
/// How long a lease of that TTL is good from before it was asked for: less 1 % and 2 ms.
const VALIDITY: Duration = Duration::from_millis(988);
/// The lease's name.
const LEASE: &str = "torture";
/// Processes that compete.
const SEATS: u32 = 4;
/// Beyond the run: to start and end servers, on a busy machine.
const BEYOND: Duration = Duration::from_secs(90);
/// A history of all that is said is kept: a million claims in this time.
const LONGEST: Duration = Duration::from_secs(8 * 3_600);

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as one of those that compete, and as what they write to.
        ["--worker", ref rest @ ..] => worker::compete(rest).await,
        ["--ledger", ref rest @ ..] => ledger::serve(rest).await,
        _ => match options(&args) {
            Ok(options) => play(options).await,
            Err(failure) => Err(failure),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("torture: {failure}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: torture [--store file|etcd|redis|postgres] [--minutes N | --seconds N] \
                     [--seed N]";

fn options(args: &[&str]) -> Result<Options, Failure> {
    let seed = rand::rng().random_range(0..1_000_000);
    let mut options = Options { kind: Kind::File, span: Duration::from_secs(30), seed };
    for two in args.chunks(2) {
        match *two {
            ["--store", name] => options.kind = Kind::of(name).ok_or(USAGE)?,
            ["--minutes", minutes] => {
                options.span = Duration::from_secs(minutes.parse::<u64>()?.saturating_mul(60));
            }
            ["--seconds", seconds] => options.span = Duration::from_secs(seconds.parse()?),
            ["--seed", seed] => options.seed = seed.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    if options.span.is_zero() || options.span > LONGEST {
        return Err(format!("{:?} is none of up to {LONGEST:?}", options.span).into());
    }
    Ok(options)
}

async fn play(options: Options) -> Result<(), Failure> {
    let Options { kind, span, seed } = options;
    println!("{SEATS} processes, a lease of {TTL:?}; {kind}; {span:?}, seed {seed}.");
    // Whichever ends first: the run goes with its future, and its processes and files with it.
    let seen = tokio::select! {
        seen = run::run(options) => seen?,
        ended = interrupted() => {
            ended?;
            return Err("interrupted".into());
        }
        () = tokio::time::sleep(span + MORE + BEYOND) => {
            return Err("it does not come to its end".into());
        }
    };
    report::print(&options, &seen);
    if !seen.verdict.violations.is_empty() {
        println!("\nThe history is in {}", report::write_down(&options, &seen.history)?.display());
    }
    report::judge(&seen)?;
    println!(
        "\nAcknowledged updates were lost where nothing is fenced and where writes alone are, and \
         none where reads are fenced too."
    );
    Ok(())
}

/// By the terminal, or whatever else ends programs kindly.
async fn interrupted() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = ctrl_c() => ended,
        _ = terminated.recv() => Ok(()),
    }
}
