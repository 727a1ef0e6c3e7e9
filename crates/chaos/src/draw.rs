//! Chance that is no generator: the same inputs draw the same number, in whatever order they are
//! asked for.

/// From 0 up to 1.
pub(crate) fn uniform(seed: u64, rule: u64, subject: u64) -> f64 {
    let bits = mix(mix(mix(seed) ^ rule) ^ subject);
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
