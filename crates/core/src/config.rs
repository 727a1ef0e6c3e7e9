//! Refusing a bad configuration.

use std::fmt;

/// A configuration that cannot work, refused where it is made: which field, what it was given, and
/// the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {rule}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field, by the name of its setter.
    pub field: &'static str,
    /// The value that was refused.
    pub value: String,
    /// What the value must be.
    pub rule: &'static str,
}

impl ConfigError {
    /// Refuses `value` for `field`, because it must be `rule`.
    pub fn new(field: &'static str, value: impl fmt::Debug, rule: &'static str) -> Self {
        Self { field, value: format!("{value:?}"), rule }
    }

    /// The same refusal by the name of the setter that took the value.
    #[must_use]
    pub fn in_field(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// `Ok` when `holds`, otherwise the refusal.
    ///
    /// # Errors
    /// When `holds` is false.
    pub fn require(
        holds: bool,
        field: &'static str,
        value: impl fmt::Debug,
        rule: &'static str,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(field, value, rule)) }
    }
}
