//! How long to wait before trying again.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::ConfigError;

/// Growing delays with a cap and jitter, as plain data.
///
/// The delay before try n (n = 0 for the first wait) is drawn from a range that ends at
/// `min(cap, base * factor^n)`. Jitter is applied *inside* the cap: clients that have all reached
/// the cap still spread out.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::{Backoff, Jitter, parts::Splitter};
///
/// let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2))?
///     .with_jitter(Jitter::Equal);
/// let delay = backoff.delay(0, Duration::ZERO, &mut Splitter::seeded(1).split());
/// assert!((Duration::from_millis(25)..=Duration::from_millis(50)).contains(&delay));
/// # Ok::<(), steadfast_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    factor: f64,
    jitter: Jitter,
}

/// How a delay is spread. The names are those of Marc Brooker, "Exponential Backoff and Jitter"
/// (AWS, 2015).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// No spread: every client waits the same. Only for a client that is alone.
    None,
    /// Between nothing and the whole delay: the fewest calls under contention.
    #[default]
    Full,
    /// Between half the delay and all of it.
    Equal,
    /// Between the base and three times the previous delay (the base, at first), within the cap; it
    /// needs the previous delay and not the try's number. Where the cap leaves less room than that,
    /// the range begins below the base, at a third of its end.
    Decorrelated,
}

/// Longer waits are no backoff, and an instant plus a longer one could overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Backoff {
    /// No wait at all.
    pub const NONE: Self =
        Self { base: Duration::ZERO, cap: Duration::ZERO, factor: 1.0, jitter: Jitter::None };

    /// Doubling delays from `base` up to `cap`, with full jitter.
    ///
    /// # Errors
    /// When `base` is zero, `cap` is below `base`, or `cap` is above 365 days.
    pub fn exponential(base: Duration, cap: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!base.is_zero(), "base", base, "above zero")?;
        ConfigError::require(cap >= base, "cap", cap, "at least the base delay")?;
        ConfigError::require(cap <= LONGEST, "cap", cap, "at most 365 days")?;
        Ok(Self { base, cap, factor: 2.0, jitter: Jitter::Full })
    }

    /// The same delay each time, without jitter.
    ///
    /// # Errors
    /// When `delay` is above 365 days.
    pub fn constant(delay: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(delay <= LONGEST, "delay", delay, "at most 365 days")?;
        Ok(Self { base: delay, cap: delay, factor: 1.0, jitter: Jitter::None })
    }

    /// A growth other than doubling.
    ///
    /// # Errors
    /// When `factor` is NaN, infinite or below 1.
    pub fn with_factor(self, factor: f64) -> Result<Self, ConfigError> {
        ConfigError::require(
            factor.is_finite() && factor >= 1.0,
            "factor",
            factor,
            "a number of at least 1",
        )?;
        Ok(Self { factor, ..self })
    }

    /// Another jitter.
    #[must_use]
    pub const fn with_jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// The longest delay this backoff can give.
    #[must_use]
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// The delay before try `n` (0 for the first wait), where `previous` is the delay drawn before
    /// it (zero for the first).
    ///
    /// Pure: the same arguments and generator state give the same delay. Never above the cap, never
    /// panics.
    pub fn delay(&self, n: u32, previous: Duration, rng: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling(n);
        match self.jitter {
            Jitter::None => ceiling,
            Jitter::Full => between(Duration::ZERO, ceiling, rng),
            Jitter::Equal => between(ceiling / 2, ceiling, rng),
            Jitter::Decorrelated => {
                let highest = previous.max(self.base).saturating_mul(3).min(self.cap);
                between(self.base.min(highest / 3), highest, rng)
            }
        }
    }

    fn ceiling(&self, n: u32) -> Duration {
        if self.base.is_zero() {
            // Zero times infinity is no number.
            return Duration::ZERO;
        }
        let growth = self.factor.powi(i32::try_from(n).unwrap_or(i32::MAX));
        let seconds = self.base.as_secs_f64() * growth;
        // Above the cap also catches infinity; below it the product is a finite number of at most
        // 365 days.
        if seconds >= self.cap.as_secs_f64() { self.cap } else { Duration::from_secs_f64(seconds) }
    }
}

/// Uniform in `low..=high`, in whole nanoseconds.
fn between(low: Duration, high: Duration, rng: &mut impl Rng) -> Duration {
    let spread = u64::try_from((high - low).as_nanos()).unwrap_or(u64::MAX);
    low + Duration::from_nanos(rng.random_range(0..=spread))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parts::Splitter;

    const BASE: Duration = Duration::from_millis(5);
    const CAP: Duration = Duration::from_secs(2);
    const ALL: [Jitter; 4] = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated];

    fn backoff(jitter: Jitter) -> Backoff {
        Backoff::exponential(BASE, CAP).unwrap().with_jitter(jitter)
    }

    #[test]
    fn plain_delays_double_up_to_the_cap() {
        let mut rng = Splitter::seeded(1).split();
        let delays: Vec<u128> = (0..11)
            .map(|n| backoff(Jitter::None).delay(n, Duration::ZERO, &mut rng).as_millis())
            .collect();
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2000, 2000]);
    }

    #[test]
    fn a_capped_and_jittered_delay_is_never_constantly_the_cap() {
        let alone = Backoff::exponential(CAP, CAP).unwrap().with_jitter(Jitter::Decorrelated);
        for (jitter, backoff) in [
            (Jitter::Full, backoff(Jitter::Full)),
            (Jitter::Equal, backoff(Jitter::Equal)),
            (Jitter::Decorrelated, backoff(Jitter::Decorrelated)),
            (Jitter::Decorrelated, alone),
        ] {
            let mut rng = Splitter::seeded(42).split();
            let mut previous = CAP;
            let mut at_cap = 0;
            let mut seen = std::collections::HashSet::new();
            for n in 1000..2000 {
                previous = backoff.delay(n, previous, &mut rng);
                at_cap += u32::from(previous == CAP);
                seen.insert(previous);
            }
            assert!(
                at_cap < 5 && seen.len() > 900,
                "{jitter:?}: {at_cap} of 1000 at the cap, {} distinct",
                seen.len()
            );
        }
    }

    #[test]
    fn even_the_first_delay_is_jittered() {
        for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
            let splitter = Splitter::seeded(7);
            let first = || backoff(jitter).delay(0, Duration::ZERO, &mut splitter.split());
            let seen: std::collections::HashSet<_> = (0..100).map(|_| first()).collect();
            assert!(seen.len() > 90, "{jitter:?}: {} distinct of 100", seen.len());
        }
    }

    #[test]
    fn no_delay_stays_none_whatever_the_factor() {
        let none = Backoff::constant(Duration::ZERO).unwrap().with_factor(1e300).unwrap();
        assert_eq!(
            none.delay(u32::MAX, Duration::ZERO, &mut Splitter::seeded(1).split()),
            Duration::ZERO
        );
    }

    #[test]
    fn bad_delays_are_refused_by_field_and_value() {
        let field = |result: Result<Backoff, ConfigError>| result.unwrap_err().field;
        assert_eq!(field(Backoff::exponential(Duration::ZERO, CAP)), "base");
        assert_eq!(field(Backoff::exponential(CAP, BASE)), "cap");
        assert_eq!(field(Backoff::exponential(BASE, Duration::MAX)), "cap");
        assert_eq!(field(Backoff::constant(Duration::MAX)), "delay");
        for factor in [f64::NAN, f64::INFINITY, 0.5, -2.0] {
            assert_eq!(field(backoff(Jitter::Full).with_factor(factor)), "factor");
        }
    }

    proptest! {
        #[test]
        fn every_delay_is_within_its_range(
            seed: u64, n: u32, previous_ms in 0u64..10_000, factor in 1.0f64..1e9, which in 0usize..4,
        ) {
            let backoff = backoff(ALL[which]).with_factor(factor).unwrap();
            let delay = backoff.delay(n, Duration::from_millis(previous_ms), &mut Splitter::seeded(seed).split());
            prop_assert!(delay <= CAP);
            match ALL[which] {
                Jitter::None | Jitter::Decorrelated => prop_assert!(delay >= BASE),
                Jitter::Equal => prop_assert!(delay >= BASE / 2),
                Jitter::Full => {}
            }
        }
    }
}
