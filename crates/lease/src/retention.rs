//! For how long the last token of a name is kept that is not held.

use std::time::Duration;

use steadfast_core::ConfigError;

/// A token that is made by a clock goes back only where the record is forgotten and the clock has
/// stepped back by more than the retention.
pub(crate) const DEFAULT: Duration = Duration::from_secs(7 * 86_400);
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

pub(crate) fn check(retention: Duration) -> Result<(), ConfigError> {
    let is_kept = !retention.is_zero() && retention <= TEN_YEARS;
    ConfigError::require(is_kept, "retention", retention, "above zero and up to 10 years")
}
