//! Requests that are let through to a peer that is not trusted.
//!
//! Where answers are the only heartbeats, a convicted peer that is sent nothing can never be heard
//! of again. So one request in each interval goes to it all the same: the first at once, the next
//! when the interval is over, whatever became of the one before. Any heartbeat of a peer that is
//! not trusted, unless it is stale, makes the next trial due at once: what is answered may be asked
//! again.
//!
//! They are behind the peer's lock, which is taken for them only while the peer is not trusted. A
//! heartbeat changes the status, then takes it; a task that waits takes it to find the waiters,
//! then looks at the status: either the heartbeat finds the waiters, or the task sees the status.

use std::time::{Duration, Instant};

use steadfast_core::parts::{Waiter, Waiters, Wakers};

/// The trials of one peer. Nothing is allocated before the first.
#[derive(Debug, Default)]
pub(crate) struct Trials(Option<Box<State>>);

#[derive(Debug, Default)]
struct State {
    /// When the next is due, unless it is now.
    next: Option<Instant>,
    /// Tasks that wait until the peer may be asked.
    waiters: Waiters,
}

impl Trials {
    /// Takes the trial that is due, if one is.
    ///
    /// # Errors
    /// What is left until the next, above zero.
    pub(crate) fn take(&mut self, now: Instant, interval: Duration) -> Result<Taken, Duration> {
        let state = self.0.get_or_insert_default();
        match state.left(now) {
            Some(left) => Err(left),
            None => {
                let next = now + interval;
                state.next = Some(next);
                Ok(Taken { next })
            }
        }
    }

    /// What is left until the next trial; `None` if one is due.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        self.0.as_ref()?.left(now)
    }

    /// The trial was not sent: it is due again. One that was taken after it is left alone. Who is
    /// returned must be woken, without the lock.
    #[must_use]
    pub(crate) fn give_back(&mut self, taken: Taken) -> Option<Wakers> {
        self.due_at_once(|next| next == Some(taken.next))
    }

    /// A heartbeat was heard of a peer that was not trusted, and its status says so.
    #[must_use]
    pub(crate) fn heard(&mut self) -> Option<Wakers> {
        self.due_at_once(|_| true)
    }

    /// A place among the tasks that wait until the peer may be asked.
    pub(crate) fn join(&mut self) -> Waiter {
        self.0.get_or_insert_default().waiters.join()
    }

    fn due_at_once(&mut self, when: impl FnOnce(Option<Instant>) -> bool) -> Option<Wakers> {
        let trials = self.0.as_mut().filter(|trials| when(trials.next))?;
        trials.next = None;
        Some(trials.waiters.take())
    }
}

impl State {
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.next?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

/// A trial that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    next: Instant,
}

#[cfg(test)]
mod tests {
    use steadfast_core::TimeSource;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_trial_in_an_interval_and_the_first_at_once() {
        let (mut trials, start) = (Trials::default(), TimeSource::Tokio.now());
        assert_eq!(trials.left(start), None);
        trials.take(start, SECOND).unwrap();
        assert_eq!(trials.take(start + SECOND / 4, SECOND).unwrap_err(), SECOND * 3 / 4);
        assert_eq!(trials.left(start + SECOND / 2), Some(SECOND / 2));
        trials.take(start + SECOND, SECOND).unwrap();
        assert_eq!(trials.left(start + SECOND), Some(SECOND));
    }

    #[test]
    fn a_trial_that_comes_back_late_takes_none_from_a_later_one() {
        let (mut trials, start) = (Trials::default(), TimeSource::Tokio.now());
        let first = trials.take(start, SECOND).unwrap();
        let second = trials.take(start + SECOND, SECOND).unwrap();
        assert!(trials.give_back(first).is_none());
        assert_eq!(trials.left(start + SECOND), Some(SECOND));
        assert!(trials.give_back(second).is_some());
        assert_eq!(trials.left(start + SECOND), None);
    }

    #[test]
    fn a_heartbeat_makes_the_next_due() {
        let (mut trials, start) = (Trials::default(), TimeSource::Tokio.now());
        assert!(trials.heard().is_none());
        trials.take(start, SECOND).unwrap();
        assert!(trials.heard().is_some());
        assert_eq!(trials.left(start), None);
    }
}
