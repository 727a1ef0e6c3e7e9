//! A limit that is changed while calls go through it.

use std::sync::Arc;

use steadfast_core::{
    ConfigError, Reconfigure,
    parts::{Striped, lock},
};

use crate::{
    TimeLimit,
    config::{Kind, LimitConfig, Rule, Settings},
    shared::{CLOCK, Estimator, Shared},
};

impl TimeLimit {
    /// Goes on with another configuration of the same rule: of this limit and of all its clones,
    /// the layers and services that hold one among them. Checked first; all of it, or nothing.
    ///
    /// What was learned stays. A peak that is held is cut to the new ceiling. Calls under way keep
    /// the limit that they were given, and explorations the end that they were given. Calls that
    /// begin meanwhile are given a limit by the old numbers, the new ones, or some of each; it lies
    /// between the lesser of both floors and the greater of both ceilings. A name that is left out
    /// is the limit's own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_timeout::{LimitConfig, TimeLimit};
    ///
    /// let adaptive = |ceiling| LimitConfig::quantile(Duration::from_millis(10), ceiling);
    /// let limit = TimeLimit::new(adaptive(Duration::from_secs(5)).named("stock"))?;
    /// limit.reconfigure(adaptive(Duration::from_millis(500)).factor(3.0))?;
    /// assert_eq!(limit.limit(), Duration::from_millis(500), "the cold start, within the bounds");
    ///
    /// let error = limit.reconfigure(LimitConfig::fixed(Duration::from_secs(1))).unwrap_err();
    /// assert_eq!(error.field, "rule");
    /// # Ok::<_, steadfast_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new), and where the change would be one of the rule, of `window`, of
    /// `explore` or of the name, which a limit keeps for as long as it is there.
    pub fn reconfigure(&self, config: impl Into<LimitConfig>) -> Result<(), ConfigError> {
        let applied = self.shared.reconfigure(&config.into());
        self.shared.telemetry.reconfigured(applied.is_ok());
        // The gauge follows with the next call, but for a limit that has no end now.
        if self.shared.is_endless() {
            self.shared.show(CLOCK.now());
        }
        applied
    }

    /// The configuration as it is now.
    pub fn config(&self) -> LimitConfig {
        self.shared.config()
    }
}

impl Reconfigure for TimeLimit {
    type Config = LimitConfig;

    fn reconfigure(&self, config: LimitConfig) -> Result<(), ConfigError> {
        Self::reconfigure(self, config)
    }

    fn config(&self) -> LimitConfig {
        self.config()
    }

    fn another(&self) -> Self {
        let config = self.config();
        let settings = config.check().expect("it was checked when the limit was given it");
        let telemetry = Arc::clone(&self.shared.telemetry);
        Self { shared: Striped::single(|_| Shared::new(config, settings, telemetry)) }
    }

    fn follow(&self, pattern: &Self) {
        let followed = self.shared.reconfigure(&pattern.config());
        debug_assert!(followed.is_ok(), "handles of one pattern have one rule: {followed:?}");
    }
}

impl Shared {
    fn config(&self) -> LimitConfig {
        lock(&self.config).clone()
    }

    fn reconfigure(&self, next: &LimitConfig) -> Result<(), ConfigError> {
        // Held to the end, so that of two changes at once one comes after the other as a whole.
        let mut current = lock(&self.config);
        let (next, settings) = current.changed_to(next)?;
        match (&self.estimator, settings) {
            (Estimator::Fixed(fixed), Settings::Fixed(limit)) => fixed.set(limit),
            (Estimator::Multiple(multiple, ticks, _), Settings::Multiple(rule, _)) => {
                multiple.change(ticks.at(CLOCK.now()), rule);
            }
            (Estimator::Rfc6298(rfc), Settings::Rfc6298(rule)) => {
                rfc.change(rule.bounds, rule.granularity, rule.cold_start());
            }
            // Refused before.
            _ => {}
        }
        *current = next;
        Ok(())
    }
}

impl LimitConfig {
    /// `next` with this name, checked: by itself, and as what this configuration is changed to.
    fn changed_to(&self, next: &Self) -> Result<(Self, Settings), ConfigError> {
        let settings = next.check()?;
        let rule = "the kind of rule that the limit was made with";
        let is_same = self.rule.kind() == next.rule.kind();
        ConfigError::require(is_same, "rule", next.rule.kind(), rule)?;
        if let (Rule::Multiple(before), Rule::Multiple(after)) = (self.rule, next.rule) {
            let rule = "what the limit was made with";
            let [before_window, window] = [before, after].map(|rule| rule.estimate.window);
            ConfigError::require(before_window == window, "window", window, rule)?;
            ConfigError::require(before.explore == after.explore, "explore", after.explore, rule)?;
        }
        if let Some(name) = &next.name {
            let is_same = self.name.as_ref() == Some(name);
            ConfigError::require(is_same, "named", name, "the limit's own name, or left out")?;
        }
        Ok((Self { rule: next.rule, name: self.name.clone() }, settings))
    }
}

impl Rule {
    /// The constructor's name.
    const fn kind(self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Multiple(rule) => match rule.kind {
                Kind::Quantile(_) => "quantile",
                Kind::Ewma { .. } => "ewma",
            },
            Self::Rfc6298(_) => "rfc6298",
        }
    }
}
