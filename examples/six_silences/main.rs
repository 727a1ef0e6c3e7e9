//! Six silences: a caller that hears nothing cannot know why, and so not what has happened.
//!
//! ```text
//! cargo run --release --example six_silences     compares and asserts; 25 s
//! ```
//!
//! One client orders from one server, two real processes with a proxy between them that plays the
//! network. Six times no answer comes: the request was lost, or is queued somewhere; the server had
//! crashed, or is busy; the reply was lost, or is late. The client sees the same each time. Then it
//! asks again: first with nothing that tells the server that it has asked before, then with an
//! idempotency key.

mod client;
mod journal;
mod server;
mod silence;
mod stage;

use std::{env, process::ExitCode};

use crate::{
    silence::{SILENCES, Silence},
    stage::{Seen, Way},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match args[..] {
        // This program again, as its own server.
        ["--server", ref rest @ ..] => server::serve(rest).await,
        [] => play().await,
        _ => Err("usage: six_silences".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("six_silences: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Each silence three times, each time on a stage of its own.
async fn play() -> Result<(), Failure> {
    println!("One order each, and a client that waits {:?} for an answer.\n", client::PATIENCE);
    let once = act(Way::Once, "asked once").await?;
    let again = act(Way::Again, "asked again, without a key").await?;
    let keyed = act(Way::Keyed, "asked again, with an idempotency key").await?;

    let silent = once.iter().all(|seen| seen.answer == once[0].answer);
    claim(silent, "asked once, the client saw the same six times")?;
    let executed = |silence: Silence| usize::from(silence.is_executed());
    for (seen, silence) in once.iter().zip(SILENCES) {
        claim(seen.executed == executed(silence), &format!("{silence}: what was executed"))?;
        let then = if silence == Silence::Queued { 0 } else { executed(silence) };
        claim(seen.executed_then == then, &format!("{silence}: what was executed at first"))?;
    }
    for (seen, silence) in again.iter().zip(SILENCES) {
        // The second order is executed whatever became of the first.
        let times = 1 + executed(silence);
        claim(seen.executed == times, &format!("{silence}, no key: executed {times} times"))?;
    }
    for (seen, silence) in keyed.iter().zip(SILENCES) {
        claim(seen.executed == 1, &format!("{silence}, with a key: executed once"))?;
        claim(seen.answer == "ordered", &format!("{silence}, with a key: the client knows it"))?;
    }
    println!(
        "The client saw the same six times. Asked again, four orders were executed twice; with a \
         key, each was executed once."
    );
    Ok(())
}

/// All silences for one way to ask.
async fn act(way: Way, title: &str) -> Result<Vec<Seen>, Failure> {
    println!("{title:<40}{:<24}{:<24}in the end", "the client saw", "the server had then");
    let mut all = Vec::new();
    for silence in SILENCES {
        let seen = stage::play(silence, way).await?;
        let Seen { answer, executed_then, executed } = &seen;
        let name = silence.to_string();
        println!("  {name:<38}{answer:<24}{:<24}{}", times(*executed_then), times(*executed));
        all.push(seen);
    }
    println!();
    Ok(all)
}

fn times(executed: usize) -> String {
    match executed {
        0 => "not executed".to_owned(),
        1 => "executed".to_owned(),
        times => format!("executed {times} times"),
    }
}

fn claim(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("this does not hold: {what}").into()) }
}
