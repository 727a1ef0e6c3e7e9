//! What can happen to a process or a link, and when.

use std::{
    num::NonZeroU64,
    ops::{Range, RangeBounds},
    sync::Arc,
    time::Duration,
};

use steadfast_core::ConfigError;

use crate::{
    Delay,
    rule::{LONGER, NOT_EMPTY, stretch},
};

/// How a process or a link fails, for as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureMode {
    /// A process that stands still: it keeps its connections and answers nothing, until it goes on.
    Paused,
    /// A process that is gone: its connections break and new ones are refused, until it is started
    /// again.
    Killed,
    /// A link that is cut: connections are reset, and new ones refused.
    Cut,
    /// A link on which nothing arrives, and neither end is told. What was sent arrives when it is
    /// over, as TCP sends it again.
    BlackHole {
        /// Which way. `None`: both.
        direction: Option<Direction>,
    },
    /// A link on which everything is under way for so much longer.
    Delayed {
        /// How much.
        delay: Delay,
        /// Which way. `None`: each way.
        direction: Option<Direction>,
    },
    /// A link that carries no more than so much.
    Limited {
        /// How much.
        bytes_per_second: NonZeroU64,
        /// Which way. `None`: each way.
        direction: Option<Direction>,
    },
}

/// One way of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server: requests.
    Upstream,
    /// From the server to the client: replies.
    Downstream,
}

/// What happens to one process or link, once or again and again.
#[derive(Clone, Debug)]
#[must_use]
pub struct Outage {
    pub(crate) target: Arc<str>,
    pub(crate) mode: FailureMode,
    pub(crate) schedule: Schedule,
}

#[derive(Clone, Debug)]
pub(crate) enum Schedule {
    Once(Range<Duration>),
    AtRandom { mean_up: Duration, mean_down: Duration, until: Duration },
}

/// The times of random outages are whole milliseconds: for a person to read.
const GRAIN: Duration = Duration::from_millis(1);
/// A bound for the length of a timeline: so many mean times.
const MOST_OUTAGES: u32 = 100_000;
/// No timeline is so long: where 100,000 are due, the deviation is 316.
pub(crate) const TOO_MANY_OUTAGES: u32 = 2 * MOST_OUTAGES;

impl Outage {
    /// What is called `target` fails in this way, from the beginning on and without an end. Not
    /// empty.
    pub fn new(target: impl Into<Arc<str>>, mode: FailureMode) -> Self {
        let schedule = Schedule::Once(Duration::ZERO..Duration::MAX);
        Self { target: target.into(), mode, schedule }
    }

    /// Once, in this stretch of the timeline. Not empty.
    pub fn during(mut self, during: impl RangeBounds<Duration>) -> Self {
        self.schedule = Schedule::Once(stretch(&during));
        self
    }

    /// Again and again, by the plan's seed: up at the beginning, and from then on up for `mean_up`
    /// and down for `mean_down` in the mean, `until` all is over. Both lengths are exponential, in
    /// whole milliseconds of at least one. The means are a millisecond or more, and `until` is at
    /// most 100,000 times their sum.
    pub fn at_random(mut self, mean_up: Duration, mean_down: Duration, until: Duration) -> Self {
        self.schedule = Schedule::AtRandom { mean_up, mean_down, until };
        self
    }

    /// What it happens to.
    #[must_use]
    pub fn target(&self) -> &Arc<str> {
        &self.target
    }

    /// What happens.
    #[must_use]
    pub const fn mode(&self) -> FailureMode {
        self.mode
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { target, mode, schedule } = self;
        let refuse = |field, value: &dyn std::fmt::Debug, must| {
            ConfigError::new(field, format_args!("{value:?} (outage of {target:?})"), must)
        };
        if target.is_empty() {
            return Err(ConfigError::new("target", target, "not empty"));
        }
        if let FailureMode::Delayed { delay, .. } = mode
            && delay.is_zero()
        {
            return Err(refuse("delay", &delay.least, LONGER));
        }
        match schedule {
            Schedule::Once(during) if during.is_empty() => Err(refuse("during", during, NOT_EMPTY)),
            Schedule::Once(_) => Ok(()),
            Schedule::AtRandom { mean_up, .. } if *mean_up < GRAIN => {
                Err(refuse("mean_up", mean_up, "a millisecond or more"))
            }
            Schedule::AtRandom { mean_down, .. } if *mean_down < GRAIN => {
                Err(refuse("mean_down", mean_down, "a millisecond or more"))
            }
            Schedule::AtRandom { mean_up, mean_down, until } => {
                let mean = mean_up.saturating_add(*mean_down).as_nanos();
                if until.is_zero() || until.as_nanos() > mean.saturating_mul(MOST_OUTAGES.into()) {
                    return Err(refuse(
                        "until",
                        until,
                        "after the beginning, and at most 100,000 mean times",
                    ));
                }
                Ok(())
            }
        }
    }

    /// Whether both would be on at once where only one can be.
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        let (a, b) = (self.stretch(), other.stretch());
        self.target == other.target
            && self.mode.excludes(other.mode)
            && a.start < b.end
            && b.start < a.end
    }

    pub(crate) fn clash(&self, earlier: &Self) -> ConfigError {
        let (field, stretch, target) = (self.schedule.field(), self.stretch(), &self.target);
        let beside = (earlier.mode.name(), earlier.stretch());
        let value = format_args!("{stretch:?} (outage of {target:?}, beside {beside:?})");
        ConfigError::new(field, value, "apart from the other outages that exclude it")
    }

    /// From its first moment to its last.
    pub(crate) fn stretch(&self) -> Range<Duration> {
        match &self.schedule {
            Schedule::Once(during) => during.clone(),
            Schedule::AtRandom { until, .. } => Duration::ZERO..*until,
        }
    }
}

impl Schedule {
    /// The setter that says how long it lasts.
    const fn field(&self) -> &'static str {
        match self {
            Self::Once(_) => "during",
            Self::AtRandom { .. } => "until",
        }
    }
}

impl FailureMode {
    /// What it is called in plan files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Killed => "killed",
            Self::Cut => "cut",
            Self::BlackHole { .. } => "black_hole",
            Self::Delayed { .. } => "delayed",
            Self::Limited { .. } => "limited",
        }
    }

    /// Which way it fails. `None`: as a whole.
    #[must_use]
    pub const fn direction(&self) -> Option<Direction> {
        match *self {
            Self::Paused | Self::Killed | Self::Cut => None,
            Self::BlackHole { direction }
            | Self::Delayed { direction, .. }
            | Self::Limited { direction, .. } => direction,
        }
    }

    /// A process is in one mode at a time; a way of a link is in each mode once at a time.
    fn excludes(self, other: Self) -> bool {
        let both_of_a_process =
            [self, other].iter().all(|mode| matches!(mode, Self::Paused | Self::Killed));
        let one_way = match (self.direction(), other.direction()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        both_of_a_process || self.name() == other.name() && one_way
    }
}

impl Direction {
    /// What it is called in plan files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }
}

#[cfg(test)]
mod tests;
