//! What the clones of a handle and its tasks share.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use steadfast_core::{Backoff, Detach, Executed, TimeSource, WallClock};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    Answer, Fingerprint, OnAbandoned, RecordId, Refused, StoreError, StoredReply,
    age::age_of,
    config::Settings,
    erased::{self, Erased},
    flights::{Ended, Flight, Flights},
    signal::Signal,
    task::Said,
    telemetry::{Event, Telemetry},
};

pub(crate) struct Shared {
    pub(crate) store: Box<dyn Erased>,
    pub(crate) settings: Settings,
    /// What the ages of keys are counted by.
    pub(crate) wall_clock: Box<dyn WallClock>,
    /// The statement of the store's that completes a claim in a transaction.
    #[cfg(feature = "postgres")]
    pub(crate) completion: Option<steadfast_store::Statement>,
    pub(crate) telemetry: Telemetry,
    /// Between two questions of the store for a key that another process is busy with, and between
    /// two tries to tell it an end.
    pub(crate) backoff: Backoff,
    /// Raised where a shutdown waits no longer.
    pub(crate) stop: Signal,
    pub(crate) flights: Flights,
    /// Bounds the operations, and knows when they have ended. It has no limit in time: an operation
    /// is not cancelled for being slow.
    pub(crate) detach: Detach,
    pub(crate) waiting: AtomicUsize,
    pub(crate) made_at: Instant,
    /// The second after that in which the oldest flight was last looked for, plus one. Relaxed: two
    /// looks in one second do no harm.
    pub(crate) looked_in: AtomicU64,
}

impl Shared {
    pub(crate) fn refuse(&self, refused: Refused) -> Refused {
        self.telemetry.refused(refused)
    }

    pub(crate) fn in_flight(&self) -> Refused {
        Refused::in_flight(self.settings.retry_after)
    }

    /// # Errors
    /// When the key is one whose record may have been forgotten.
    pub(crate) fn check_age(&self, id: &RecordId) -> Result<(), Refused> {
        let Some(most) = self.settings.max_key_age else { return Ok(()) };
        match age_of(id.key(), self.wall_clock.now()) {
            Some(age) if age > most => Err(self.refuse(Refused::key_too_old())),
            _ => Ok(()),
        }
    }

    /// How long the request has been under way that has been so for longest.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.flights.oldest().map(|began| now().saturating_duration_since(began))
    }

    /// Shows that, at most once a second, and at once when nothing is under way.
    pub(crate) fn show_oldest(&self) {
        self.telemetry.oldest.set_with(|| {
            let second = now().saturating_duration_since(self.made_at).as_secs() + 1;
            if self.looked_in.swap(second, Ordering::Relaxed) != second || self.flights.is_empty() {
                Some(self.oldest().unwrap_or_default())
            } else {
                None
            }
        });
    }

    /// What is abandoned is final, or can be taken over later.
    pub(crate) fn abandoned(&self) -> Ended {
        match self.settings.on_abandoned {
            OnAbandoned::Refuse => Ended::Refused(Refused::abandoned()),
            OnAbandoned::Takeover => Ended::Again,
        }
    }

    pub(crate) fn replay<T>(&self, reply: StoredReply) -> Result<Answer<T>, Refused> {
        match reply {
            StoredReply::Kept(reply) => {
                self.telemetry.tell(Event::Replayed);
                Ok(Answer::Replayed(reply))
            }
            StoredReply::NotKept => Err(self.refuse(Refused::not_kept())),
        }
    }

    pub(crate) fn answer<T>(
        &self,
        said: Result<Said<T>, oneshot::error::RecvError>,
    ) -> Result<Answer<T>, Refused> {
        match said {
            Ok(Said::Executed(result)) => Ok(Answer::Executed(result)),
            Ok(Said::Replayed(reply)) => self.replay(reply),
            Ok(Said::Refused(refused)) => Err(self.refuse(refused)),
            Ok(Said::Panicked(panic)) => std::panic::resume_unwind(panic),
            // The task is gone, with its runtime.
            Err(_) => {
                if Handle::try_current().is_ok() {
                    // Or it never began, for want of a timer: this panics then as it did there.
                    drop(sleep(Duration::ZERO));
                }
                Err(self.refuse(Refused::abandoned()))
            }
        }
    }

    /// How the flight ends, or that it has not ended in time.
    pub(crate) async fn follow(
        &self,
        flight: &Flight,
        fingerprint: Fingerprint,
        until: Instant,
    ) -> Ended {
        // A flight that has ended is no reason to wait.
        if let Some(ended) = flight.seen(fingerprint) {
            return ended;
        }
        let in_flight = Ended::Refused(self.in_flight());
        let Some(_seat) = Seat::take(self) else { return in_flight };
        // In a box: most requests do not wait, and have its place in their futures all the same.
        Box::pin(timeout_at(until, flight.ended(fingerprint))).await.unwrap_or(in_flight)
    }

    /// One call of the store's. A panic of the store's is one more way in which it fails.
    pub(crate) async fn within_limit<T>(
        &self,
        operation: &'static str,
        mut call: erased::Answer<'_, T>,
    ) -> Result<T, StoreError> {
        let mut polled = poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
            polled.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
        });
        // A store in memory answers at once, and needs no timer.
        let at_once = poll_fn(|cx| Poll::Ready(Pin::new(&mut polled).poll(cx))).await;
        let answer = match at_once {
            Poll::Ready(answer) => answer,
            // In a box: the futures of all that asks a store are smaller so.
            Poll::Pending => Box::pin(timeout(self.settings.store_limit, polled))
                .await
                .unwrap_or_else(|_| Err(StoreError::timed_out())),
        };
        // What it has answered holds, whatever becomes of the rest of the call.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(call)));
        answer.inspect_err(|error| self.telemetry.store_failed(operation, error))
    }
}

/// What it said in its panic may show a key.
fn panicked() -> StoreError {
    StoreError::unavailable(Executed::Maybe).because("it panicked")
}

/// A request that is under way, as gauges show it.
pub(crate) struct Shown(Arc<Shared>);

impl Shown {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.telemetry.in_flight.enter(());
        shared.show_oldest();
        Self(shared)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.telemetry.in_flight.leave(());
        self.0.show_oldest();
    }
}

/// The place of a duplicate that waits.
struct Seat<'a>(&'a AtomicUsize);

impl<'a> Seat<'a> {
    fn take(shared: &'a Shared) -> Option<Self> {
        let Shared { waiting, settings, .. } = shared;
        let add = |seats| Some(seats + 1).filter(|_| seats < settings.most_waiting);
        // Relaxed: it guards no memory.
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The time of timers, which leases of this side are counted on.
pub(crate) fn now() -> Instant {
    TimeSource::Tokio.now().into()
}
