//! The state all handles of a circuit share: one word for the calls, one lock for the rare rest.
//!
//! A call reads the published word when it is admitted and again when it is settled. While the
//! circuit is closed and the window holds nothing but successes that is all. Everything else (a
//! failure, a transition, a probe) happens under the lock, and every write to the word's epoch and
//! state does; outside it a success may only count down.

mod admit;
mod reconfigure;
mod refusals;
mod settle;
mod transit;

use std::{mem, sync::Arc, time::Duration};

use steadfast_core::{
    Counts,
    parts::{Changes, Splitter, Stopwatch, Waiters, Wakers, lock},
};

use self::refusals::RefusalLanes;
pub(crate) use self::{
    admit::{Admission, Refused},
    settle::Head,
};
use crate::{
    closed::{Closed, time::TimeSuccesses},
    config::{CircuitConfig, Settings, nanos},
    probes::Round,
    state::{Cause, CircuitSnapshot, State, Transition},
    sync::Mutex,
    telemetry::Telemetry,
    word::{Published, Word},
};

#[derive(Debug)]
pub(crate) struct Shared {
    published: Published,
    /// Under a time window. A count window has its successes counted in the word.
    successes: Option<Arc<TimeSuccesses>>,
    /// All times are nanoseconds of this clock.
    clock: Stopwatch,
    splitter: Splitter,
    pub(crate) telemetry: Telemetry,
    refusals: RefusalLanes,
    pub(crate) transitions: Changes<Transition>,
    /// Services that are not ready.
    pub(crate) waiters: Waiters,
    // Nothing under the lock can panic half-way: no user code runs there.
    guarded: Mutex<Guarded>,
}

/// What only the holder of the lock sees.
#[derive(Debug)]
struct Guarded {
    /// As it was given last, and what it comes to.
    config: CircuitConfig,
    settings: Settings,
    closed: Closed,
    trips: u32,
    /// Of the latest transition.
    last_cause: Option<Cause>,
    /// What the window held as it last opened the circuit.
    counts_at_trip: Option<Counts>,
    round: Option<Round>,
    /// Until when the service asked to be left alone, in its latest failure of this epoch that said
    /// so.
    told_until: Option<u64>,
    /// To be told once the lock is free: transitions, and that a call may be let in again.
    /// Two at most: a round that was lost a while ago opens the circuit and starts another.
    unreported: Vec<(Transition, Wakers)>,
    wake_waiters: bool,
}

impl Guarded {
    /// Takes in what a failure says of when to come back.
    fn hear(&mut self, told: Option<Duration>, now: u64) {
        if let Some(after) = told {
            self.told_until = Some(now.saturating_add(nanos(after)));
        }
    }
}

impl Shared {
    pub(crate) fn new(
        (config, settings): (CircuitConfig, Settings),
        splitter: Splitter,
        telemetry: Telemetry,
        lanes: usize,
    ) -> Self {
        let (mut closed, successes) = Closed::new(settings.window, lanes);
        let published = Published::new(Word::new(0, State::Closed, false));
        published.change_state(closed.restart(&published, &settings.rules, 0, false));
        published.set_slow_after(settings.slow_after);
        let guarded = Guarded {
            config,
            settings,
            closed,
            trips: 0,
            last_cause: None,
            counts_at_trip: None,
            round: None,
            told_until: None,
            unreported: Vec::new(),
            wake_waiters: false,
        };
        Self {
            published,
            successes,
            clock: Stopwatch::start(settings.time_source),
            splitter,
            telemetry,
            refusals: RefusalLanes::new(lanes),
            transitions: Changes::new(),
            waiters: Waiters::new(),
            guarded: Mutex::new(guarded),
        }
    }

    /// Does the work under the lock, then reports and wakes with the lock free again.
    fn locked<T>(&self, work: impl FnOnce(&mut Guarded) -> T) -> T {
        let mut guarded = lock(&self.guarded);
        let value = work(&mut guarded);
        let (unreported, wake_waiters) =
            (mem::take(&mut guarded.unreported), mem::take(&mut guarded.wake_waiters));
        drop(guarded);
        // Should an event's subscriber or a waker panic, the other wakers are woken by their drop.
        let waiters = if wake_waiters { self.waiters.take() } else { Wakers::default() };
        // All are counted before any is told of: what a waker does must not keep one from it.
        for (transition, _) in &unreported {
            self.telemetry.transition(*transition);
        }
        for (_, subscribers) in unreported {
            subscribers.wake();
        }
        waiters.wake();
        value
    }

    // Out of line: with the clock's code in it, `call` would be too long to be inlined twice.
    #[inline(never)]
    pub(crate) fn now(&self) -> u64 {
        self.clock.nanos()
    }

    /// For a circuit of its own.
    pub(crate) fn split_seed(&self) -> u64 {
        self.splitter.split_seed()
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        self.published.word()
    }

    /// Makes the transitions that time alone has brought about.
    pub(crate) fn catch_up(&self) {
        let now = self.now();
        self.locked(|guarded| self.advance(guarded, now));
    }

    /// Whether a call would be let in now, or what to wait for.
    pub(crate) fn readiness(&self) -> Readiness {
        let (guarded, word, now) = (lock(&self.guarded), self.word(), self.now());
        let until = |instant: u64| match instant.checked_sub(now) {
            None | Some(0) => Readiness::Ready,
            Some(left) => Readiness::In(Duration::from_nanos(left)),
        };
        let Settings { probes, probe_limit, .. } = guarded.settings;
        match (word.state(), &guarded.round) {
            _ if word.is_dry_run() => Readiness::Ready,
            (State::Open, _) => until(self.published.open_until()),
            (State::ForcedOpen, _) => Readiness::OnChange,
            (State::HalfOpen, Some(round)) if !round.has_place(probes) => {
                // A probe that is overdue, or has waited for its end for long enough, keeps its
                // place: time alone frees none, it can only decide the round.
                round
                    .decided_at(probes, probe_limit)
                    .map_or(Readiness::OnChange, |(at, _)| until(at))
            }
            _ => Readiness::Ready,
        }
    }

    pub(crate) fn snapshot(&self) -> CircuitSnapshot {
        let now = self.now();
        let guarded = lock(&self.guarded);
        let word = self.word();
        let (counts, consecutive_failures) = if word.is_closed() {
            guarded.closed.counts(word, now)
        } else {
            (Counts::default(), 0)
        };
        let left = || Duration::from_nanos(self.published.open_until().saturating_sub(now));
        CircuitSnapshot {
            state: word.state(),
            dry_run: word.is_dry_run(),
            counts,
            consecutive_failures,
            open_for: (word.state() == State::Open).then(left),
            trips: guarded.trips,
            last_cause: guarded.last_cause,
            counts_at_trip: guarded.counts_at_trip,
            probes_in_flight: guarded
                .round
                .as_ref()
                .map_or(0, |round| round.in_flight(now, guarded.settings.probe_limit)),
            refusals: self.refusals.sum(),
            transitions: self.transitions.sequence(),
        }
    }
}

/// What a service that is not to be called waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    In(Duration),
    OnChange,
}
