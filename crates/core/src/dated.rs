//! A number and how old it is, in one word.

/// How many ticks a straggler may lag behind a word and still be known as one: eleven minutes of the shortest ticks.
const LAG: u32 = 1 << 16;

/// A number of seconds as an `f32`, and the tick it stands for, in one word. An `f32` has seven digits; a tick is at least 10 ms
/// long, so 32 bits of it come round after 16 months, and then compare as a circle does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated(u64);

impl Dated {
    /// No seconds.
    pub const NONE: Self = Self(0);

    /// `seconds`, as of `tick`. Zero seconds are none.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough, and ticks compare as a circle does")]
    pub fn new(tick: u64, seconds: f64) -> Self {
        Self(u64::from(tick as u32) << 32 | u64::from((seconds as f32).to_bits()))
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

    /// Other seconds in its place. A straggler that speaks of an earlier tick makes them no older.
    #[must_use]
    pub fn renewed(self, tick: u64, seconds: f64) -> Self {
        let newer = self != Self::NONE && self.reaches(tick);
        Self::new(if newer { u64::from(self.tick()) } else { tick }, seconds)
    }

    /// The seconds, unless there are none or they are `window` ticks old or older.
    #[must_use]
    pub fn seconds(self, tick: u64, window: u32) -> Option<f64> {
        let seconds = self.seconds_at_any_age()?;
        // A straggler's tick may lie a little before the word's: that is as fresh as can be.
        #[expect(clippy::cast_possible_truncation, reason = "ticks compare as a circle does")]
        let age = (tick as u32).wrapping_sub(self.tick());
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
    #[expect(clippy::cast_possible_truncation, reason = "ticks compare as a circle does")]
    pub const fn reaches(self, tick: u64) -> bool {
        self.tick().wrapping_sub(tick as u32) <= LAG
    }

    const fn tick(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
