//! Time on one thread. All subjects are measured in turn, in chunks well below a millisecond and by
//! the thread's own CPU clock: whatever disturbs the machine for longer than that disturbs all of
//! them alike, and the median leaves the rest out.

use rustix::time::{ClockId, clock_gettime};
use steadfast_benches::{Row, Subject};

/// How often each subject has its turn.
const ROUNDS: usize = 600;

/// The length of a turn: short against a scheduler's slice, long against a look at the clock.
const CHUNK_NS: f64 = 300_000.0;

/// Nanoseconds of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) median: f64,
    /// What a call costs when nothing disturbs it: the least is an outlier too.
    pub(crate) tenth: f64,
}

/// Passes of a row that is measured by them, one after the other: in turns with others each pass
/// would begin by loading what the others have put out of the caches.
pub(crate) const PASSES: usize = 20;

pub(crate) fn measure(rows: &mut [Row]) -> Vec<Times> {
    let chunk_of = |row: &mut Row| row.pass.is_none().then(|| chunk(&mut *row.subject));
    let chunks: Vec<Option<u64>> = rows.iter_mut().map(chunk_of).collect();
    let mut samples = vec![Vec::with_capacity(ROUNDS); rows.len()];
    for _ in 0..ROUNDS {
        for ((row, &calls), samples) in rows.iter_mut().zip(&chunks).zip(&mut samples) {
            samples.extend(calls.map(|calls| time(&mut *row.subject, calls)));
        }
    }
    for (row, samples) in rows.iter_mut().zip(&mut samples) {
        if let Some(calls) = row.pass {
            row.subject.run(calls);
            samples.extend((0..PASSES).map(|_| time(&mut *row.subject, calls)));
        }
    }
    samples.into_iter().map(summary).collect()
}

/// How many calls fill a turn.
pub(crate) fn chunk(subject: &mut dyn Subject) -> u64 {
    const CALLS: u64 = 10_000;
    let once = time(subject, CALLS).min(time(subject, CALLS)).max(0.1);
    // Positive, and at most 3 million.
    (CHUNK_NS / once) as u64 + 1
}

fn time(subject: &mut dyn Subject, calls: u64) -> f64 {
    let start = cpu_ns();
    subject.run(calls);
    (cpu_ns() - start) as f64 / calls as f64
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn summary(mut samples: Vec<f64>) -> Times {
    Times { median: quantile(&mut samples, 0.5), tenth: quantile(&mut samples, 0.1) }
}

pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    // Below the length, for a share below 1.
    samples[(samples.len() as f64 * share) as usize]
}
