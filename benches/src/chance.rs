//! Chance that is the same on every machine.

/// SplitMix64 (G. Steele, D. Lea, C. Flood: *Fast Splittable Pseudorandom Number Generators*,
/// OOPSLA 2014).
///
/// The small generator of `rand` is another one on machines of another word size: figures drawn
/// from it would differ.
#[derive(Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The same numbers in the same order for the same seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all there are.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Above 0 and up to 1.
    pub const fn share(&mut self) -> f64 {
        // The upper 53 bits, as many as a float holds exactly.
        ((self.draw() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Below `count`, which is above 0. Each number as likely as the other, but for less than one
    /// in 2^64 / `count`.
    pub const fn below(&mut self, count: usize) -> usize {
        (self.draw() % count as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_draws_what_the_paper_s_generator_draws() {
        let mut chance = SplitMix64::seeded(1_234_567);
        assert_eq!(
            [chance.draw(), chance.draw()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }
}
