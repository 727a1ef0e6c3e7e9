//! One writer and three readers, from the first scene to the last, and what the readers must never
//! see.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Failure, register::Register, seen::Seen};

pub(crate) const KEY: &str = "count";

/// Leaves the processors to the nodes.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// How long anything may take to show. Only a run that fails takes so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Writes 1, 2, 3 …, reads them all the time, and counts each read that is older than what was
/// acknowledged, or returned by a read of a quorum, before it began.
pub(crate) struct Checker {
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Checker {
    /// Writes and reads on side A, reads on side B, and reads there of one node only.
    pub(crate) fn start(a: &Register, b: &Register) -> Self {
        let seen = Arc::<Seen>::default();
        let tasks = vec![
            tokio::spawn(Arc::clone(&seen).write(a.clone())),
            tokio::spawn(Arc::clone(&seen).read(a.clone(), |seen| &seen.a)),
            tokio::spawn(Arc::clone(&seen).read(b.clone(), |seen| &seen.b)),
            tokio::spawn(Arc::clone(&seen).read_one(b.clone())),
        ];
        Self { seen, tasks }
    }

    /// Waits until side A has written and read some more.
    pub(crate) async fn goes_on(&self) -> Result<(), Failure> {
        let (written, read) =
            (self.seen.acknowledged.load(SeqCst) + 50, self.seen.a.answered.load(SeqCst) + 50);
        let went_on = |seen: &Seen| {
            seen.acknowledged.load(SeqCst) >= written && seen.a.answered.load(SeqCst) >= read
        };
        self.until(went_on).await.map_err(|_| "side A does not go on".into())
    }

    /// Waits until a read of one node was old.
    pub(crate) async fn shows_old_reads(&self) -> Result<(), Failure> {
        let old = |seen: &Seen| seen.one.old.load(SeqCst) > 0;
        self.until(old)
            .await
            .map_err(|_| "reads of one node are never old: the check shows nothing".into())
    }

    async fn until(&self, holds: impl Fn(&Seen) -> bool) -> Result<(), Failure> {
        let look = async {
            while !holds(&self.seen) {
                sleep(PAUSE).await;
            }
        };
        Ok(timeout(LIMIT, look).await?)
    }

    /// Stops, and says what was seen.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.seen.is_over.store(true, SeqCst);
        for task in self.tasks {
            task.await??;
        }
        let Seen { acknowledged, unacknowledged, a, b, one, .. } = &*self.seen;
        println!(
            "All the while {} writes, of which {} were not acknowledged, and reads older than they may be:",
            acknowledged.load(SeqCst) + unacknowledged.load(SeqCst),
            unacknowledged.load(SeqCst)
        );
        for (what, reads) in [("side A", a), ("side B", b), ("side B, of one node", one)] {
            let [answered, denied, old] =
                [&reads.answered, &reads.denied, &reads.old].map(|count| count.load(SeqCst));
            println!("  {what:<20} {old:>4} of {answered} ({denied} were denied)");
        }
        if a.old.load(SeqCst) + b.old.load(SeqCst) > 0 {
            return Err("a read did not see the last acknowledged write".into());
        }
        Ok(())
    }
}
