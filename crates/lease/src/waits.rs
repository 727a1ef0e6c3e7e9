//! Waits that a store's configuration sets.

use std::time::Duration;

use steadfast_core::ConfigError;

pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Whether a wait that the setter `field` sets is one.
pub(crate) fn check(field: &'static str, wait: Duration) -> Result<(), ConfigError> {
    let is_wait = !wait.is_zero() && wait <= LONGEST;
    ConfigError::require(is_wait, field, wait, "above zero and up to 1 min")
}
