//! A timeline, played to processes.
//!
//! A run may be dropped while one of its events is under way on a thread of the blocking pool, or
//! waits for such a thread. The run leaves no process stopped all the same: `is_over` is set first,
//! then the process is looked at under its lock. An event that takes the lock before that is
//! undone; one that takes it after that finds the run over, and does nothing. The lock orders both
//! flags, so that they need no ordering of their own.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use steadfast_core::parts::lock;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Act, Member, Process, ProcessError, ProcessFault, blocking, settled};
use crate::Event;

impl ProcessFault {
    /// Plays a timeline, which begins now, on tokio's clock, and returns after its last event for
    /// processes. Events of links are passed over. Events of one process wait for each other: one
    /// that is slow to start delays its own next event and no other's.
    ///
    /// What has no end in the timeline stays as it is after the last event.
    ///
    /// # Errors
    /// When an event is for a process that there is not, before any of them; when a process does
    /// not do as it is told, which ends the run.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled; and when a closure that starts a process
    /// panics.
    ///
    /// # Cancellation
    /// Dropped, or ended by an error, it lets go on what it has stopped. What it has killed stays
    /// dead, because a start takes longer than a drop may: see [`heal`](Self::heal).
    pub async fn run(&self, timeline: &[Event]) -> Result<(), ProcessError> {
        let begin = Instant::now();
        let mut parts = self.parts(timeline)?;
        let mut playing = JoinSet::new();
        for part in &mut parts {
            let (run, acts) = (Arc::clone(&part.run), std::mem::take(&mut part.acts));
            playing.spawn(async move { run.play(begin, acts).await });
        }
        while let Some(ended) = playing.join_next().await {
            settled(ended).await?;
        }
        for part in parts {
            part.run.is_paused.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The events of each process.
    fn parts(&self, timeline: &[Event]) -> Result<Vec<Part>, ProcessError> {
        let mut parts = BTreeMap::new();
        for event in timeline {
            let Some(act) = Act::of(event) else { continue };
            if !parts.contains_key(&event.target) {
                let run = Run {
                    member: self.member(&event.target)?,
                    is_over: AtomicBool::new(false),
                    is_paused: AtomicBool::new(false),
                };
                let part = Part { run: Arc::new(run), acts: Vec::new() };
                parts.insert(Arc::clone(&event.target), part);
            }
            let part: &mut Part = parts.get_mut(&event.target).expect("inserted above");
            part.acts.push((event.at, act));
        }
        Ok(parts.into_values().collect())
    }
}

/// What a run does to one process. Dropping it undoes a stop.
struct Part {
    run: Arc<Run>,
    acts: Vec<(Duration, Act)>,
}

struct Run {
    member: Arc<Member>,
    is_over: AtomicBool,
    /// Whether this run has stopped the process, and not let it go on.
    is_paused: AtomicBool,
}

impl Run {
    async fn play(self: Arc<Self>, begin: Instant, acts: Vec<(Duration, Act)>) -> Played {
        for (at, act) in acts {
            match begin.checked_add(at) {
                Some(at) => sleep_until(at).await,
                // Later than clocks go.
                None => pending().await,
            }
            let run = Arc::clone(&self);
            blocking(move || run.take(act)).await?;
        }
        Ok(())
    }

    fn take(&self, act: Act) -> Played {
        let mut process = lock(&self.member.process);
        if self.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Before it is: what fails halfway is undone too.
        self.is_paused.store(act == Act::Pause, Ordering::Relaxed);
        self.member.take_locked(act, &mut process)
    }

    fn undo(&self, process: &mut Process) {
        if self.is_paused.load(Ordering::Relaxed) {
            // It may be dead by now, which is not of this run's doing.
            let _ = process.child.resume();
        }
    }
}

type Played = Result<(), ProcessError>;

impl Drop for Part {
    fn drop(&mut self) {
        self.run.is_over.store(true, Ordering::Relaxed);
        match self.run.member.process.try_lock() {
            Ok(mut process) => self.run.undo(&mut process),
            Err(TryLockError::Poisoned(poisoned)) => self.run.undo(&mut poisoned.into_inner()),
            // A start holds the lock for as long as it takes, and a drop shall not.
            Err(TryLockError::WouldBlock) => {
                let run = Arc::clone(&self.run);
                thread::spawn(move || run.undo(&mut lock(&run.member.process)));
            }
        }
    }
}
