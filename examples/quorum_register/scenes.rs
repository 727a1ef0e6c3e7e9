//! What happens to the nodes, and what the clients must make of it.

use steadfast::quorum::{CallError, ReadWrite};

use crate::{
    Failure, NODES,
    denied::Denied,
    expect::{KEY, expect, lost, sees, sees_nothing, summary, write_and_read},
    register::Register,
    sides::{SIDE_A, Sides, set},
};

/// How many reads to try where others may be faster than the node that matters.
const MOST: usize = 100;

pub(crate) async fn show() -> Result<(), Failure> {
    let Err(refused) = ReadWrite::counts(1, 3, NODES) else {
        return Err("r + w = 4 of 5 is not refused".into());
    };
    println!("Read 1 and write 3 of {NODES}: {refused}. So 3 and 3.");
    let mut sides = Sides::start(ReadWrite::counts(3, 3, NODES)?)?;
    well(&sides).await?;
    stopped(&mut sides).await?;
    cut(&sides).await?;
    half_written(&sides.a, &sides.b).await?;
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
    sides.cut().await?;
    let (wrote, read) = write_and_read(&sides.a, &sides.a, "white").await?;
    let denied = lost(sides.b.read(KEY).await, set(SIDE_A)?)?;
    lost(sides.b.write(KEY, "none").await, set(SIDE_A)?)?;
    sides.checker.goes_on().await?;
    sides.checker.shows_old_reads().await?;
    say("A and B cut off", &format!("A writes in {wrote:.1?} and reads in {read:.1?}"));
    say("", &format!("B refuses to read and to write: {denied}"));
    sides.heal().await;
    let read = sees(&sides.b, "white").await?;
    repaired(&sides.b, "white").await?;
    say("healed", &format!("B reads A's last write in {read:.1?}, and repairs its nodes by that"));
    Ok(())
}

/// Reads until the first node of side B, which has missed the write, has it. Mostly one read is
/// enough: that node is among those it asks first.
async fn repaired(b: &Register, value: &str) -> Result<(), Failure> {
    for _ in 0..MOST {
        sees(b, value).await?;
        b.background.idle().await;
        if expect(b.read_one(KEY).await?, value).is_ok() {
            return Ok(());
        }
    }
    Err("a node was behind, and no read has repaired it".into())
}

/// A write that was never acknowledged may be seen or not; once one client has seen it, all do.
async fn half_written(a: &Register, b: &Register) -> Result<(), Failure> {
    b.write_half(KEY, "yellow").await?;
    // The one node that holds it is among those that B asks first, but others may be faster.
    let mut reads = 1;
    while expect(b.read(KEY).await?, "yellow").is_err() {
        reads += 1;
        if reads > MOST {
            return Err("half a write is never seen".into());
        }
    }
    let read = sees(a, "yellow").await?;
    say(
        "B writes half",
        &format!("it reaches node 3 only; as soon as B has read it, so does A, in {read:.1?}"),
    );
    Ok(())
}

async fn two_killed(sides: &mut Sides) -> Result<(), Failure> {
    sides.kill(0)?;
    sides.kill(1)?;
    let seen = sees(&sides.a, "yellow").await?;
    let (wrote, read) = write_and_read(&sides.b, &sides.a, "oolong").await?;
    sides.checker.goes_on().await?;
    say("0 and 1 killed", &format!("A reads the last write in {seen:.1?}"));
    say("", &format!("B writes in {wrote:.1?}, A reads it in {read:.1?}"));
    Ok(())
}

/// A node that stands still may yet answer: the call waits for it, as long as it may.
async fn not_certain(sides: &mut Sides) -> Result<(), Failure> {
    sides.pause(2)?;
    let Err(Denied::Asking(failure)) = sides.a.read(KEY).await else {
        return Err("two of five were a quorum".into());
    };
    let CallError::Incomplete { answers, .. } = &*failure else { return Err(failure.into()) };
    if answers.out() != set([2])? || answers.no() != set([0, 1])? {
        return Err(failure.into());
    }
    say(
        "and 2 stopped",
        &format!("not certain, so A waits until its deadline: {}", summary(answers)),
    );
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
