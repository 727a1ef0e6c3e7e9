//! Changing the configuration of a circuit that runs.

use steadfast_core::ConfigError;

use super::Shared;
use crate::{
    config::{CircuitConfig, Settings, WindowConfig},
    state::State,
};

impl Shared {
    /// The configuration, as it was given last.
    pub(crate) fn config(&self) -> CircuitConfig {
        self.locked(|guarded| guarded.config.clone())
    }

    /// The same with what it comes to.
    pub(crate) fn configuration(&self) -> (CircuitConfig, Settings) {
        self.locked(|guarded| (guarded.config.clone(), guarded.settings))
    }

    /// For the bad end of an answer, which is rare.
    pub(super) fn horizon(&self) -> u64 {
        self.locked(|guarded| guarded.settings.horizon)
    }

    /// Takes another configuration over if it can be, and tells of it.
    pub(crate) fn reconfigure(&self, config: CircuitConfig) -> Result<(), ConfigError> {
        let checked = config.check().and_then(|settings| {
            config.check_change(&self.config())?;
            Ok(settings)
        });
        if let Ok(settings) = &checked {
            self.take_over(config, *settings);
        }
        self.telemetry.reconfigured(checked.is_ok());
        checked.map(drop)
    }

    /// Replaces the rules. State, epoch, counts, trips, the open time that was told and the probes
    /// under way stay; the next outcome is judged by the new ones.
    pub(crate) fn take_over(&self, config: CircuitConfig, settings: Settings) {
        let now = self.now();
        self.locked(|guarded| {
            let size = match settings.window {
                WindowConfig::Count(size) => Some(size),
                WindowConfig::Time(_) => None,
            };
            guarded.config = config;
            guarded.settings = settings;
            self.published.set_slow_after(settings.slow_after);
            if self.word().state() == State::Closed {
                let rules = &guarded.settings.rules;
                guarded.closed.reconfigure(&self.published, rules, size, now);
            } else {
                guarded.closed.resize(size);
            }
            // There may be more places for probes, or less time for those under way.
            guarded.wake_waiters = true;
        });
    }
}
