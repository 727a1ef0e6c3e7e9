//! The clock that threads share.

#[cfg(feature = "tokio")]
use std::sync::Weak;
use std::{sync::Arc, time::Duration};

use steadfast_core::{ConfigError, Snapshot, SystemWallClock};

use crate::{
    DriftTooLarge, HlcConfig, Physical, PhysicalClock, Timestamp,
    config::Settings,
    jump::JumpDetector,
    listener::Listener,
    state::Allowance,
    sync::{AtomicU64, Ordering::Relaxed},
    telemetry::Telemetry,
    word::Word,
};

/// A hybrid logical clock: stamps that respect what happened before what, and stay close to wall
/// time.
///
/// A handle; clones share one clock. Every event of a process is stamped by one clock:
/// [`tick`](Self::tick) for what happens here and for messages that are sent,
/// [`update`](Self::update) or [`merge`](Self::merge) for those that are received. No call waits
/// for another thread or allocates, and no tick fails, whatever the wall clock does. (About once a
/// second an event compares the wall clock with time that passed, and an
/// [`on_jump`](HlcConfig::on_jump) of yours runs inside the event that found the jump.)
///
/// # How far ahead of the wall clock
///
/// A clock leads its wall clock after one of these things, and then counts on until the wall clock
/// has caught up:
/// - a peer's stamp, by at most [`max_drift`](HlcConfig::max_drift) plus the
///   [`lag`](PhysicalClock::lag) of the source, rounded up to a grain of 100 µs, and one grain more
///   when the peer's logical half is full;
/// - the wall clock went back, by as much as that, or the clock began [above a
///   timestamp](HlcConfig::start_after) that is ahead;
/// - more than 65,536 events in one grain carried into the physical half: one grain for each 65,536
///   events, at the very worst two. While the wall clock runs no word can be counted up fast enough
///   for that to add up; while it stands still, it does.
///
/// They add up. [`lead`](Self::lead) returns the sum.
///
/// # Example
///
/// ```
/// use steadfast_clock::Hlc;
///
/// let (here, there) = (Hlc::default(), Hlc::default());
/// let sent = here.tick();
/// let received = there.update(sent)?;
/// assert!(sent < received && received < there.tick());
/// # Ok::<_, steadfast_clock::DriftTooLarge>(())
/// ```
#[derive(Debug)]
pub struct Hlc<C = SystemWallClock> {
    shared: Arc<Shared<C>>,
}

#[derive(Debug)]
struct Shared<C> {
    word: Word,
    clock: C,
    jumps: JumpDetector,
    allowance: Allowance,
    on_jump: Listener,
    refused: AtomicU64,
    telemetry: Telemetry,
}

impl Hlc {
    /// A clock on the system's wall clock.
    ///
    /// # Errors
    /// When `config` cannot work: with the field and its value.
    pub fn system(config: HlcConfig) -> Result<Self, ConfigError> {
        Self::new(SystemWallClock, config)
    }
}

impl<C: PhysicalClock> Hlc<C> {
    /// A clock on `clock`.
    ///
    /// # Errors
    /// When `config` cannot work: with the field and its value.
    pub fn new(clock: C, config: HlcConfig) -> Result<Self, ConfigError> {
        Ok(Self::with(clock, config.check()?))
    }

    pub(crate) fn with(clock: C, settings: Settings) -> Self {
        let Settings { max_drift, jump_threshold, start, on_jump, name } = settings;
        let shared = Shared {
            word: Word::new(start),
            jumps: JumpDetector::new(&clock, jump_threshold),
            allowance: Allowance::new(max_drift.saturating_add(clock.lag())),
            on_jump,
            refused: AtomicU64::new(0),
            telemetry: Telemetry::new(name),
            clock,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Stamps a local event, or a message that is sent: the paper's *send or local event*.
    ///
    /// The stamp is above every one this clock has given out or adopted, and at or above the wall
    /// clock. It is unique in this clock.
    #[inline]
    pub fn tick(&self) -> Timestamp {
        self.at_the_wall(Word::tick)
    }

    /// Stamps the receipt of a message that carries `remote`: the paper's *receive event*. The
    /// stamp is above `remote` as well.
    ///
    /// # Errors
    /// When `remote` is above all that this clock has seen and further than
    /// [`max_drift`](HlcConfig::max_drift) ahead of the wall clock. The clock stays as it was. Old
    /// stamps are never refused.
    #[inline]
    pub fn update(&self, remote: Timestamp) -> Result<Timestamp, DriftTooLarge> {
        let allowance = self.shared.allowance;
        self.at_the_wall(|word, wall| word.update(wall, remote, allowance))
            .inspect_err(|_| self.refuse())
    }

    /// Adopts `remote` without stamping an event, as `Clock.Update` does in CockroachDB: what is
    /// stamped from now on is above it. Cheaper than [`update`](Self::update) where one message
    /// brings many stamps.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    #[inline]
    pub fn merge(&self, remote: Timestamp) -> Result<(), DriftTooLarge> {
        let allowance = self.shared.allowance;
        self.at_the_wall(|word, wall| word.merge(wall, remote, allowance))
            .inspect_err(|_| self.refuse())
    }

    /// The last timestamp given out or adopted.
    ///
    /// While another thread's tick catches up with the wall clock, it may be a count that is never
    /// given out: above all stamps given out before, and below all that follow.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.shared.word.last()
    }

    /// How far the clock is ahead of its wall clock; zero if it is not.
    #[must_use]
    pub fn lead(&self) -> Duration {
        self.last().physical().since(self.shared.clock.physical())
    }

    /// The wall clock it stands on.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.shared.clock
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.shared.telemetry.name()
    }

    /// Reads the wall clock for an event, and compares it with time that passed where the reading
    /// is odd or a second is over. The word comes first, because a processor may change it only
    /// when all that stands before it is settled.
    #[inline]
    fn at_the_wall<T>(&self, event: impl FnOnce(&Word, Physical) -> T) -> T {
        let Shared { word, clock, jumps, .. } = &*self.shared;
        let wall = clock.physical();
        let result = event(word, wall);
        if jumps.is_outside(wall) {
            self.compare();
        }
        result
    }

    #[cold]
    #[inline(never)]
    fn compare(&self) {
        let Shared { jumps, clock, on_jump, telemetry, .. } = &*self.shared;
        let jump = jumps.compare(clock);
        telemetry.compared(|| self.lead(), jump);
        if let Some(jump) = jump {
            on_jump.report(jump);
        }
    }

    #[cold]
    fn refuse(&self) {
        self.shared.refused.fetch_add(1, Relaxed);
        self.shared.telemetry.refused();
    }
}

impl Default for Hlc {
    /// A clock on the system's wall clock, with the defaults.
    fn default() -> Self {
        Self::system(HlcConfig::new()).expect("the defaults are within their own bounds")
    }
}

impl<C> Clone for Hlc<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// A handle that does not keep its clock.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) struct WeakHlc<C>(Weak<Shared<C>>);

#[cfg(feature = "tokio")]
impl<C> WeakHlc<C> {
    pub(crate) fn of(hlc: &Hlc<C>) -> Self {
        Self(Arc::downgrade(&hlc.shared))
    }

    pub(crate) fn upgrade(&self) -> Option<Hlc<C>> {
        self.0.upgrade().map(|shared| Hlc { shared })
    }
}

/// An [`Hlc`] as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HlcSnapshot {
    /// The last timestamp given out or adopted.
    pub last: Timestamp,
    /// What the wall clock said.
    pub wall: Physical,
    /// How far the clock is ahead of its wall clock.
    pub lead: Duration,
    /// How often the wall clock was set forward.
    pub jumps_forward: u64,
    /// How often the wall clock was set back.
    pub jumps_back: u64,
    /// How many stamps were refused because they were too far ahead.
    pub refused: u64,
}

impl<C: PhysicalClock> Hlc<C> {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> HlcSnapshot {
        let (last, wall) = (self.last(), self.shared.clock.physical());
        let (jumps_forward, jumps_back) = self.shared.jumps.counts();
        let refused = self.shared.refused.load(Relaxed);
        HlcSnapshot {
            last,
            wall,
            lead: last.physical().since(wall),
            jumps_forward,
            jumps_back,
            refused,
        }
    }
}

impl<C: PhysicalClock> Snapshot for Hlc<C> {
    type State = HlcSnapshot;

    fn snapshot(&self) -> HlcSnapshot {
        Self::snapshot(self)
    }
}
