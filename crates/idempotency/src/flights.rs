//! The keys that this process is busy with: duplicates wait for the first of them here.

use std::{collections::HashMap, fmt, future::poll_fn, sync::Arc};

use steadfast_core::parts::{Waiters, lock};
use tokio::time::Instant;

use crate::{
    Fingerprint, RecordId, Refused, StoredReply,
    by_hash::ByHash,
    sync::{AtomicBool, Mutex, OnceLock, Ordering},
};

/// One flight a key: its leader asks the store, and the others follow it.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// Nothing foreign runs under it.
    flights: Arc<Mutex<HashMap<RecordId, Arc<Flight>, ByHash>>>,
}

/// What the first request with a key is busy with.
#[derive(Debug)]
pub(crate) struct Flight {
    id: RecordId,
    fingerprint: Fingerprint,
    began: Instant,
    /// Whether the store has said that the key is for this payload. Until then the leader may be
    /// the one with another payload than the record's.
    ///
    /// Relaxed: the lock of the waiters orders it, and it guards no other memory.
    is_known: AtomicBool,
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
    /// With the flight's payload, or with another.
    Follower(Arc<Flight>),
}

impl Flights {
    pub(crate) fn join(&self, id: &RecordId, fingerprint: Fingerprint, now: Instant) -> Joined {
        let mut flights = lock(&self.flights);
        match flights.get(id) {
            Some(flight) => Joined::Follower(Arc::clone(flight)),
            None => {
                let flight = Arc::new(Flight {
                    id: id.clone(),
                    fingerprint,
                    began: now,
                    is_known: AtomicBool::new(false),
                    ended: OnceLock::new(),
                    waiters: Waiters::new(),
                });
                flights.insert(id.clone(), Arc::clone(&flight));
                Joined::Leader(Leader { flight, flights: Arc::clone(&self.flights) })
            }
        }
    }
}

impl Flights {
    /// When the one began that has been under way for longest. Looks at each.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        lock(&self.flights).values().map(|flight| flight.began).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.flights).is_empty()
    }
}

impl Flight {
    /// How it ends for a request with this fingerprint. Cancel-safe.
    pub(crate) async fn ended(&self, fingerprint: Fingerprint) -> Ended {
        let waiter = self.waiters.join();
        poll_fn(|cx| waiter.poll(cx, || self.seen(fingerprint))).await
    }

    /// How it has ended for a request with this fingerprint, if it has.
    pub(crate) fn seen(&self, fingerprint: Fingerprint) -> Option<Ended> {
        if fingerprint == self.fingerprint {
            self.ended.get().cloned()
        } else if self.is_known.load(Ordering::Relaxed) {
            Some(Ended::Refused(Refused::mismatch()))
        } else {
            self.ended.get().map(|_| Ended::Again)
        }
    }

    /// A panic of a waker's is none of the leader's.
    fn wake(&self) {
        drop(self.waiters.take());
    }
}

/// The first request with a key. Its drop ends the flight, in whatever way the task ends.
pub(crate) struct Leader {
    flight: Arc<Flight>,
    flights: Arc<Mutex<HashMap<RecordId, Arc<Flight>, ByHash>>>,
}

impl Leader {
    /// The store knows the key by the payload of this flight.
    pub(crate) fn known(&self) {
        if !self.flight.is_known.swap(true, Ordering::Relaxed) {
            self.flight.wake();
        }
    }

    /// Ends the flight, once: the leader may have more to do, and the key may have a new flight.
    pub(crate) fn end(&self, ended: Ended) {
        if self.flight.ended.get().is_some() {
            return;
        }
        let set = |ended| {
            // Only the leader sets it.
            let _ = self.flight.ended.set(ended);
        };
        let leave = || drop(lock(&self.flights).remove(&self.flight.id));
        match ended {
            // A request that came in between would join again and again.
            Ended::Again => {
                leave();
                set(Ended::Again);
            }
            // A request that comes in between joins a flight that has ended, and is answered.
            answer => {
                set(answer);
                leave();
            }
        }
        self.flight.wake();
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.end(Ended::Again);
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").finish_non_exhaustive()
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom {
    use std::{
        pin::pin,
        task::{Context, Poll},
    };

    use ::loom::{model, thread};

    use super::*;
    use crate::{Reason, sync::Flag};

    fn print(byte: u8) -> Fingerprint {
        Fingerprint::from_bytes([byte; 32])
    }

    fn led() -> (Arc<Flights>, RecordId, Leader) {
        let (flights, id) = (Arc::new(Flights::default()), RecordId::new("", "k").unwrap());
        match flights.join(&id, print(1), Instant::now()) {
            Joined::Leader(leader) => (flights, id, leader),
            Joined::Follower(_) => panic!("nothing is under way"),
        }
    }

    /// Follows while the other thread runs, and once more where it was woken.
    fn follow(
        flight: &Flight,
        fingerprint: Fingerprint,
        thread: thread::JoinHandle<()>,
    ) -> Poll<Ended> {
        let woken = Flag::new();
        let waker = Arc::clone(&woken).into();
        let mut cx = Context::from_waker(&waker);
        let mut ended = pin!(flight.ended(fingerprint));
        let first = ended.as_mut().poll(&mut cx);
        thread.join().unwrap();
        match first {
            Poll::Pending if woken.is_raised() => ended.poll(&mut cx),
            first => first,
        }
    }

    /// A request that comes while a flight ends with a reply gets it, or leads a flight of its own,
    /// which asks the store.
    #[test]
    fn a_follower_gets_the_reply_or_leads() {
        model(|| {
            let (flights, id, leader) = led();
            let reply = Ended::Stored(StoredReply::NotKept);
            let thread = thread::spawn(move || leader.end(reply));
            match flights.join(&id, print(1), Instant::now()) {
                Joined::Leader(_) => thread.join().unwrap(),
                Joined::Follower(flight) => {
                    let ended = follow(&flight, print(1), thread);
                    assert!(matches!(ended, Poll::Ready(Ended::Stored(StoredReply::NotKept))));
                }
            }
            assert!(flights.is_empty());
        });
    }

    /// A follower that is sent back does not join the flight again that has sent it back.
    #[test]
    fn a_follower_that_asks_again_leads() {
        model(|| {
            let (flights, id, leader) = led();
            let thread = thread::spawn(move || drop(leader));
            if let Joined::Follower(flight) = flights.join(&id, print(1), Instant::now()) {
                while flight.seen(print(1)).is_none() {
                    thread::yield_now();
                }
                let again = flights.join(&id, print(1), Instant::now());
                assert!(matches!(again, Joined::Leader(_)));
            }
            thread.join().unwrap();
        });
    }

    /// A follower with another payload learns that the store knows the key by that of the leader.
    #[test]
    fn another_payload_is_told_as_soon_as_the_store_has_spoken() {
        model(|| {
            let (flights, id, leader) = led();
            let Joined::Follower(flight) = flights.join(&id, print(2), Instant::now()) else {
                panic!("a flight is under way");
            };
            let leader = Arc::new(leader);
            let other = Arc::clone(&leader);
            let thread = thread::spawn(move || other.known());
            match follow(&flight, print(2), thread) {
                Poll::Ready(Ended::Refused(refused)) => {
                    assert_eq!(refused.reason, Reason::Mismatch);
                }
                other => panic!("{other:?}"),
            }
            drop(leader);
        });
    }
}
