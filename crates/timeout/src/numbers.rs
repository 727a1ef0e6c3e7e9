//! Numbers that are changed while calls read them.
//!
//! Each is a word of its own, and a call may read one from before a change and the next from after
//! it. So every rule has to bear any mixture: a floor above its ceiling, for one, which
//! [`Duration::clamp`] answers with a panic. All orderings are relaxed: a word publishes nothing
//! but itself.

use std::time::Duration;

use steadfast_core::parts::Bounds;

use crate::sync::{AtomicU64, Ordering};

/// A number, such as a factor or seconds. Seconds of an hour at most come back as the `Duration`
/// they were made of, to the nanosecond.
#[derive(Debug)]
pub(crate) struct Number(AtomicU64);

/// The least and the most of a limit, in seconds.
#[derive(Debug)]
pub(crate) struct Range {
    floor: Number,
    ceiling: Number,
}

/// A limit that is longer than 584 years, [`Duration::MAX`] most of all, is without end.
#[derive(Debug)]
pub(crate) struct Fixed(AtomicU64);

impl Number {
    pub(crate) fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    pub(crate) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Range {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let Bounds { floor, ceiling } = bounds;
        Self {
            floor: Number::new(floor.as_secs_f64()),
            ceiling: Number::new(ceiling.as_secs_f64()),
        }
    }

    pub(crate) fn set(&self, bounds: Bounds) {
        self.floor.set(bounds.floor.as_secs_f64());
        self.ceiling.set(bounds.ceiling.as_secs_f64());
    }

    #[inline]
    pub(crate) fn floor(&self) -> f64 {
        self.floor.value()
    }

    #[inline]
    pub(crate) fn ceiling(&self) -> f64 {
        self.ceiling.value()
    }

    /// `seconds`, or the bound next to them; the ceiling has the last word.
    #[inline]
    pub(crate) fn clamp(&self, seconds: f64) -> Duration {
        // No `clamp`, which panics on a floor above the ceiling.
        let seconds = seconds.max(self.floor()).min(self.ceiling());
        // A ceiling is an hour at most.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Fixed {
    pub(crate) fn new(limit: Duration) -> Self {
        Self(AtomicU64::new(nanos(limit)))
    }

    pub(crate) fn set(&self, limit: Duration) {
        self.0.store(nanos(limit), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn limit(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    #[inline]
    pub(crate) fn is_endless(&self) -> bool {
        self.0.load(Ordering::Relaxed) == u64::MAX
    }
}

fn nanos(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bounds_come_back_to_the_nanosecond() {
        let hour = Duration::from_secs(3600);
        let awkward = [Duration::from_nanos(1), 10 * MS, hour - Duration::from_nanos(1), hour];
        for bound in awkward.into_iter().chain((1..100_000).map(|n| Duration::from_nanos(n * n))) {
            let range = Range::new(Bounds::new(bound, bound));
            assert_eq!((range.clamp(0.0), range.clamp(f64::INFINITY)), (bound, bound));
            assert_eq!(range.clamp(f64::NAN), bound);
            let fixed = Fixed::new(bound);
            assert_eq!((fixed.limit(), fixed.is_endless()), (bound, false));
        }
        assert_eq!(Fixed::new(Duration::MAX).limit(), Duration::MAX);
    }

    #[test]
    fn a_floor_above_the_ceiling_is_borne_and_the_ceiling_has_the_last_word() {
        let range = Range::new(Bounds::new(100 * MS, 10 * MS));
        for seconds in [0.0, 0.05, 1.0, f64::INFINITY] {
            assert_eq!(range.clamp(seconds), 10 * MS);
        }
    }
}
