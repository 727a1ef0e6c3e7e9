//! The places of a [`Detach`](super::Detach): how many are taken, and who waits until none is. No
//! runtime, no clock.

#[cfg(not(steadfast_loom))]
use std::sync::Mutex;
use std::{future::poll_fn, sync::Arc};

#[cfg(steadfast_loom)]
use ::loom::sync::Mutex;

use super::{DetachSnapshot, ReserveError};
use crate::{lock::lock, waiters::Waiters};

pub(super) struct Places {
    most: usize,
    // Nothing under the lock can panic half-way: it is arithmetic.
    state: Mutex<DetachSnapshot>,
    waiters: Waiters,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, state: Mutex::new(DetachSnapshot::default()), waiters: Waiters::new() }
    }

    pub(super) fn reserve(self: &Arc<Self>) -> Result<Ticket, ReserveError> {
        let mut state = lock(&self.state);
        let refusal = if state.is_shut_down {
            ReserveError::ShutDown
        } else if state.reserved + state.in_flight >= self.most {
            ReserveError::Full { most: self.most }
        } else {
            state.reserved += 1;
            return Ok(Ticket { places: Arc::clone(self), stage: Stage::Reserved });
        };
        state.refused += 1;
        Err(refusal)
    }

    /// Counts a refusal, and gives it back.
    pub(super) fn refuse(&self, refusal: ReserveError) -> ReserveError {
        lock(&self.state).refused += 1;
        refusal
    }

    pub(super) fn shut_down(&self) {
        lock(&self.state).is_shut_down = true;
    }

    /// Waits until no place is taken.
    pub(super) async fn idle(&self) {
        let waiter = self.waiters.join();
        poll_fn(|cx| waiter.poll(cx, || self.is_idle().then_some(()))).await;
    }

    fn is_idle(&self) -> bool {
        is_idle(&lock(&self.state))
    }

    pub(super) fn snapshot(&self) -> DetachSnapshot {
        *lock(&self.state)
    }
}

const fn is_idle(state: &DetachSnapshot) -> bool {
    state.reserved == 0 && state.in_flight == 0
}

/// How a task ended.
#[derive(Clone, Copy)]
pub(super) enum End {
    Finished,
    TimedOut,
    /// By a panic, or with its runtime: the ticket was dropped before it was told of an end.
    Broken,
}

enum Stage {
    Reserved,
    InFlight(End),
}

/// One place, until it is dropped.
pub(super) struct Ticket {
    places: Arc<Places>,
    stage: Stage,
}

impl Ticket {
    /// The place is used by a task from now on.
    pub(super) fn begin(&mut self) {
        let mut state = lock(&self.places.state);
        state.reserved -= 1;
        state.in_flight += 1;
        self.stage = Stage::InFlight(End::Broken);
    }

    /// How the task ends that is about to drop it.
    pub(super) fn end(&mut self, end: End) {
        self.stage = Stage::InFlight(end);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.places.state);
        match self.stage {
            Stage::Reserved => state.reserved -= 1,
            Stage::InFlight(end) => {
                state.in_flight -= 1;
                match end {
                    End::Finished => state.finished += 1,
                    End::TimedOut => state.timed_out += 1,
                    End::Broken => state.broken += 1,
                }
            }
        }
        let is_idle = is_idle(&state);
        drop(state);
        // Changed first, woken afterwards: see `Waiters`.
        if is_idle {
            drop(self.places.waiters.take());
        }
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom {
    use std::{pin::pin, task::Context};

    use ::loom::{
        model,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;
    use crate::waiters::loom::Flag;

    fn run(mut ticket: Ticket) {
        ticket.begin();
        ticket.end(End::Finished);
    }

    /// The last ticket falls before the wait, between its look and its registration, or after it:
    /// the wait sees it, or is woken.
    #[test]
    fn the_last_ticket_ends_the_wait() {
        model(|| {
            let places = Arc::new(Places::new(2));
            let tickets = [places.reserve().unwrap(), places.reserve().unwrap()];
            let threads = tickets.map(|ticket| thread::spawn(move || run(ticket)));
            let woken = Arc::new(Flag(AtomicBool::new(false)));
            let waker = Arc::clone(&woken).into();
            let mut cx = Context::from_waker(&waker);
            let mut idle = pin!(places.idle());
            let seen = idle.as_mut().poll(&mut cx).is_ready();
            if seen {
                assert_eq!((places.snapshot().finished, places.snapshot().in_flight), (2, 0));
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(seen || woken.0.load(Ordering::Acquire));
            assert!(seen || idle.poll(&mut cx).is_ready());
        });
    }

    /// A reservation that races with a shutdown is refused, or waited for.
    #[test]
    fn no_work_is_left_after_a_shutdown() {
        model(|| {
            let places = Arc::new(Places::new(1));
            let other = Arc::clone(&places);
            let thread = thread::spawn(move || other.reserve().map(run).is_ok());
            let woken = Arc::new(Flag(AtomicBool::new(false)));
            let waker = Arc::clone(&woken).into();
            let mut cx = Context::from_waker(&waker);
            places.shut_down();
            let mut idle = pin!(places.idle());
            let seen = idle.as_mut().poll(&mut cx).is_ready().then(|| places.snapshot());
            let has_run = thread.join().unwrap();
            assert!(seen.is_some() || woken.0.load(Ordering::Acquire));
            assert!(seen.is_some() || idle.poll(&mut cx).is_ready());
            let after = seen.unwrap_or_else(|| places.snapshot());
            assert_eq!(
                (after.finished, after.reserved, after.in_flight),
                (u64::from(has_run), 0, 0)
            );
            assert_eq!(places.snapshot().finished, after.finished);
        });
    }

    /// Of two threads that want the last place one gets it, and a place that is dropped unused can
    /// be had again.
    #[test]
    fn a_place_is_given_to_one_at_a_time() {
        model(|| {
            let places = Arc::new(Places::new(1));
            let other = Arc::clone(&places);
            let thread = thread::spawn(move || other.reserve().map(run).is_ok());
            let here = places.reserve();
            let had_one = here.is_ok();
            if had_one {
                assert_eq!((places.snapshot().reserved, places.snapshot().in_flight), (1, 0));
            }
            drop(here);
            let other_had_one = thread.join().unwrap();
            assert!(had_one || other_had_one);
            assert!(places.reserve().is_ok());
        });
    }
}
