//! How wrong a clock may be, and why that may be unknown.

use std::{sync::Arc, time::Duration};

use steadfast_core::ConfigError;

/// From here on a clock counts as unsynchronised: `MAXDISP` of RFC 5905, `NTP_PHASE_LIMIT` of
/// Linux.
pub(crate) const UNSYNCHRONISED: Duration = Duration::from_secs(16);

/// Says how far a wall clock may be from the true time.
///
/// | source | what it says |
/// |---|---|
/// | [`FixedBound`] | what its user knows of the machines |
/// | `KernelBound`, with the feature `kernel` | the kernel's own estimate, kept by the NTP daemon |
/// | a closure `Fn() -> Result<Duration, Unknown>` | what another source says, such as a daemon that is asked over its socket |
///
/// It is asked twice for each reading of the clock, and must answer without waiting.
pub trait Uncertainty: Send + Sync + 'static {
    /// By how much the wall clock may now be ahead of the true time, or behind it.
    ///
    /// # Errors
    /// When that is unknown. A number in its place would be believed.
    fn bound(&self) -> Result<Duration, Unknown>;
}

/// Why the error of the clock is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// The clock is not synchronised, or its error has reached 16 s.
    #[error("the clock is not synchronised")]
    Unsynchronised,
    /// The kernel was given an estimate that was not measured, such as zero.
    #[error("the error of the clock was not measured by the daemon that keeps it")]
    NotMeasured,
    /// A leap second is being inserted, when the wall clock says each time in it twice, or left
    /// out; or is so close that the answer might still be in use.
    #[error("a leap second is close")]
    LeapSecond,
    /// The machine was suspended, and its clock has been set by a coarser one since; the daemon has
    /// not reported again.
    #[error("the machine was suspended, and the error of its clock was not measured since")]
    Suspended,
    /// What the kernel says is not possible.
    #[error("the kernel's account of its clock makes no sense")]
    Implausible,
    /// The kernel refused to say.
    #[error("the kernel's account of its clock cannot be read")]
    Unreadable,
    /// This system has no kernel that could say.
    #[error("this system does not estimate the error of its clock")]
    Unsupported,
    /// For the user's own reason.
    #[error("{0}")]
    Other(&'static str),
}

/// A bound that is known beforehand, of machines whose operator states it, as in CockroachDB
/// (`--max-offset`). Nothing here notices when a clock breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FixedBound(Duration);

impl FixedBound {
    /// Off by at most `bound`, either way.
    ///
    /// # Errors
    /// When `bound` is zero, which no clock can promise, or 16 s and more, from where on a clock
    /// counts as unsynchronised (`MAXDISP` of RFC 5905).
    pub fn new(bound: Duration) -> Result<Self, ConfigError> {
        let fits = !bound.is_zero() && bound < UNSYNCHRONISED;
        ConfigError::require(fits, "bound", bound, "above zero and below 16 s")?;
        Ok(Self(bound))
    }
}

impl Uncertainty for FixedBound {
    #[inline]
    fn bound(&self) -> Result<Duration, Unknown> {
        Ok(self.0)
    }
}

impl<F> Uncertainty for F
where
    F: Fn() -> Result<Duration, Unknown> + Send + Sync + 'static,
{
    fn bound(&self) -> Result<Duration, Unknown> {
        self()
    }
}

impl<U: Uncertainty + ?Sized> Uncertainty for Arc<U> {
    fn bound(&self) -> Result<Duration, Unknown> {
        (**self).bound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_no_clock_keeps_or_that_says_nothing_is_refused() {
        for bound in [Duration::ZERO, UNSYNCHRONISED, Duration::MAX] {
            let error = FixedBound::new(bound).unwrap_err();
            assert_eq!((error.field, error.value), ("bound", format!("{bound:?}")));
        }
        for bound in [Duration::from_nanos(1), UNSYNCHRONISED - Duration::from_nanos(1)] {
            assert_eq!(FixedBound::new(bound).unwrap().bound(), Ok(bound));
        }
    }

    #[test]
    fn a_source_may_be_a_closure_or_shared_or_chosen_at_run_time() {
        let answers = |source: &dyn Uncertainty| source.bound();
        let bound = Duration::from_millis(3);
        assert_eq!(answers(&move || Ok(bound)), Ok(bound));
        assert_eq!(answers(&|| Err(Unknown::Other("not asked"))), Err(Unknown::Other("not asked")));
        let chosen: Arc<dyn Uncertainty> = Arc::new(FixedBound::new(bound).unwrap());
        assert_eq!(answers(&chosen), Ok(bound));
    }
}
