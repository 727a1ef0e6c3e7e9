//! What is done to the five, and what must come of it.

use std::{ops::Range, time::Duration};

use steadfast::{phi::Status, quorum::Decision};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Failure, LOSSY_FROM, LOSSY_TO, MEMBERS, stage::Stage, verdict};

const STOPPED: usize = 1;
const CUT_FROM: usize = 3;
const CUT_TO: usize = 4;
const OBSERVER: usize = 0;
const KILLED: usize = 2;

/// Until there is a history.
const CALM: Duration = Duration::from_secs(2);

pub(crate) async fn show() -> Result<(), Failure> {
    let mut stage = Stage::start().await?;
    stage.panel.say("Five processes, a heartbeat every 50 ms; convicted at φ = 8, dead by 3 of 5.");
    let took = stage.all_well().await?;
    stage.panel.say(&format!("  all well     each trusts the four others, after {took:.1?}"));
    sleep(CALM).await;
    stopped(&mut stage).await?;
    cut(&stage).await?;
    observer_stopped(&mut stage).await?;
    killed(&mut stage).await?;
    lossy(&stage)
}

async fn stopped(stage: &mut Stage) -> Result<(), Failure> {
    let text = stop_and_go_on(stage, STOPPED, Duration::from_secs(4)).await?;
    stage.panel.say(&format!("  {STOPPED} stopped    4 s: {text}"));
    Ok(())
}

async fn cut(stage: &Stage) -> Result<(), Failure> {
    let start = Instant::now();
    stage.cut(CUT_FROM, CUT_TO, true).await?;
    sleep_until(start + Duration::from_millis(2500)).await;
    let said = stage.log.lock().view(CUT_TO).map(|view| view.peers[CUT_FROM]);
    let is_outvoted = said
        .is_some_and(|held| held.status == Status::Convicted && held.decision == Decision::Lost);
    if !is_outvoted {
        return Err(format!("{CUT_TO} is not outvoted on {CUT_FROM}: {said:?}").into());
    }
    stage.cut(CUT_FROM, CUT_TO, false).await?;
    let took = stage.all_well().await?;
    let time = start..Instant::now();
    let heard = stage.log.lock();
    let after = verdict::convicted(&heard, &time, CUT_FROM, &[CUT_TO])?;
    if let Some(dead) = heard.dead_in(&time).first() {
        return Err(format!("one vote killed {}: {dead:?}", dead.peer).into());
    }
    drop(heard);
    stage.panel.say(&format!(
        "  {CUT_FROM} to {CUT_TO} cut   2.5 s: {CUT_TO} alone convicts {CUT_FROM}, after {after}, and is outvoted; healed: trusted after {took:.1?}"
    ));
    Ok(())
}

async fn observer_stopped(stage: &mut Stage) -> Result<(), Failure> {
    let text = stop_and_go_on(stage, OBSERVER, Duration::from_secs(2)).await?;
    stage.panel.say(&format!("  {OBSERVER} stopped    2 s, as an observer: {text}"));
    Ok(())
}

/// The others convict it and trust it again; it counts the pause and convicts none.
async fn stop_and_go_on(stage: &mut Stage, id: usize, pause: Duration) -> Result<String, Failure> {
    let others = all_but(id);
    let pauses = |stage: &Stage| stage.log.lock().view(id).map_or(0, |view| view.pauses);
    let before = pauses(stage);
    stage.stop(id, true)?;
    let start = Instant::now();
    sleep_until(start + pause).await;
    stage.stop(id, false)?;
    let took = stage.all_well().await?;
    let time = start..Instant::now();
    let counted = pauses(stage) - before;
    if counted == 0 {
        return Err(format!("{id} was stopped and did not count that").into());
    }
    let heard = stage.log.lock();
    let after = verdict::convicted(&heard, &time, id, &others)?;
    let dead = verdict::dead(&heard, &time, id, &others)?;
    Ok(format!(
        "convicted by {others:?} after {after}, dead by votes after {dead}; goes on: trusted after {took:.1?}, counted its pause, and convicted none"
    ))
}

async fn killed(stage: &mut Stage) -> Result<(), Failure> {
    let others = all_but(KILLED);
    stage.kill(KILLED)?;
    let start = Instant::now();
    sleep_until(start + Duration::from_secs(3)).await;
    let now = Instant::now();
    let time: Range<Instant> = start..now;
    let heard = stage.log.lock();
    let after = verdict::convicted(&heard, &time, KILLED, &others)?;
    let dead = verdict::dead(&heard, &time, KILLED, &others)?;
    let stay = heard
        .held(KILLED, now)
        .filter(|(_, held)| held.status == Status::Convicted && held.decision == Decision::Won);
    if stay.count() != others.len() {
        return Err(format!("{KILLED} did not stay convicted and dead").into());
    }
    drop(heard);
    stage.panel.say(&format!(
        "  {KILLED} killed     convicted by {others:?} after {after}, dead by votes after {dead}; stays so"
    ));
    Ok(())
}

/// That it was never convicted is known: each scene knows of all convictions in its time.
fn lossy(stage: &Stage) -> Result<(), Failure> {
    let heard = stage.log.lock();
    let held = heard.view(LOSSY_TO).map(|view| view.peers[LOSSY_FROM]);
    drop(heard);
    let (arrived, sent) = held.map_or((0, 0), |held| (held.heard, held.sent));
    if arrived * 10 > sent * 8 {
        return Err(format!("the lossy link lost no more than {} of {sent}", sent - arrived).into());
    }
    stage.panel.say(&format!(
        "  {LOSSY_FROM} to {LOSSY_TO}       {arrived} of {sent} heartbeats arrived in time, and {LOSSY_TO} never convicted {LOSSY_FROM}"
    ));
    Ok(())
}

fn all_but(one: usize) -> Vec<usize> {
    (0..MEMBERS).filter(|id| *id != one).collect()
}
