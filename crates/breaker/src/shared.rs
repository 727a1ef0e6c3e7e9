//! The state all handles of a circuit share: one word for the calls, one lock for the rare rest.
//!
//! A call reads [`Hot::word`] when it is admitted and again when it is settled. While the circuit is closed and the window holds
//! nothing but successes that is all. Everything else (a failure, a transition, a probe) happens under the lock, and
//! every write to the word's epoch and state does; outside it a success may only count down.
//!
//! Orderings. A transition publishes the word with `Release` after what belongs to it (`open_until`); an admission loads it
//! with `Acquire`, and so sees at least the open time of the state it read. It may see a later one, of a later open state: then
//! refusing is right as well. A countdown carries no other data, so its exchange needs no ordering of its own.

mod admit;
mod settle;
mod transit;

use std::{mem, time::Duration};

use steadfast_core::{
    Backoff, ConfigError, Counts,
    parts::{Splitter, Stopwatch, StripedSuccesses},
};

pub(crate) use self::{
    admit::{Admission, Refused},
    settle::Outcome,
};
use crate::{
    config::{BreakerConfig, OnOpen, WindowConfig},
    probes::{Probes, Round},
    report::Report,
    rules::Rules,
    state::{BreakerSnapshot, State, Transition},
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
    watch::{Wakers, Watchers},
    window::Window,
    word::Word,
};

#[derive(Debug)]
pub(crate) struct Shared {
    hot: Hot,
    successes: Option<StripedSuccesses>,
    settings: Settings,
    /// All times are nanoseconds of this clock.
    clock: Stopwatch,
    splitter: Splitter,
    pub(crate) report: Report,
    guarded: Mutex<Guarded>,
}

/// What calls read, away from what the lock writes.
#[derive(Debug)]
#[repr(align(128))]
struct Hot {
    word: AtomicU64,
    /// When an open circuit may be probed.
    open_until: AtomicU64,
    /// The tick from which a success must look at a time window that holds failures.
    look_at: AtomicU64,
}

#[derive(Debug)]
struct Settings {
    rules: Rules,
    slow_after: Option<u64>,
    window: WindowConfig,
    open_time: Backoff,
    probes: Probes,
    probe_limit: u64,
    throttled_fails_probe: bool,
    on_open: OnOpen,
}

/// What only the holder of the lock sees.
#[derive(Debug)]
pub(crate) struct Guarded {
    window: Window,
    /// Where the word's countdown began; what is missing from it are successes not yet handed to the window.
    countdown_from: u32,
    /// Failures in a row.
    run: u32,
    trips: u32,
    open_delay: Duration,
    round: Option<Round>,
    pub(crate) last: Option<Transition>,
    /// What must be told once the lock is free.
    news: Option<Transition>,
    /// Whether those who wait should look again.
    stirred: bool,
    pub(crate) watchers: Watchers,
}

impl Guarded {
    pub(crate) fn sequence(&self) -> u64 {
        self.last.map_or(0, |last| last.sequence)
    }
}

impl Shared {
    pub(crate) fn new(config: &BreakerConfig, lanes: usize) -> Result<Self, ConfigError> {
        let window = config.window_config()?;
        let rules = config.rules(window)?;
        let probes = config.checked_probes()?;
        config.check_times()?;
        let guarded = Guarded {
            window: Window::new(window),
            countdown_from: 0,
            run: 0,
            trips: 0,
            open_delay: Duration::ZERO,
            round: None,
            last: None,
            news: None,
            stirred: false,
            watchers: Watchers::default(),
        };
        let shared = Self {
            hot: Hot {
                word: AtomicU64::new(Word::new(0, State::Closed, false).0),
                open_until: AtomicU64::new(0),
                look_at: AtomicU64::new(0),
            },
            successes: match window {
                WindowConfig::Count(_) => None,
                WindowConfig::Time(buckets) => Some(StripedSuccesses::new(buckets, lanes)),
            },
            settings: Settings {
                rules,
                slow_after: config.slow_after().map(nanos),
                window,
                open_time: config.open_time,
                probes,
                probe_limit: nanos(config.probe_limit),
                throttled_fails_probe: config.throttled_fails_probe,
                on_open: config.on_open,
            },
            clock: Stopwatch::start(config.time_source),
            splitter: config.seed.map_or_else(Splitter::from_entropy, Splitter::seeded),
            report: Report::new(&config.name),
            guarded: Mutex::new(guarded),
        };
        shared.begin_closed(&mut shared.lock(), 0, false);
        Ok(shared)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Guarded> {
        // Nothing under the lock can panic half-way: no user code runs there.
        self.guarded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Does the work under the lock, then tells what came of it with the lock free again.
    fn locked<T>(&self, work: impl FnOnce(&mut Guarded) -> T) -> T {
        let mut guarded = self.lock();
        let value = work(&mut guarded);
        let news = guarded.news.take();
        let wakers = if mem::take(&mut guarded.stirred) { guarded.watchers.take() } else { Wakers::default() };
        drop(guarded);
        wakers.wake();
        if let Some(transition) = news {
            self.report.transition(transition);
        }
        value
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.clock.nanos()
    }

    pub(crate) fn on_open(&self) -> OnOpen {
        self.settings.on_open
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.hot.word.load(Ordering::Acquire))
    }

    fn open_until(&self) -> u64 {
        self.hot.open_until.load(Ordering::Relaxed)
    }

    /// Only a slow-call rule needs to know when a call began.
    #[inline(always)]
    fn started(&self) -> u64 {
        if self.settings.slow_after.is_some() { self.started_now() } else { NOT_MEASURED }
    }

    // Out of line: with the code of the clock in it, `call` is too long to be inlined at a second call site.
    #[cold]
    #[inline(never)]
    fn started_now(&self) -> u64 {
        self.now()
    }

    /// Slow is strictly longer.
    fn is_slow(&self, started: u64, now: u64) -> bool {
        // What was not measured began in the far future.
        self.settings.slow_after.is_some_and(|limit| now.saturating_sub(started) > limit)
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.word().is_closed()
    }

    pub(crate) fn state(&self) -> State {
        self.word().state()
    }

    /// Makes the transitions that time alone has brought about.
    pub(crate) fn catch_up(&self) {
        let now = self.now();
        self.locked(|guarded| self.advance(guarded, now));
    }

    /// Whether a call would be let in now, or what to wait for.
    pub(crate) fn readiness(&self, guarded: &Guarded) -> Readiness {
        let (word, now) = (self.word(), self.now());
        let until = |instant: u64| match instant.checked_sub(now) {
            None | Some(0) => Readiness::Ready,
            Some(left) => Readiness::In(Duration::from_nanos(left)),
        };
        match (word.state(), &guarded.round) {
            _ if word.is_dry_run() => Readiness::Ready,
            (State::Open, _) => until(self.open_until()),
            (State::ForcedOpen, _) => Readiness::OnChange,
            (State::HalfOpen, Some(round)) if !round.has_place(self.settings.probes) => {
                round.ends(self.settings.probe_limit).map_or(Readiness::Ready, until)
            }
            _ => Readiness::Ready,
        }
    }

    pub(crate) fn snapshot(&self) -> BreakerSnapshot {
        let now = self.now();
        let guarded = self.lock();
        let word = self.word();
        let counts = match &guarded.window {
            _ if !word.is_closed() => Counts::default(),
            Window::Count(window) => {
                window.counts_after(guarded.countdown_from.saturating_sub(word.countdown()).into())
            }
            Window::Time(window) => {
                let tick = self.tick(word.epoch(), now);
                self.counts_in_time(window.counts(tick), tick)
            }
        };
        BreakerSnapshot {
            state: word.state(),
            dry_run: word.is_dry_run(),
            counts,
            consecutive_failures: if word.streak() { guarded.run } else { 0 },
            open_for: (word.state() == State::Open)
                .then(|| Duration::from_nanos(self.open_until().saturating_sub(now))),
            trips: guarded.trips,
            probes_in_flight: guarded.round.as_ref().map_or(0, Round::in_flight),
            transitions: guarded.sequence(),
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

/// The start of a call whose duration nobody asks for.
const NOT_MEASURED: u64 = u64::MAX;

/// Limits are at most a year, where configuration bounds them, and 584 years otherwise.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
