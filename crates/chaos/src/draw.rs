//! Chance that is no generator: the same inputs draw the same number, in whatever order they are
//! asked for. And one generator, for what has an order of its own.

/// 2^64 divided by the golden ratio, made odd: the increment of `SplitMix64`.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The draws of one purpose under one seed: a function of what is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    /// `name` is all that the draws go by, part by part: another purpose has another name.
    pub(crate) fn new(seed: u64, name: &[&str]) -> Self {
        Self(mix(mix(seed) ^ hash(name)))
    }

    /// From 0 up to 1, for this subject. Numbers in a row are mixed before they meet the stream,
    /// so that no two streams are one another's shift.
    #[inline]
    pub(crate) const fn at(self, subject: u64) -> f64 {
        unit(mix(self.0 ^ mix(subject)))
    }

    /// The generator of this stream, from its start.
    pub(crate) const fn sequence(self) -> Sequence {
        Sequence(self.0)
    }
}

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Sequence(u64);

impl Sequence {
    /// From 0 up to 1.
    pub(crate) const fn uniform(&mut self) -> f64 {
        let drawn = unit(mix(self.0));
        self.0 = self.0.wrapping_add(GOLDEN);
        drawn
    }

    /// How many trials the first success takes where each succeeds with `probability`, above 0 and
    /// at most 1: at least 1, and geometric, by inversion. It multiplies where the textbook takes
    /// logarithms: those differ from one system's library to the next, and with them the lengths.
    pub(crate) const fn geometric(&mut self, probability: f64) -> u64 {
        let quantile = 1.0 - self.uniform();
        // Of the k-th, the chance to fail 2^k times in a row.
        let mut powers = [1.0 - probability; 64];
        let mut top = 0;
        while top < 63 && powers[top] >= quantile {
            powers[top + 1] = powers[top] * powers[top];
            top += 1;
        }
        // The most failures in a row whose chance is not below the quantile, bit by bit.
        let (mut failures, mut chance) = (0_u64, 1.0);
        loop {
            if chance * powers[top] >= quantile {
                chance *= powers[top];
                failures |= 1 << top;
            }
            if top == 0 {
                return failures.saturating_add(1);
            }
            top -= 1;
        }
    }
}

/// The upper 53 bits, as many as an `f64` between ½ and 1 has, as a number from 0 up to 1.
const fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The step and the finalizer of `SplitMix64` (Steele, Lea, Flood 2014): each bit that goes in
/// turns over half of those that come out.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(GOLDEN);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// FNV-1a (Fowler, Noll, Vo), of 64 bits: the same in every version and on every machine, which
/// the standard library's hashers do not promise. 0xFF is in no UTF-8, and so parts keep apart.
fn hash(name: &[&str]) -> u64 {
    name.iter()
        .flat_map(|part| part.bytes().chain([0xFF]))
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
}

#[cfg(test)]
mod tests;
