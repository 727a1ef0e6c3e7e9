//! What a replicated register loses, by wall clock and by hybrid time.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::sleep;

use crate::{Failure, peer::Peer};

const KEYS: usize = 40;
const WRITES: usize = 5;

/// Writes each key five times, each time on a node chosen at random and after hearing that the write before is done.
pub(crate) async fn show(nodes: &[Peer]) -> Result<(), Failure> {
    let mut chance = SmallRng::seed_from_u64(3);
    for write in 0..WRITES {
        for key in 0..KEYS {
            let node = &nodes[chance.random_range(0..nodes.len())];
            node.put(&format!("/keys/{key}"), &format!("write-{write}")).await?;
        }
    }
    settle(nodes).await?;
    let last = format!("write-{}", WRITES - 1);
    let (mut by_wall, mut by_hlc) = (0, 0);
    for key in 0..KEYS {
        let read = nodes[0].get(&format!("/keys/{key}")).await?;
        for other in &nodes[1..] {
            let agreed = other.get(&format!("/keys/{key}")).await? == read;
            agreed.then_some(()).ok_or_else(|| format!("the nodes disagree about key {key}"))?;
        }
        let (wall, hlc) = read.split_once(' ').ok_or("two values are read")?;
        if wall != last {
            by_wall += 1;
            println!("  key {key:>2}: the wall clock kept {wall}, though {last} was written after it");
        }
        by_hlc += usize::from(hlc != last);
    }
    println!(
        "Last write wins, of {KEYS} keys: by wall clock {by_wall} lost their last write, by hybrid time {by_hlc}."
    );
    if by_hlc > 0 {
        return Err("hybrid time lost a write that happened after the one it kept".into());
    }
    // Were nothing lost by wall clock, the clocks would not have been skewed, and the rest would show nothing.
    if by_wall == 0 {
        return Err("the wall clock lost nothing".into());
    }
    Ok(())
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
