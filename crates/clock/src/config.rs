//! How a hybrid clock is set up.

use std::{fmt, sync::Arc, time::Duration};

use steadfast_core::ConfigError;

use crate::{Jump, Physical, Timestamp, listener::Listener};

/// How an [`Hlc`](crate::Hlc) is set up: how far ahead it believes its peers, and what it reports
/// of its wall clock. Checked where a clock is made.
#[derive(Clone)]
#[must_use]
pub struct HlcConfig {
    max_drift: Duration,
    jump_threshold: Duration,
    start_after: Timestamp,
    on_jump: Listener,
    name: Option<Arc<str>>,
}

/// A stamp that is days ahead is an error.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl HlcConfig {
    /// The defaults: stamps are believed up to 500 ms ahead, steps of more than 128 ms are jumps.
    pub const fn new() -> Self {
        Self {
            max_drift: Duration::from_millis(500),
            jump_threshold: Duration::from_millis(128),
            start_after: Timestamp::MIN,
            on_jump: Listener::none(),
            name: None,
        }
    }

    /// How far a peer's stamp may be ahead of this node's wall clock: what two wall clocks may
    /// differ by, plus what a clock may lead its own. From 1 ms to a day. The default is 500 ms, as
    /// in CockroachDB (`--max-offset`).
    ///
    /// Each node that is believed can push this clock ahead of its wall clock by so much, and by
    /// one grain of 100 µs when the logical half of its stamp is full.
    pub const fn max_drift(mut self, max_drift: Duration) -> Self {
        self.max_drift = max_drift;
        self
    }

    /// By how much more or less than time the wall clock must move for a [`Jump`]. From 20 ms, two
    /// of the longest kernel ticks, to a day. The default is 128 ms, above which `ntpd` steps a
    /// clock instead of slewing it. After a long time without an event the clock must have moved by
    /// up to twice as much, because it may have been slewed.
    ///
    /// The next event notices a step that leaves the window from this much before the last
    /// comparison to a second after it. A smaller step is noticed when the wall clock comes to the
    /// end of the window: at the latest after a second and this.
    pub const fn jump_threshold(mut self, jump_threshold: Duration) -> Self {
        self.jump_threshold = jump_threshold;
        self
    }

    /// Calls `on_jump` for each jump of the wall clock, on the thread whose event found it, with no
    /// lock held. The event waits for it; a panic in it passes through the event and leaves the
    /// clock sound.
    ///
    /// It may use the clock, and is never called from within itself: a jump that its own events
    /// find, of this clock or another, is only counted and reported.
    pub fn on_jump(mut self, on_jump: impl Fn(Jump) + Send + Sync + 'static) -> Self {
        self.on_jump = Listener::new(on_jump);
        self
    }

    /// Begins above `start_after`, such as the last timestamp an earlier run gave out. At most 30
    /// days above
    /// [`Physical::LIMIT`]: what a clock that reached the limit may have given out.
    pub const fn start_after(mut self, start_after: Timestamp) -> Self {
        self.start_after = start_after;
        self
    }

    /// The clock's name in metrics and events, its layers' too. The default is `default`; the gauge
    /// of the lead needs a name.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) fn check(self) -> Result<Settings, ConfigError> {
        let Self { max_drift, jump_threshold, start_after, on_jump, name } = self;
        require_drift(max_drift)?;
        let step = Duration::from_millis(20)..=DAY;
        ConfigError::require(
            step.contains(&jump_threshold),
            "jump_threshold",
            jump_threshold,
            "from 20 ms to a day",
        )?;
        require_start(start_after)?;
        Ok(Settings { max_drift, jump_threshold, start: start_after, on_jump, name })
    }
}

/// A configuration that works. A clock has room above `start`: see [`Physical::LIMIT`].
pub(crate) struct Settings {
    pub(crate) max_drift: Duration,
    pub(crate) jump_threshold: Duration,
    pub(crate) start: Timestamp,
    pub(crate) on_jump: Listener,
    pub(crate) name: Option<Arc<str>>,
}

pub(crate) fn require_drift(max_drift: Duration) -> Result<(), ConfigError> {
    let fits = (Duration::from_millis(1)..=DAY).contains(&max_drift);
    ConfigError::require(fits, "max_drift", max_drift, "from 1 ms to a day")
}

pub(crate) fn require_start(start_after: Timestamp) -> Result<(), ConfigError> {
    let fits = start_after.physical() <= beyond_limit(30 * DAY);
    ConfigError::require(fits, "start_after", start_after, "at most 30 days above Physical::LIMIT")
}

/// Above every mark: 30 days above where a clock may begin, so that it can begin above all that it
/// stores.
pub(crate) fn end_of_marks() -> Timestamp {
    beyond_limit(60 * DAY).into()
}

fn beyond_limit(by: Duration) -> Physical {
    Physical::LIMIT.plus_grains(Physical::grains_in(by))
}

impl Default for HlcConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HlcConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlcConfig")
            .field("max_drift", &self.max_drift)
            .field("jump_threshold", &self.jump_threshold)
            .field("start_after", &self.start_after)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
