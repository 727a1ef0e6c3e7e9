//! Where a configuration is refused, and a change of one.

use std::{fmt, time::Duration};

use steadfast_core::{ConfigError, parts::Buckets};

use super::{
    CONSECUTIVE, CONSECUTIVE_SPAN, CircuitConfig, ConsecutiveChoice, HORIZON, LARGEST_COUNT,
    LONGEST_CALL, LONGEST_SPAN, Settings, WindowChoice, WindowConfig, nanos,
};
use crate::{
    probes::Probes,
    rules::{ConsecutiveFailures, TripRules},
};

impl CircuitConfig {
    /// The one place where a configuration is refused.
    pub(crate) fn check(&self) -> Result<Settings, ConfigError> {
        let (slow, limit) = (self.slow_calls, self.probe_limit);
        let window = self.window.check()?;
        let rules = self.check_rules(window)?;
        if let Some(slow) = slow {
            let within = !slow.0.is_zero() && slow.0 <= LONGEST_CALL;
            ConfigError::require(within, "slow_calls", slow, "longer than zero and at most 24 h")?;
        }
        let (number, required) = (self.probes.0.get(), self.probes.1.get());
        ConfigError::require(
            required <= number,
            "probes",
            self.probes,
            "at least as many as are required",
        )?;
        ConfigError::require(number <= LARGEST_COUNT, "probes", self.probes, "at most 1000000")?;
        let within = limit > Duration::ZERO && limit <= LONGEST_CALL;
        ConfigError::require(within, "probe_limit", limit, "above zero and at most 24 h")?;
        Ok(Settings {
            window,
            rules,
            slow_after: slow.map(|(longer_than, _)| nanos(longer_than)),
            open_time: self.open_time,
            probes: Probes { number, required },
            probe_limit: nanos(limit),
            horizon: nanos(self.check_horizon()?),
            throttled_fails_probe: self.throttled_fails_probe,
            on_open: self.on_open,
            time_source: self.time_source,
        })
    }

    /// What a circuit cannot change while it runs is to be what it is in `current`: it was copied
    /// to where the circuit's lock is not taken, or what was counted could not be carried over.
    pub(crate) fn check_change(&self, current: &Self) -> Result<(), ConfigError> {
        const RULE: &str = "as it was when the circuit was made";
        let same = |is_same, field, value: &dyn fmt::Debug| {
            ConfigError::require(is_same, field, value, RULE)
        };
        same(self.name == current.name, "named", &self.name)?;
        match (self.window, current.window) {
            (WindowChoice::Count(_), WindowChoice::Count(_)) => {}
            (WindowChoice::Count(size), WindowChoice::Time(..)) => {
                same(false, "count_window", &size)?;
            }
            (WindowChoice::Time(length, buckets), current) => {
                let is_same =
                    matches!(current, WindowChoice::Time(l, b) if (l, b) == (length, buckets));
                same(is_same, "time_window", &(length, buckets))?;
            }
        }
        same(self.on_open == current.on_open, "on_open", &self.on_open)?;
        same(self.time_source == current.time_source, "time_source", &self.time_source)?;
        same(self.seed == current.seed, "seed", &self.seed)
    }

    fn check_rules(&self, window: WindowConfig) -> Result<TripRules, ConfigError> {
        let minimum = self.minimum_calls;
        if let WindowConfig::Count(size) = window {
            ConfigError::require(
                minimum <= size,
                "minimum_calls",
                minimum,
                "at most the size of the window",
            )?;
        }
        let consecutive = self.check_consecutive()?;
        let any =
            self.failure_ratio.is_some() || self.slow_calls.is_some() || consecutive.is_some();
        let rule = "set, or another rule that can open the circuit";
        ConfigError::require(any, "failure_ratio", self.failure_ratio, rule)?;
        Ok(TripRules {
            failure_ratio: self.failure_ratio,
            slow_ratio: self.slow_calls.map(|(_, ratio)| ratio),
            consecutive_failures: consecutive,
            minimum_calls: minimum.get().into(),
        })
    }

    fn check_horizon(&self) -> Result<Duration, ConfigError> {
        let window = match self.window {
            WindowChoice::Time(length, _) => length,
            WindowChoice::Count(_) => Duration::MAX,
        };
        let Some(horizon) = self.horizon else {
            return Ok(HORIZON.min(self.probe_limit / 2).min(window / 2));
        };
        let within = !horizon.is_zero() && horizon < self.probe_limit;
        let rule = "above zero and below the probe limit";
        ConfigError::require(within, "horizon", horizon, rule)?;
        let rule = "below the length of the time window";
        ConfigError::require(horizon < window, "horizon", horizon, rule)?;
        Ok(horizon)
    }

    fn check_consecutive(&self) -> Result<Option<ConsecutiveFailures>, ConfigError> {
        let (limit, span) = match self.consecutive_failures {
            ConsecutiveChoice::Default => (Some(CONSECUTIVE), CONSECUTIVE_SPAN),
            ConsecutiveChoice::Own(limit) => (limit, Duration::ZERO),
        };
        let span = self.consecutive_span.unwrap_or(span);
        let within = span <= LONGEST_SPAN;
        ConfigError::require(within, "consecutive_span", span, "at most 24 h")?;
        let Some(limit) = limit else {
            let unset = self.consecutive_span.is_none();
            let rule = "unset where consecutive failures do not open the circuit";
            ConfigError::require(unset, "consecutive_span", span, rule)?;
            return Ok(None);
        };
        let within = limit.get() <= LARGEST_COUNT;
        ConfigError::require(within, "consecutive_failures", limit, "at most 1000000")?;
        Ok(Some(ConsecutiveFailures { limit, span: nanos(span) }))
    }
}

impl WindowChoice {
    fn check(self) -> Result<WindowConfig, ConfigError> {
        match self {
            Self::Count(size) => {
                ConfigError::require(
                    size.get() <= LARGEST_COUNT,
                    "count_window",
                    size,
                    "at most 1000000",
                )?;
                Ok(WindowConfig::Count(size))
            }
            Self::Time(length, buckets) => Buckets::new(length, buckets)
                .map(WindowConfig::Time)
                .map_err(|error| error.in_field("time_window")),
        }
    }
}
