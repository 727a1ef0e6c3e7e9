//! Nanoseconds, in which arrivals are counted, and seconds, in which suspicion is.

/// Whole nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "16 digits of them are enough")]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 * 1e-9
}

/// Seconds as whole nanoseconds, rounded; what is negative or not a number is 0, and `None` stands
/// for more than 292 years.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked, and the fraction was rounded"
)]
pub(crate) fn nanoseconds(seconds: f64) -> Option<u64> {
    const TOO_LONG: f64 = 9.2e18;
    let ns = seconds.max(0.0) * 1e9 + 0.5;
    (ns < TOO_LONG).then_some(ns as i64 as u64)
}
