//! Commits on clocks that know how wrong they may be.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast::clock::{Physical, Timestamp};

use crate::{Failure, node::ERROR, peer::Peer};

const COMMITS: usize = 60;

/// The same commits with the wait and without it.
pub(crate) async fn show(nodes: &[Peer]) -> Result<(), Failure> {
    let error = i64::try_from(ERROR.as_nanos())?;
    // As wrong as is allowed, less a tenth for what the clocks may be slewed meanwhile.
    for (node, offset) in nodes.iter().zip([error / 10 * 9, 0, -error / 10 * 9]) {
        node.put("/offset", &offset.to_string()).await?;
    }
    let with = commits(nodes, true).await?;
    let without = commits(nodes, false).await?;
    println!("ε = {ERROR:?}, {COMMITS} commits, one after the other:");
    println!(
        "  with commit-wait, {} out of order, {} of {} reads before their time",
        with.out_of_order, with.early, with.reads
    );
    println!(
        "  without, {} out of order, {} of {} reads before their time",
        without.out_of_order, without.early, without.reads
    );
    if with.out_of_order > 0 || with.early > 0 {
        return Err("a commit was seen before it was certain".into());
    }
    if with.reads < COMMITS || without.out_of_order == 0 || without.early == 0 {
        return Err("the wait made no difference: the demonstration shows nothing".into());
    }
    Ok(())
}

struct Seen {
    /// Commits whose stamp is not above that of the commit before.
    out_of_order: usize,
    /// Reads of a commit whose stamp had not passed in true time.
    early: usize,
    reads: usize,
}

/// Commits on nodes chosen at random, each begun once the one before is done, while every node is
/// read all the time.
async fn commits(nodes: &[Peer], wait: bool) -> Result<Seen, Failure> {
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(read_until(Arc::clone(&done), node.clone())))
        .collect();
    let mut chance = SmallRng::seed_from_u64(5);
    let (mut last, mut out_of_order) = (Timestamp::MIN, 0);
    for _ in 0..COMMITS {
        let node = &nodes[chance.random_range(0..nodes.len())];
        let stamp: Timestamp = node.put(&format!("/commit/{wait}"), "").await?.parse()?;
        out_of_order += usize::from(stamp <= last);
        last = stamp;
    }
    done.store(true, Ordering::Relaxed);
    let mut seen = Seen { out_of_order, early: 0, reads: 0 };
    for reader in readers {
        let (early, reads) = reader.await??;
        seen.early += early;
        seen.reads += reads;
    }
    Ok(seen)
}

/// Reads one node over and over, and counts the commits it showed before their time, and all reads.
async fn read_until(done: Arc<AtomicBool>, node: Peer) -> Result<(usize, usize), Failure> {
    let (mut early, mut reads) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let answer = node.get("/committed").await?;
        let (stamp, true_time) =
            answer.split_once(' ').ok_or("a commit and the true time are read")?;
        let passed =
            stamp.parse::<Timestamp>()?.physical() < Physical::from_grains(true_time.parse()?);
        early += usize::from(!passed);
        reads += 1;
    }
    Ok((early, reads))
}
