//! A share of a whole.

use std::fmt;

use crate::ConfigError;

/// A share between 0 and 1, both included. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing of the whole.
    pub const ZERO: Self = Self(0.0);
    /// Half of the whole.
    pub const HALF: Self = Self(0.5);
    /// All of the whole.
    pub const ONE: Self = Self(1.0);

    /// A share given as a number from 0 to 1.
    ///
    /// # Errors
    /// When `value` is NaN or outside 0..=1.
    pub fn new(value: f64) -> Result<Self, ConfigError> {
        ConfigError::require((0.0..=1.0).contains(&value), "ratio", value, "from 0 to 1")?;
        Ok(Self(value))
    }

    /// A share given in whole per cent.
    ///
    /// # Panics
    /// When `percent` is above 100; in a `const` this is a compile error.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        assert!(percent <= 100, "a ratio is at most 100 per cent");
        Self(percent as f64 / 100.0)
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }

    /// Whether `part` out of `whole` is at least this share. Nothing out of nothing never is.
    ///
    /// Exact for counts below 2^53 up to the rounding of the share itself: 3 of 10 reaches 30 per
    /// cent.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^53")]
    pub fn is_reached(self, part: u64, whole: u64) -> bool {
        // A product such as 0.3 * 10 rounds to either side of 3; one part in 10^12 is below any
        // count's resolution.
        whole > 0 && part as f64 >= self.0 * whole as f64 * (1.0 - 1e-12)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To a hundredth of a per mille: 0.29 * 100 is not 29.
        write!(f, "{} %", (self.0 * 1e6).round() / 1e4)
    }
}

impl TryFrom<f64> for Ratio {
    type Error = ConfigError;

    fn try_from(value: f64) -> Result<Self, ConfigError> {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_share() {
        for value in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            let error = Ratio::new(value).unwrap_err();
            assert_eq!((error.field, error.value), ("ratio", format!("{value:?}")));
        }
    }

    #[test]
    fn every_whole_per_cent_is_reached_exactly_at_its_count() {
        for percent in 1..=100u8 {
            for whole in [10u64, 20, 100, 1000, 1_000_000] {
                let exact = (u64::from(percent) * whole).div_ceil(100);
                let ratio = Ratio::percent(percent);
                assert!(ratio.is_reached(exact, whole), "{exact} of {whole} is {percent} %");
                assert!(
                    !ratio.is_reached(exact - 1, whole),
                    "{} of {whole} is below {percent} %",
                    exact - 1
                );
            }
        }
    }

    #[test]
    fn reads_as_it_was_written() {
        assert_eq!(Ratio::percent(29).to_string(), "29 %");
        assert_eq!(Ratio::new(0.125).unwrap().to_string(), "12.5 %");
    }

    #[test]
    fn nothing_of_nothing_reaches_no_share() {
        assert!(!Ratio::ZERO.is_reached(0, 0));
        assert!(Ratio::ZERO.is_reached(0, 1));
    }
}
