//! Configuration: plain data, refused where it cannot work.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use steadfast_core::{Backoff, ConfigError, Jitter, Ratio, TimeSource, parts::Buckets};

use crate::{probes::Probes, rules::Rules};

/// When a circuit opens, for how long, and how it finds out that it may close.
///
/// The defaults, and why:
///
/// | field | default | reason |
/// |---|---|---|
/// | window | the last 100 calls | exact, needs no clock, and reacts as fast as traffic comes |
/// | failure ratio | 50 % | a service that fails half of its calls is not serving; a lower limit trips on a bad release of one route |
/// | slow calls, consecutive failures | off | they need a figure only the user knows |
/// | minimum of calls | 20 | below it one failure weighs more than 5 % |
/// | open time | 5 s, doubling to 60 s, equal jitter | long enough for a process to restart; replicas of a client do not come back in step |
/// | probes | 3, of which 2 must succeed | the same majority the failure ratio asks for, decided after at most three calls |
/// | probe limit | 10 s | a probe that hangs longer is a failure |
/// | throttling | counts as failure; does not fail a probe | an answer of 429 says that the service is there |
/// | when open | refuse in `call` | works everywhere; see [`OnOpen`] for balancers |
/// | time source | tokio's clock | paused tests and simulators work as they are |
#[derive(Clone, Debug)]
#[must_use]
pub struct BreakerConfig {
    pub(crate) name: Arc<str>,
    window: WindowChoice,
    failure_ratio: Option<Ratio>,
    slow: Option<(Duration, Ratio)>,
    consecutive_failures: Option<NonZeroU32>,
    minimum_calls: u32,
    pub(crate) open_time: Backoff,
    probes: (u32, u32),
    pub(crate) probe_limit: Duration,
    pub(crate) throttled_fails_probe: bool,
    pub(crate) on_open: OnOpen,
    pub(crate) time_source: TimeSource,
    pub(crate) seed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum WindowChoice {
    Count(u32),
    Time(Duration, u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum WindowConfig {
    Count(NonZeroU32),
    Time(Buckets),
}

/// What a service does while its circuit is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOpen {
    /// It is ready, and refuses each call at once with [`CircuitOpen`](crate::CircuitOpen).
    #[default]
    Refuse,
    /// It is not ready while the circuit is open or all its probes are under way, so that a balancer sends requests elsewhere. Admission
    /// is still decided in `call`: when the open time is over several handles become ready, and those that find the
    /// probes taken are refused. Never use it on a full stop: callers would wait out the open time in `poll_ready`.
    NotReady,
}

/// Larger windows answer no question: at a million calls, 1 % is ten thousand failures.
const LARGEST_COUNT: u32 = 1_000_000;
const LONGEST_PROBE: Duration = Duration::from_secs(24 * 3600);

impl BreakerConfig {
    /// The defaults.
    pub fn new() -> Self {
        let open_time = Backoff::exponential(Duration::from_secs(5), Duration::from_secs(60));
        Self {
            name: "default".into(),
            window: WindowChoice::Count(100),
            failure_ratio: Some(Ratio::HALF),
            slow: None,
            consecutive_failures: None,
            minimum_calls: 20,
            open_time: open_time.expect("5 s is above zero and below 60 s").with_jitter(Jitter::Equal),
            probes: (3, 2),
            probe_limit: Duration::from_secs(10),
            throttled_fails_probe: false,
            on_open: OnOpen::Refuse,
            time_source: TimeSource::Tokio,
            seed: None,
        }
    }

    /// Names the circuit in metrics and events. Not a place for secrets or for anything unbounded.
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Judges by the last `size` calls, exactly.
    pub fn count_window(self, size: u32) -> Self {
        Self { window: WindowChoice::Count(size), ..self }
    }

    /// Judges by the calls of the last `length`, in `buckets` steps.
    pub fn time_window(self, length: Duration, buckets: u32) -> Self {
        Self { window: WindowChoice::Time(length, buckets), ..self }
    }

    /// Opens when this share of the calls in the window failed. `None` switches the rule off.
    pub fn failure_ratio(self, ratio: impl Into<Option<Ratio>>) -> Self {
        Self { failure_ratio: ratio.into(), ..self }
    }

    /// Opens when this share of the calls in the window took strictly longer than `longer_than`.
    ///
    /// A call that is dropped after that time counts as slow, and a slow probe has failed. Costs two clock reads a call.
    pub fn slow_calls(self, longer_than: Duration, ratio: Ratio) -> Self {
        Self { slow: Some((longer_than, ratio)), ..self }
    }

    /// Opens after this many failures in a row, whatever the minimum of calls.
    pub fn consecutive_failures(self, limit: NonZeroU32) -> Self {
        Self { consecutive_failures: Some(limit), ..self }
    }

    /// No ratio is judged before the window holds this many calls.
    pub fn minimum_calls(self, minimum: u32) -> Self {
        Self { minimum_calls: minimum, ..self }
    }

    /// How long the circuit stays open: longer each time it opens again, from the start once it has closed.
    pub fn open_time(self, backoff: Backoff) -> Self {
        Self { open_time: backoff, ..self }
    }

    /// Half-open, `number` probes pass, and the circuit closes when `required` of them have succeeded.
    pub fn probes(self, number: u32, required: u32) -> Self {
        Self { probes: (number, required), ..self }
    }

    /// A probe that is still under way after this time has failed.
    pub fn probe_limit(self, limit: Duration) -> Self {
        Self { probe_limit: limit, ..self }
    }

    /// Whether a throttled probe has failed. Throttled calls always count against the failure ratio.
    pub fn throttled_fails_probe(self, fails: bool) -> Self {
        Self { throttled_fails_probe: fails, ..self }
    }

    /// What the service does while the circuit is open.
    pub fn on_open(self, on_open: OnOpen) -> Self {
        Self { on_open, ..self }
    }

    /// Which clock is read. The coarse one suits time windows with buckets of 100 ms and more, not slow-call limits of a
    /// few milliseconds.
    pub fn time_source(self, time_source: TimeSource) -> Self {
        Self { time_source, ..self }
    }

    /// Makes the jitter of the open time repeatable.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    pub(crate) fn window_config(&self) -> Result<WindowConfig, ConfigError> {
        match self.window {
            WindowChoice::Count(size) => match NonZeroU32::new(size) {
                Some(nonzero) if size <= LARGEST_COUNT => Ok(WindowConfig::Count(nonzero)),
                _ => Err(ConfigError::new("count_window", size, "from 1 to 1000000")),
            },
            WindowChoice::Time(length, buckets) => {
                Buckets::new(length, buckets).map(WindowConfig::Time).map_err(|error| error.in_field("time_window"))
            }
        }
    }

    pub(crate) fn rules(&self, window: WindowConfig) -> Result<Rules, ConfigError> {
        let minimum = self.minimum_calls;
        ConfigError::require(minimum > 0, "minimum_calls", minimum, "at least 1")?;
        if let WindowConfig::Count(size) = window {
            ConfigError::require(minimum <= size.get(), "minimum_calls", minimum, "at most the size of the window")?;
        }
        let any = self.failure_ratio.is_some() || self.slow.is_some() || self.consecutive_failures.is_some();
        ConfigError::require(
            any,
            "failure_ratio",
            self.failure_ratio,
            "set, or another rule that can open the circuit",
        )?;
        Ok(Rules {
            failure_ratio: self.failure_ratio,
            slow_ratio: self.slow.map(|(_, ratio)| ratio),
            consecutive_failures: self.consecutive_failures,
            minimum_calls: minimum.into(),
        })
    }

    pub(crate) fn checked_probes(&self) -> Result<Probes, ConfigError> {
        let (number, required) = self.probes;
        ConfigError::require(
            required >= 1 && required <= number,
            "probes",
            self.probes,
            "at least 1 required, of at least as many",
        )?;
        ConfigError::require(number <= LARGEST_COUNT, "probes", self.probes, "at most 1000000")?;
        Ok(Probes { number, required })
    }

    pub(crate) fn check_times(&self) -> Result<(), ConfigError> {
        let (cap, limit) = (self.open_time.cap(), self.probe_limit);
        let slow = self.slow.is_none_or(|(longer_than, _)| !longer_than.is_zero());
        ConfigError::require(slow, "slow_calls", self.slow, "longer than zero")?;
        ConfigError::require(!cap.is_zero(), "open_time", cap, "above zero")?;
        let probe_limit = limit > Duration::ZERO && limit <= LONGEST_PROBE;
        ConfigError::require(probe_limit, "probe_limit", limit, "above zero and at most 24 h")
    }

    pub(crate) fn slow_after(&self) -> Option<Duration> {
        self.slow.map(|(longer_than, _)| longer_than)
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self::new()
    }
}
