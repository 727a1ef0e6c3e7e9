//! One thread against two, on one instance, in wall time.

use std::{
    hint,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use steadfast_core::TimeSource;

use crate::{runtime::enter, subject::Subject};

/// When a thread began and ended its calls.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    start: Instant,
    end: Instant,
}

impl Line {
    /// How long it took.
    #[must_use]
    pub fn took(self) -> Duration {
        self.end.saturating_duration_since(self.start)
    }

    /// From the first start to the last end.
    ///
    /// # Panics
    /// When there are no lines.
    #[must_use]
    pub fn over_all(lines: &[Self]) -> Duration {
        let start = lines.iter().map(|line| line.start).min().expect("at least one thread has run");
        let end = lines.iter().map(|line| line.end).max().expect("at least one thread has run");
        end.saturating_duration_since(start)
    }
}

/// Lets threads begin at the same moment: first asleep, until all are awake, then spinning.
#[derive(Debug)]
pub struct Rendezvous {
    threads: usize,
    awake: Barrier,
    arrived: AtomicUsize,
}

impl Rendezvous {
    /// A meeting of so many threads, as often as they like.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads, awake: Barrier::new(threads), arrived: AtomicUsize::new(0) }
    }

    /// Waits asleep, so that a thread which measures alone has the machine to itself.
    pub fn meet_asleep(&self) {
        self.awake.wait();
    }

    /// Waits for all, and returns in all of them within nanoseconds.
    pub fn meet(&self) {
        self.awake.wait();
        let arrived = self.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (arrived / self.threads + 1) * self.threads;
        while self.arrived.load(Ordering::Acquire) < all {
            hint::spin_loop();
        }
    }
}

/// Makes calls and takes the time.
#[must_use]
pub fn alone(subject: &mut dyn Subject, calls: u64) -> Line {
    let start = TimeSource::Tokio.now();
    subject.run(calls);
    Line { start, end: TimeSource::Tokio.now() }
}

/// The wall time in which `threads` threads make `calls` calls each, on one instance.
#[must_use]
pub fn together(subject: &dyn Subject, threads: usize, calls: u64) -> Duration {
    let rendezvous = &Rendezvous::new(threads);
    let forks: Vec<_> = (0..threads).map(|_| subject.fork()).collect();
    let lines: Vec<Line> = thread::scope(|scope| {
        let run = |mut fork: Box<dyn Subject>| {
            scope.spawn(move || {
                let _guard = enter();
                fork.run(WARM_UP);
                rendezvous.meet();
                alone(&mut *fork, calls)
            })
        };
        let running: Vec<_> = forks.into_iter().map(run).collect();
        running.into_iter().map(|thread| thread.join().expect("a subject does not panic")).collect()
    });
    Line::over_all(&lines)
}

/// What a thread does before it is measured: enough for caches, lazy thread-locals and branch
/// prediction.
const WARM_UP: u64 = 1000;
