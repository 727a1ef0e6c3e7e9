//! A number and how old it is, in one word.

use crate::time_window::Tick;

/// How many ticks a straggler may lag behind a word and still be known as one: eleven minutes of
/// the shortest ticks.
const LAG: u32 = 1 << 16;

/// A number of seconds as an `f32`, and the tick it stands for, in one word.
///
/// An `f32` has seven digits. A tick is at least 10 ms long, so its lower 32 bits wrap around after
/// 16 months; they compare as serial numbers do (RFC 1982), which is right for ticks that lie less
/// than half of that apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated(u64);

impl Dated {
    /// No seconds.
    pub const NONE: Self = Self(0);

    /// `seconds`, as of `tick`. Zero seconds are none.
    #[must_use]
    pub fn new(tick: Tick, seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
        let seconds = seconds as f32;
        Self(u64::from(lower(tick)) << 32 | u64::from(seconds.to_bits()))
    }

    /// The word as it is stored.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The word that was stored.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Other seconds in its place. A straggler that reports an earlier tick makes them no older.
    #[must_use]
    pub fn renewed(self, tick: Tick, seconds: f64) -> Self {
        let newer = self != Self::NONE && self.reaches(tick);
        Self::new(if newer { Tick(self.tick().into()) } else { tick }, seconds)
    }

    /// So many seconds at most in its place, and no younger.
    #[must_use]
    pub fn at_most(self, seconds: f64) -> Self {
        match self.seconds_at_any_age() {
            Some(held) if held > seconds => Self::new(Tick(self.tick().into()), seconds),
            _ => self,
        }
    }

    /// The seconds, unless there are none or they are `window` ticks old or older.
    #[must_use]
    pub fn seconds(self, tick: Tick, window: u32) -> Option<f64> {
        let seconds = self.seconds_at_any_age()?;
        let age = lower(tick).wrapping_sub(self.tick());
        // A straggler's tick may lie a little before the word's: that is as fresh as can be.
        (age < window || age.wrapping_neg() <= LAG).then_some(seconds)
    }

    /// The seconds, however old; `None` if there are none.
    #[must_use]
    pub fn seconds_at_any_age(self) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
        let seconds = f32::from_bits(self.0 as u32);
        (seconds > 0.0).then_some(f64::from(seconds))
    }

    /// Whether it was made at `tick` or, as a straggler sees it, a little later.
    #[must_use]
    pub const fn reaches(self, tick: Tick) -> bool {
        self.tick().wrapping_sub(lower(tick)) <= LAG
    }

    const fn tick(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits compare as serial numbers do")]
const fn lower(tick: Tick) -> u32 {
    tick.0 as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_fresh_for_a_window_and_for_stragglers() {
        // The second is where the lower bits wrap around.
        for tick in [1 << 20, u64::from(u32::MAX) - 1] {
            let dated = Dated::new(Tick(tick), 0.5);
            let seconds = |later: u64| dated.seconds(Tick(tick + later), 6);
            assert_eq!(
                (seconds(0), seconds(5), seconds(6), seconds(1 << 30)),
                (Some(0.5), Some(0.5), None, None)
            );
            assert_eq!(dated.seconds(Tick(tick - 3), 6), Some(0.5), "a straggler");
            assert!(
                dated.reaches(Tick(tick))
                    && dated.reaches(Tick(tick - 3))
                    && !dated.reaches(Tick(tick + 1))
            );
        }
    }

    #[test]
    fn at_most_lowers_and_leaves_the_age() {
        let dated = Dated::new(Tick(100), 0.5);
        assert_eq!(dated.at_most(0.25), Dated::new(Tick(100), 0.25));
        assert_eq!((dated.at_most(1.0), Dated::NONE.at_most(0.0)), (dated, Dated::NONE));
    }

    #[test]
    fn a_straggler_that_renews_makes_nothing_older() {
        let renewed = Dated::new(Tick(100), 0.5).renewed(Tick(98), 0.25);
        assert_eq!(
            (renewed.seconds(Tick(105), 6), renewed.seconds(Tick(106), 6)),
            (Some(0.25), None)
        );
        assert_eq!(Dated::NONE.renewed(Tick(98), 0.25), Dated::new(Tick(98), 0.25));
        assert_eq!(Dated::new(Tick(98), 0.0).seconds_at_any_age(), None, "zero seconds are none");
    }
}
