//! Which fault meets which request.

use steadfast_core::ConfigError;

use crate::Rule;

/// Rules and a seed: plain data.
#[derive(Clone, Debug)]
#[must_use]
pub struct Plan {
    pub(crate) seed: u64,
    pub(crate) rules: Vec<Rule>,
}

impl Plan {
    /// No faults yet.
    pub const fn new(seed: u64) -> Self {
        Self { seed, rules: Vec::new() }
    }

    /// One rule more. A request meets one fault at most: that of the first rule that strikes it.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
