//! What the detectors do on heartbeats over three networks: the figures of
//! docs/failure-detection.md, from the traces of the testkit. No clock, no runtime, no feature.
#![allow(clippy::unwrap_used, reason = "tests")]

mod calibrated;
mod table;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use steadfast_testkit::traces::{Beat, Drift, Lan, Network, Wan};

/// The trace of its length.
fn trace(network: Network, seed: u64) -> Vec<Beat> {
    match network {
        Network::Wan => Wan::seeded(seed).take(Wan::BEATS).collect(),
        Network::Lan => {
            let due = |beat: &Beat| beat.sequence < Lan::BEATS as u64;
            Lan::seeded(seed).take_while(due).collect()
        }
        Network::Drift => Drift::seeded(seed).take(Drift::BEATS).collect(),
    }
}

/// Runs all jobs on as many threads as there are processors, the first job first; what they return,
/// in their order.
fn on_all_processors<J: Sync, R: Send>(jobs: &[J], run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = std::iter::from_fn(|| {
            let index = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(index).map(|job| (index, run(job)))
        });
        mine.collect::<Vec<_>>()
    };
    let mut results: Vec<_> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
