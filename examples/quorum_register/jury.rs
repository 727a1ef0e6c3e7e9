//! What no observer must ever say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    Failure,
    peer::Peer,
    suspects::{PAUSE, verdicts},
};

/// Much longer than an observer takes that is not stopped.
const ANSWER: Duration = Duration::from_millis(500);

/// Looks all the time whether a quorum of observers convicts an innocent one.
pub(crate) struct Jury {
    is_over: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Jury {
    /// Only `guilty` may ever be dead by a quorum of votes, whichever observer counts them.
    pub(crate) fn watch(peers: Vec<Peer>, guilty: usize) -> Self {
        let (is_over, looks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let task = tokio::spawn(look(peers, guilty, Arc::clone(&is_over), Arc::clone(&looks)));
        Self { is_over, looks, task }
    }

    /// Stops looking. Says how often it has.
    pub(crate) async fn end(self) -> Result<u64, Failure> {
        self.is_over.store(true, SeqCst);
        self.task.await??;
        Ok(self.looks.load(SeqCst))
    }
}

async fn look(
    peers: Vec<Peer>,
    guilty: usize,
    is_over: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
) -> Result<(), Failure> {
    while !is_over.load(SeqCst) {
        for (observer, peer) in peers.iter().enumerate() {
            // Who is stopped says nothing.
            let Ok(Ok(verdicts)) = timeout(ANSWER, verdicts(peer)).await else { continue };
            let mut convicted =
                verdicts.iter().enumerate().filter(|(_, verdict)| *verdict == "Won");
            if let Some((suspect, _)) = convicted.find(|(suspect, _)| *suspect != guilty) {
                return Err(format!("{observer} holds {suspect} for dead by a quorum").into());
            }
            looks.fetch_add(1, SeqCst);
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
