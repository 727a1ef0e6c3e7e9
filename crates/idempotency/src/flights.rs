//! The keys that this process is busy with: duplicates wait for the first of them here.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, OnceLock},
};

use steadfast_core::parts::{Waiters, lock};

use crate::{Fingerprint, RecordId, Refused, StoredReply};

/// One flight a key: its leader asks the store, and the others follow it.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// Nothing foreign runs under it but the hash of a key.
    flights: Arc<Mutex<HashMap<RecordId, Arc<Flight>>>>,
}

/// What the first request with a key is busy with.
#[derive(Debug)]
pub(crate) struct Flight {
    fingerprint: Fingerprint,
    ended: OnceLock<Ended>,
    waiters: Waiters,
}

/// How a flight ended, for those that follow it.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// With this reply.
    Stored(StoredReply),
    /// With what refuses every copy of the request.
    Refused(Refused),
    /// With nothing that a follower could be given: it asks for itself.
    Again,
}

/// What a request with a key is to its process.
#[derive(Debug)]
pub(crate) enum Joined {
    Leader(Leader),
    Follower(Arc<Flight>),
    Mismatch,
}

impl Flights {
    pub(crate) fn join(&self, id: &RecordId, fingerprint: Fingerprint) -> Joined {
        let mut flights = lock(&self.flights);
        match flights.get(id) {
            Some(flight) if flight.fingerprint != fingerprint => Joined::Mismatch,
            Some(flight) => Joined::Follower(Arc::clone(flight)),
            None => {
                let (ended, waiters) = (OnceLock::new(), Waiters::new());
                let flight = Arc::new(Flight { fingerprint, ended, waiters });
                flights.insert(id.clone(), Arc::clone(&flight));
                Joined::Leader(Leader {
                    id: id.clone(),
                    flight,
                    flights: Arc::clone(&self.flights),
                })
            }
        }
    }
}

impl Flight {
    /// How it ends. Cancel-safe.
    pub(crate) async fn ended(&self) -> Ended {
        let waiter = self.waiters.join();
        poll_fn(|cx| waiter.poll(cx, || self.ended.get().cloned())).await
    }
}

/// The first request with a key. Its drop ends the flight, in whatever way the task ends.
pub(crate) struct Leader {
    id: RecordId,
    flight: Arc<Flight>,
    flights: Arc<Mutex<HashMap<RecordId, Arc<Flight>>>>,
}

impl Leader {
    pub(crate) fn end(self, ended: Ended) {
        // Only the leader ends a flight, and only once.
        let _ = self.flight.ended.set(ended);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let _ = self.flight.ended.set(Ended::Again);
        // First the end and then this: a request that comes in between joins a flight that has
        // ended, and is answered by its end.
        drop(lock(&self.flights).remove(&self.id));
        self.flight.waiters.wake();
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").finish_non_exhaustive()
    }
}
