//! What happens to the nodes, and what the clients must make of it.

use std::time::Duration;

use steadfast::quorum::{CallError, NodeSet, ReadWrite};
use tokio::time::Instant;

use crate::{
    Failure, NODES,
    denied::Denied,
    register::{PATIENCE, Register, Replies},
    sides::{SIDE_A, Sides, set},
};

const KEY: &str = "tea";

/// What is certain is said in a few milliseconds. The bound leaves room for a busy machine, and is far from the deadline.
const AT_ONCE: Duration = Duration::from_millis(500);

pub(crate) async fn show() -> Result<(), Failure> {
    let Err(refused) = ReadWrite::counts(1, 3, NODES) else { return Err("r + w = 4 of 5 is not refused".into()) };
    println!("Read 1 and write 3 of {NODES}: {refused}. So 3 and 3.");
    let mut sides = Sides::start(ReadWrite::counts(3, 3, NODES)?)?;
    well(&sides).await?;
    stopped(&mut sides).await?;
    cut(&sides).await?;
    two_killed(&mut sides).await?;
    not_certain(&mut sides).await?;
    certain(&mut sides).await?;
    sides.end().await
}

async fn well(sides: &Sides) -> Result<(), Failure> {
    sees_nothing(&sides.b).await?;
    let (wrote, read) = write_and_read(&sides.a, &sides.b, "green").await?;
    sides.checker.goes_on().await?;
    say("all well", &format!("A writes in {wrote:.1?}, B reads it in {read:.1?}"));
    Ok(())
}

/// Node 1 is one of those that side A asks first; a read asks another one when that takes too long.
async fn stopped(sides: &mut Sides) -> Result<(), Failure> {
    sides.pause(1)?;
    let (wrote, read) = write_and_read(&sides.a, &sides.a, "black").await?;
    sides.checker.goes_on().await?;
    sides.resume(1)?;
    say("1 stopped", &format!("A writes in {wrote:.1?} and reads in {read:.1?}"));
    Ok(())
}

async fn cut(sides: &Sides) -> Result<(), Failure> {
    sides.links.cut().await;
    let (wrote, read) = write_and_read(&sides.a, &sides.a, "white").await?;
    let denied = lost(sides.b.read(KEY).await, set(SIDE_A)?)?;
    lost(sides.b.write(KEY, "none").await, set(SIDE_A)?)?;
    sides.checker.goes_on().await?;
    sides.checker.shows_old_reads().await?;
    say("A and B cut off", &format!("A writes in {wrote:.1?} and reads in {read:.1?}"));
    say("", &format!("B refuses to read and to write: {denied}"));
    let repairs = sides.b.repairs();
    sides.links.heal();
    // B asks its own nodes first. They have missed the write.
    let read = sees(&sides.b, "white").await?;
    if sides.b.repairs() == repairs {
        return Err("nodes of side B were behind, and nobody has repaired them".into());
    }
    say("healed", &format!("B reads A's last write in {read:.1?}, and its nodes are repaired by that"));
    Ok(())
}

async fn two_killed(sides: &mut Sides) -> Result<(), Failure> {
    sides.kill(0)?;
    sides.kill(1)?;
    let seen = sees(&sides.a, "white").await?;
    let (wrote, read) = write_and_read(&sides.b, &sides.a, "oolong").await?;
    sides.checker.goes_on().await?;
    say("0 and 1 killed", &format!("A reads its last write in {seen:.1?}"));
    say("", &format!("B writes in {wrote:.1?}, A reads it in {read:.1?}"));
    Ok(())
}

/// A node that stands still may yet answer: the call waits for it, as long as it may.
async fn not_certain(sides: &mut Sides) -> Result<(), Failure> {
    sides.pause(2)?;
    let Err(Denied::Asking(failure)) = sides.a.read(KEY).await else { return Err("two of five were a quorum".into()) };
    let CallError::Incomplete { answers, .. } = &*failure else { return Err(failure.into()) };
    if answers.out() != set([2])? || answers.no() != set([0, 1])? {
        return Err(failure.into());
    }
    say("and 2 stopped", &format!("not certain, so A waits until its deadline: {}", summary(answers)));
    sides.resume(2)?;
    let read = sees(&sides.a, "oolong").await?;
    sides.checker.goes_on().await?;
    say("and going on", &format!("A reads the last write in {read:.1?}"));
    Ok(())
}

async fn certain(sides: &mut Sides) -> Result<(), Failure> {
    sides.kill(2)?;
    let dead = set([0, 1, 2])?;
    let denied = lost(sides.a.read(KEY).await, dead)?;
    lost(sides.a.write(KEY, "none").await, dead)?;
    lost(sides.b.read(KEY).await, dead)?;
    say("and killed", &format!("certain, so A and B refuse at once: {denied}"));
    Ok(())
}

fn say(what_happens: &str, what_comes_of_it: &str) {
    println!("  {what_happens:<16} {what_comes_of_it}");
}

/// Writes at one client and reads at the other. Says how long either took.
async fn write_and_read(at: &Register, then_at: &Register, value: &str) -> Result<(Duration, Duration), Failure> {
    let start = Instant::now();
    at.write(KEY, value).await?;
    let wrote = Instant::now() - start;
    Ok((wrote, sees(then_at, value).await?))
}

async fn sees(register: &Register, value: &str) -> Result<Duration, Failure> {
    let start = Instant::now();
    match register.read(KEY).await? {
        Some(entry) if entry.value == value => Ok(Instant::now() - start),
        other => Err(format!("{value} was written last, and read was {other:?}").into()),
    }
}

async fn sees_nothing(register: &Register) -> Result<(), Failure> {
    match register.read(KEY).await? {
        None => Ok(()),
        Some(entry) => Err(format!("nobody has written, and read was {entry}").into()),
    }
}

/// Checks that it was lost, far from the deadline, by errors of just these nodes, and before anything was written. Says how.
fn lost<T>(outcome: Result<T, Denied>, by: NodeSet) -> Result<String, Failure> {
    let failure = match outcome {
        Err(Denied::Asking(failure)) => failure,
        Err(other) => return Err(other.into()),
        Ok(_) => return Err("there was a quorum where none is possible".into()),
    };
    let CallError::Lost { answers, .. } = &*failure else { return Err(failure.into()) };
    if NodeSet::of(answers.errors().map(|(node, _)| node))? != by {
        return Err(format!("lost by other nodes than {by}: {failure}").into());
    }
    if answers.elapsed() >= AT_ONCE {
        return Err(format!("certain long before the deadline of {PATIENCE:?}, and said late: {failure}").into());
    }
    Ok(summary(answers))
}

fn summary(answers: &Replies) -> String {
    let out = answers.out();
    let out = if out.is_empty() { String::new() } else { format!(", {out} still out") };
    format!("{} failed{out}, after {:.1?}", answers.no(), answers.elapsed())
}
