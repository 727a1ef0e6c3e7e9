//! What a replicated register loses, by wall clock and by hybrid time.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::sleep;

use crate::{Failure, peer::Peer};

const KEYS: usize = 40;
const WRITES: usize = 5;

/// For each key, the writes that were dropped for one before them, each with that one.
type Losses = BTreeMap<usize, BTreeMap<usize, usize>>;

/// Writes each key five times, each time on a node chosen at random and after hearing that the
/// write before is done.
///
/// So each write happened after all before it, and none may ever be dropped for one of those:
/// neither where it is made nor where it is told of.
pub(crate) async fn show(nodes: &[Peer]) -> Result<(), Failure> {
    let refused = write(nodes).await?;
    settle(nodes).await?;
    agree(nodes).await?;
    let [by_wall, by_hlc] = [losses(nodes, "wall").await?, losses(nodes, "hlc").await?];
    tell(&by_wall);
    let [wall, hlc] =
        [&by_wall, &by_hlc].map(|losses| losses.values().map(BTreeMap::len).sum::<usize>());
    println!(
        "Last write wins, of {} writes to {KEYS} keys: by wall clock {wall} were lost to an earlier one, {refused} of them as they were \
         made; by hybrid time {hlc}.",
        KEYS * WRITES
    );
    if hlc > 0 {
        tell(&by_hlc);
        return Err("hybrid time lost a write that happened after the one it kept".into());
    }
    // Were nothing lost by wall clock, the clocks would not have been skewed, and the rest would
    // show nothing.
    if wall == 0 || refused == 0 {
        return Err("the wall clock lost nothing".into());
    }
    Ok(())
}

/// Makes all writes, and says how many the register by wall clock did not take where they were
/// made.
async fn write(nodes: &[Peer]) -> Result<usize, Failure> {
    let mut chance = SmallRng::seed_from_u64(3);
    let mut refused = 0;
    for write in 0..WRITES {
        // Most writes are faster than replication and lost later, where they meet. The last one
        // meets what it follows where it is made.
        if write == WRITES - 1 {
            settle(nodes).await?;
        }
        for key in 0..KEYS {
            let node = &nodes[chance.random_range(0..nodes.len())];
            let took = node.put(&format!("/keys/{key}"), &write.to_string()).await?;
            let (wall, hlc) = took.split_once(' ').ok_or("each register answers")?;
            if hlc != "true" {
                return Err(format!(
                    "hybrid time refused write {write} to key {key}, which came after all that it has heard of"
                )
                .into());
            }
            refused += usize::from(wall != "true");
        }
    }
    Ok(refused)
}

/// Waits until every write has reached all nodes.
async fn settle(nodes: &[Peer]) -> Result<(), Failure> {
    for _ in 0..500 {
        let mut under_way = 0;
        for node in nodes {
            under_way += node.get("/under-way").await?.parse::<usize>()?;
        }
        if under_way == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err("the writes have not arrived after 5 s".into())
}

/// Asserts that all nodes hold the same, and the last write by hybrid time.
async fn agree(nodes: &[Peer]) -> Result<(), Failure> {
    let last = (WRITES - 1).to_string();
    for key in 0..KEYS {
        let read = nodes[0].get(&format!("/keys/{key}")).await?;
        for other in &nodes[1..] {
            let agreed = other.get(&format!("/keys/{key}")).await? == read;
            agreed.then_some(()).ok_or_else(|| format!("the nodes disagree about key {key}"))?;
        }
        let kept = read.split_once(' ').is_some_and(|(_, hlc)| hlc == last);
        kept.then_some(())
            .ok_or_else(|| format!("hybrid time has lost the last write to key {key}"))?;
    }
    Ok(())
}

/// What any node dropped, by that clock, for a write before it.
async fn losses(nodes: &[Peer], clock: &str) -> Result<Losses, Failure> {
    let mut losses = Losses::new();
    for node in nodes {
        let dropped = node.get("/dropped").await?;
        for line in dropped.lines().filter_map(|line| line.strip_prefix(clock)) {
            let numbers =
                line.split_whitespace().map(str::parse).collect::<Result<Vec<usize>, _>>()?;
            let [key, lost, kept] = numbers[..] else {
                return Err("a key and two writes are read".into());
            };
            // The other way round it is as it should be.
            if kept < lost {
                losses.entry(key).or_default().entry(lost).or_insert(kept);
            }
        }
    }
    Ok(losses)
}

/// Each write that was lost, by name.
fn tell(losses: &Losses) {
    for (key, lost) in losses {
        let lost: Vec<_> =
            lost.iter().map(|(lost, kept)| format!("write {lost} lost to write {kept}")).collect();
        println!("  key {key:>2}: {}", lost.join(", "));
    }
}
