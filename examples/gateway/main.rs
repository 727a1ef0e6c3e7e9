//! A gateway over three upstream processes that are paused, killed and slowed under load, by the
//! plan in `bad_day.toml`: first without Steadfast, then with it.
//!
//! ```text
//! cargo run --release --example gateway               compares and asserts; 75 s
//! cargo run --release --example gateway -- --serve    keeps the gateway up, to be tried with curl
//! ```
//!
//! Both gateways have the same routes, the same round robin over the same pooled client, the same
//! load and the same faults. The one without has what is usual, a timeout of five seconds on each
//! call, and neither retries nor looks at the health of its upstreams. The layers of the other one
//! are in `stack.rs`; nothing but the gateway's own calls tells them of a fault. Both reach each
//! upstream through a proxy, whose link is what gets slow.
//!
//! No process stays behind, however this one ends. On systems other than Linux an upstream that is
//! paused just when this process is killed cannot see that, and stays until it is resumed.

mod calls;
mod gateway;
mod ledger;
mod load;
mod report;
mod round_robin;
mod scenario;
mod serve;
mod stack;
mod summary;
mod upstream;

use std::{env, process::ExitCode};

use crate::{gateway::Kind, summary::Summary};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a shell calls the end by `SIGINT`.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as one of its own upstreams.
        ["--upstream", ref rest @ ..] => upstream::serve(rest),
        ["--serve"] => until_interrupted(serve::serve(), ExitCode::SUCCESS),
        [] => until_interrupted(compare(), INTERRUPTED.into()),
        _ => Err("usage: gateway [--serve]".into()),
    };
    ended.unwrap_or_else(|failure| {
        eprintln!("gateway: {failure}");
        ExitCode::FAILURE
    })
}

/// The same load and the same faults twice, and what came of it side by side.
async fn compare() -> Result<ExitCode, Failure> {
    println!(
        "Three upstreams, {} requests a second; callers wait at most {:?}.",
        load::RATE,
        load::PATIENCE
    );
    let without = Summary::of(&scenario::play(Kind::Plain).await?);
    let with = Summary::of(&scenario::play(Kind::Steadfast).await?);
    report::table(&without, &with);
    Ok(if report::claims_hold(&without, &with) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs `work` until it ends or Ctrl-C is pressed. Either way it is dropped, and with it the
/// upstream processes it holds.
fn until_interrupted(
    work: impl Future<Output = Result<ExitCode, Failure>>,
    interrupted: ExitCode,
) -> Result<ExitCode, Failure> {
    tokio::runtime::Runtime::new()?.block_on(async {
        tokio::select! {
            // Listened for before the first process is started.
            biased;
            signal = tokio::signal::ctrl_c() => signal.map(|()| interrupted).map_err(Failure::from),
            ended = work => ended,
        }
    })
}
