//! Configuration: plain data, checked once.

mod check;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use steadfast_core::{Ratio, TimeSource, parts::Buckets};

use crate::{open_time::OpenTime, probes::Probes, rules::TripRules};

/// When a circuit opens, for how long, and how it finds out that it may close.
///
/// The defaults, and why:
///
/// | field | default | reason |
/// |---|---|---|
/// | window | the last 100 calls | exact, needs no clock, and reacts as fast as traffic comes |
/// | failure ratio | 50 % | a service that fails half of its calls is not serving; a lower limit trips on a bad release of one route |
/// | consecutive failures | 10 that span at least half a second, beside the ratio | a window full of successes hides silence, the more so with few callers. Chance hardly ever makes ten in a row, and a pause of 0.2 s does not fill the span: `docs/choosing-numbers.md` has the figures |
/// | slow calls | off | they need a figure only the user knows |
/// | minimum of calls | 20 | below it one failure weighs more than 5 % |
/// | open time | 5 s, doubling to 60 s, drawn from the upper half | longer than the 2 s for which a retry waits, so that a circuit that has just opened fails its callers fast, and only its last 2 s hold those that retry; replicas of a client do not come back in step. A first one of 1 s refuses fewer calls in vain after short outages: `docs/choosing-numbers.md` has the figures |
/// | probes | 3, of which 2 must succeed | the same majority the failure ratio asks for, decided after at most three calls |
/// | probe limit | 10 s | a probe that hangs longer is one that failed |
/// | horizon | 5 s, or half of the probe limit or of a time window where that is shorter | long enough for most answers to end, and a round of probes over streams that never do is decided in seconds |
/// | throttling | counts as failure; does not fail a probe | an answer of 429 says that the service is there |
/// | when open | refuse in `call` | works everywhere; see [`OnOpen`] for balancers |
/// | time source | tokio's clock | paused tests and simulators work as they are |
#[derive(Clone, Debug)]
#[must_use]
pub struct CircuitConfig {
    pub(crate) name: Arc<str>,
    window: WindowChoice,
    failure_ratio: Option<Ratio>,
    slow_calls: Option<(Duration, Ratio)>,
    consecutive_failures: ConsecutiveChoice,
    consecutive_span: Option<Duration>,
    minimum_calls: NonZeroU32,
    open_time: OpenTime,
    probes: (NonZeroU32, NonZeroU32),
    probe_limit: Duration,
    horizon: Option<Duration>,
    throttled_fails_probe: bool,
    on_open: OnOpen,
    time_source: TimeSource,
    pub(crate) seed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum WindowChoice {
    Count(NonZeroU32),
    Time(Duration, u32),
}

/// A user's own limit has no span unless one is set, in whatever order the two are.
#[derive(Clone, Copy, Debug)]
enum ConsecutiveChoice {
    Default,
    Own(Option<NonZeroU32>),
}

/// What a service does while its circuit is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOpen {
    /// It is ready, and refuses each call at once with [`CircuitOpen`](crate::CircuitOpen).
    #[default]
    Refuse,
    /// It is not ready while the circuit is open or all its probes are under way, so that a
    /// balancer sends requests elsewhere. Admission is still decided in `call`: when the open time
    /// is over several handles become ready, and those that find the probes taken are refused.
    /// Never use it on a full stop: callers would wait out the open time in `poll_ready`. Not for
    /// circuits by key: readiness is asked before the key is known.
    NotReady,
}

/// Larger windows answer no question: at a million calls, 1 % is ten thousand failures.
const LARGEST_COUNT: u32 = 1_000_000;
/// No call that takes longer is waited for.
const LONGEST_CALL: Duration = Duration::from_secs(24 * 3600);
/// In a million calls of which 30 % fail, each for itself, ten in a row are to be expected four
/// times.
const CONSECUTIVE: NonZeroU32 = NonZeroU32::new(10).expect("ten is above 0");
/// At 100 calls a second: as long as the ratio takes to open, which needs 50 failures of 100.
const CONSECUTIVE_SPAN: Duration = Duration::from_millis(500);
/// Most answers have ended by then. Half of the default probe limit.
const HORIZON: Duration = Duration::from_secs(5);
/// Calls that failed longer ago say nothing about now.
const LONGEST_SPAN: Duration = Duration::from_secs(24 * 3600);

impl CircuitConfig {
    /// The defaults.
    pub fn new() -> Self {
        const fn count(number: u32) -> NonZeroU32 {
            NonZeroU32::new(number).expect("the defaults are above 0")
        }
        let open_time = OpenTime::exponential(Duration::from_secs(5), Duration::from_secs(60));
        Self {
            name: "default".into(),
            window: WindowChoice::Count(count(100)),
            failure_ratio: Some(Ratio::HALF),
            slow_calls: None,
            consecutive_failures: ConsecutiveChoice::Default,
            consecutive_span: None,
            minimum_calls: count(20),
            open_time: open_time.expect("5 s is above zero and below 60 s"),
            probes: (count(3), count(2)),
            probe_limit: Duration::from_secs(10),
            horizon: None,
            throttled_fails_probe: false,
            on_open: OnOpen::Refuse,
            time_source: TimeSource::Tokio,
            seed: None,
        }
    }

    /// Names the circuit in metrics and events. Not a place for secrets or for anything unbounded.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Judges by the last `size` calls, exactly. At most 1,000,000.
    pub const fn count_window(mut self, size: NonZeroU32) -> Self {
        self.window = WindowChoice::Count(size);
        self
    }

    /// Judges by the calls of the last `length`, in 1 to 1024 `buckets` of 1 ms to 24 h each.
    pub const fn time_window(mut self, length: Duration, buckets: u32) -> Self {
        self.window = WindowChoice::Time(length, buckets);
        self
    }

    /// Opens when this share of the calls in the window failed. `None` switches the rule off. Zero
    /// opens at the first failure once the minimum of calls is there.
    pub fn failure_ratio(mut self, ratio: impl Into<Option<Ratio>>) -> Self {
        self.failure_ratio = ratio.into();
        self
    }

    /// Opens when this share of the calls in the window took strictly longer than `longer_than` >
    /// 0.
    ///
    /// A call dropped or ignored after that time counts as slow, a slow probe has failed. At most
    /// 24 h. Reads the clock twice.
    pub const fn slow_calls(mut self, longer_than: Duration, ratio: Ratio) -> Self {
        self.slow_calls = Some((longer_than, ratio));
        self
    }

    /// Opens after this many failures in a row (at most 1,000,000), whatever the minimum of calls
    /// and the window. `None` switches the rule off.
    ///
    /// Calls that say nothing of the service do not end the row. A limit that is set has no span
    /// unless [`consecutive_span`](Self::consecutive_span) sets one, too.
    pub fn consecutive_failures(mut self, limit: impl Into<Option<NonZeroU32>>) -> Self {
        self.consecutive_failures = ConsecutiveChoice::Own(limit.into());
        self
    }

    /// Failures in a row open only once the last of them ended this long after the first. Half a
    /// second with the default limit, otherwise zero; at most 24 h.
    ///
    /// With a span a pause of the service that is shorter does not open the circuit, however many
    /// calls fail in it. Silence is then found after the span at the earliest.
    pub const fn consecutive_span(mut self, span: Duration) -> Self {
        self.consecutive_span = Some(span);
        self
    }

    /// No ratio is judged before the window holds this many calls, at most a count window's size.
    ///
    /// What a time window holds is up to the traffic: where fewer calls than this *end* within its
    /// length, no ratio ever opens the circuit. That is so of the quietest hour, and of a service
    /// that hangs: four callers and a timeout of 5 s end eight calls in ten seconds. Failures in a
    /// row open it all the same.
    pub const fn minimum_calls(mut self, minimum: NonZeroU32) -> Self {
        self.minimum_calls = minimum;
        self
    }

    /// How long the circuit stays open: in growing steps, from the first once it has closed.
    /// [`OpenTime`] says what holds.
    pub const fn open_time(mut self, open_time: OpenTime) -> Self {
        self.open_time = open_time;
        self
    }

    /// Half-open, `number` probes (at most 1,000,000) pass, and `required` successes close.
    pub const fn probes(mut self, number: NonZeroU32, required: NonZeroU32) -> Self {
        self.probes = (number, required);
        self
    }

    /// A probe that is still under way after this time is one failed probe, whatever becomes of it
    /// later; the others go on. Above zero, and at most 24 h.
    ///
    /// Shorter than the service's answers, and the circuit never closes again.
    pub const fn probe_limit(mut self, limit: Duration) -> Self {
        self.probe_limit = limit;
        self
    }

    /// For how long after its head an answer can still fail, where the end of its body is judged
    /// too: see [`Permit::answered`](crate::Permit::answered). Above zero, and below the probe
    /// limit and the length of a time window. Unless it is set it is 5 s, or half of one of those
    /// where that is shorter.
    ///
    /// A probe waits for its end for as long, then its head counts: the probe limit is that of its
    /// head.
    pub const fn horizon(mut self, horizon: Duration) -> Self {
        self.horizon = Some(horizon);
        self
    }

    /// Whether a throttled probe has failed. Throttled calls always count as failures.
    pub const fn throttled_fails_probe(mut self, fails: bool) -> Self {
        self.throttled_fails_probe = fails;
        self
    }

    /// What the service does while the circuit is open.
    pub const fn on_open(mut self, on_open: OnOpen) -> Self {
        self.on_open = on_open;
        self
    }

    /// Which clock is read. The coarse one suits time windows with buckets of 100 ms and more, not
    /// slow-call limits of a few milliseconds.
    pub const fn time_source(mut self, time_source: TimeSource) -> Self {
        self.time_source = time_source;
        self
    }

    /// Makes the jitter of the open time repeatable.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Default for CircuitConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A configuration that was checked: nothing made of it fails. Durations are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) window: WindowConfig,
    pub(crate) rules: TripRules,
    pub(crate) slow_after: Option<u64>,
    pub(crate) open_time: OpenTime,
    pub(crate) probes: Probes,
    pub(crate) probe_limit: u64,
    pub(crate) horizon: u64,
    pub(crate) throttled_fails_probe: bool,
    pub(crate) on_open: OnOpen,
    pub(crate) time_source: TimeSource,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum WindowConfig {
    Count(NonZeroU32),
    Time(Buckets),
}

/// Limits are at most a year, where configuration bounds them, and 584 years otherwise.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
