//! The tables of a plan file, and what they say.

use std::{num::NonZeroU64, ops::Range, time::Duration};

use serde::{Deserialize, Deserializer, de};
use steadfast_core::ConfigError;
use toml::Spanned;

use crate::{
    Delay, Direction, FailureMode, Fault, FaultKind, Outage, Rule,
    file::values::{Bounds, Length},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(default, rename = "rule")]
    pub(super) rules: Vec<Spanned<RuleTable>>,
    #[serde(default, rename = "outage")]
    pub(super) outages: Vec<Spanned<OutageTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleTable {
    name: Spanned<String>,
    #[serde(deserialize_with = "kind")]
    fault: FaultKind,
    delay: Option<Spanned<Length>>,
    jitter: Option<Spanned<Length>>,
    probability: Option<Spanned<f64>>,
    during: Option<Spanned<Bounds<Length>>>,
    requests: Option<Spanned<Bounds<u64>>>,
    every: Option<NonZeroU64>,
    burst: Option<Spanned<BurstTable>>,
    only: Option<String>,
    at_most: Option<NonZeroU64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BurstTable {
    enter: f64,
    leave: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutageTable {
    target: Spanned<String>,
    mode: Mode,
    direction: Option<Spanned<Way>>,
    delay: Option<Spanned<Length>>,
    jitter: Option<Spanned<Length>>,
    bytes_per_second: Option<Spanned<NonZeroU64>>,
    during: Option<Spanned<Bounds<Length>>>,
    at_random: Option<Spanned<RandomTable>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Paused,
    Killed,
    Cut,
    BlackHole,
    Delayed,
    Limited,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Upstream,
    Downstream,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RandomTable {
    mean_up: Length,
    mean_down: Length,
    until: Length,
}

impl RuleTable {
    pub(super) fn rule(&self) -> Result<Rule, ConfigError> {
        let mut rule = Rule::new(self.name.get_ref().as_str(), self.fault()?);
        if let Some(probability) = &self.probability {
            rule = rule.probability(*probability.get_ref());
        }
        if let Some(during) = &self.during {
            rule = rule.during(during.get_ref().times());
        }
        if let Some(requests) = &self.requests {
            let Bounds { from, until } = *requests.get_ref();
            rule = rule.requests(from.unwrap_or(0)..until.unwrap_or(u64::MAX));
        }
        if let Some(burst) = &self.burst {
            rule = rule.burst(burst.get_ref().enter, burst.get_ref().leave);
        }
        rule.every = self.every;
        rule.at_most = self.at_most;
        rule.only = self.only.as_deref().map(Into::into);
        Ok(rule)
    }

    fn fault(&self) -> Result<Fault, ConfigError> {
        let delay = || needed_delay(self.delay.as_ref(), self.jitter.as_ref());
        let fault = match self.fault {
            FaultKind::RequestLost => Fault::RequestLost,
            FaultKind::Queued => Fault::Queued(delay()?),
            FaultKind::CrashedBefore => Fault::CrashedBefore,
            FaultKind::Busy => Fault::Busy(delay()?),
            FaultKind::ReplyLost => Fault::ReplyLost,
            FaultKind::ReplyLate => Fault::ReplyLate(delay()?),
            FaultKind::Duplicated => Fault::Duplicated,
            FaultKind::Error => Fault::Error,
            FaultKind::BitFlipped => Fault::BitFlipped,
            FaultKind::BodyCut => Fault::BodyCut,
            FaultKind::SlowBody => Fault::SlowBody(delay()?),
            FaultKind::Byzantine => Fault::Byzantine,
        };
        if fault.delay().is_none() {
            const MUST: &str = "left out: this fault has no delay";
            unused("delay", self.delay.as_ref(), MUST)?;
            unused("jitter", self.jitter.as_ref(), MUST)?;
        }
        Ok(fault)
    }

    /// Where a field stands.
    pub(super) fn span(&self, field: &str) -> Option<Range<usize>> {
        match field {
            "name" => Some(self.name.span()),
            "delay" => span(self.delay.as_ref()).or_else(|| span(self.jitter.as_ref())),
            "jitter" => span(self.jitter.as_ref()),
            "probability" => span(self.probability.as_ref()),
            "during" => span(self.during.as_ref()),
            "requests" => span(self.requests.as_ref()),
            "enter" | "leave" => span(self.burst.as_ref()),
            _ => None,
        }
    }
}

impl OutageTable {
    pub(super) fn outage(&self) -> Result<Outage, ConfigError> {
        let outage = Outage::new(self.target.get_ref().as_str(), self.mode()?);
        match (&self.during, &self.at_random) {
            (None, None) => Ok(outage),
            (Some(during), None) => Ok(outage.during(during.get_ref().times())),
            (None, Some(random)) => {
                let RandomTable { mean_up, mean_down, until } = random.get_ref();
                Ok(outage.at_random(mean_up.0, mean_down.0, until.0))
            }
            (Some(during), Some(_)) => {
                let during = during.get_ref().times();
                Err(ConfigError::new("during", during, "left out: the outage is at_random"))
            }
        }
    }

    fn mode(&self) -> Result<FailureMode, ConfigError> {
        let direction = self.direction.as_ref().map(|way| match way.get_ref() {
            Way::Upstream => Direction::Upstream,
            Way::Downstream => Direction::Downstream,
        });
        let mode = match self.mode {
            Mode::Paused => FailureMode::Paused,
            Mode::Killed => FailureMode::Killed,
            Mode::Cut => FailureMode::Cut,
            Mode::BlackHole => FailureMode::BlackHole { direction },
            Mode::Delayed => {
                let delay = needed_delay(self.delay.as_ref(), self.jitter.as_ref())?;
                FailureMode::Delayed { delay, direction }
            }
            Mode::Limited => {
                let rate = self.bytes_per_second.as_ref().map(|rate| *rate.get_ref());
                let missing = || ConfigError::new("bytes_per_second", rate, "given");
                let bytes_per_second = rate.ok_or_else(missing)?;
                FailureMode::Limited { bytes_per_second, direction }
            }
        };
        const MUST: &str = "left out: the failure mode has none";
        if !matches!(mode, FailureMode::Delayed { .. }) {
            unused("delay", self.delay.as_ref(), MUST)?;
            unused("jitter", self.jitter.as_ref(), MUST)?;
        }
        if !matches!(mode, FailureMode::Limited { .. }) {
            unused("bytes_per_second", self.bytes_per_second.as_ref(), MUST)?;
        }
        if matches!(mode, FailureMode::Paused | FailureMode::Killed | FailureMode::Cut) {
            unused("direction", self.direction.as_ref(), MUST)?;
        }
        Ok(mode)
    }

    /// Where a field stands.
    pub(super) fn span(&self, field: &str) -> Option<Range<usize>> {
        match field {
            "target" => Some(self.target.span()),
            "direction" => span(self.direction.as_ref()),
            "delay" => span(self.delay.as_ref()).or_else(|| span(self.jitter.as_ref())),
            "jitter" => span(self.jitter.as_ref()),
            "bytes_per_second" => span(self.bytes_per_second.as_ref()),
            "during" => span(self.during.as_ref()),
            "mean_up" | "mean_down" | "until" => span(self.at_random.as_ref()),
            _ => None,
        }
    }
}

fn span<T>(field: Option<&Spanned<T>>) -> Option<Range<usize>> {
    field.map(Spanned::span)
}

fn needed_delay(
    delay: Option<&Spanned<Length>>,
    jitter: Option<&Spanned<Length>>,
) -> Result<Delay, ConfigError> {
    let least = delay.map(|least| least.get_ref().0);
    let least = least.ok_or_else(|| ConfigError::new("delay", least, "given"))?;
    Ok(Delay::of(least).jitter(jitter.map_or(Duration::ZERO, |jitter| jitter.get_ref().0)))
}

fn unused<T: std::fmt::Debug>(
    field: &'static str,
    value: Option<&Spanned<T>>,
    must: &'static str,
) -> Result<(), ConfigError> {
    value.map_or(Ok(()), |value| Err(ConfigError::new(field, value.get_ref(), must)))
}

fn kind<'de, D: Deserializer<'de>>(from: D) -> Result<FaultKind, D::Error> {
    let name = String::deserialize(from)?;
    FaultKind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        de::Error::custom(format_args!("no fault, which are {}", names.join(", ")))
    })
}
