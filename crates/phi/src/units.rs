//! Nanoseconds, in which arrivals are counted, and seconds, in which suspicion is.

use std::time::Duration;

/// A span in whole nanoseconds; 584 years and more are the most that they can count.
pub(crate) fn whole_nanoseconds(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into())
}

/// Whole nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "16 digits of them are enough")]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 * 1e-9
}

/// More than 292 years, which a signed number of nanoseconds cannot be.
const TOO_LONG: f64 = 9.2e18;

/// Seconds as whole nanoseconds, rounded up, so that an instant is never early: what is due by it
/// would not be, and a timer would be set to it again. Otherwise as [`nanoseconds`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the range is checked, and the fraction is added"
)]
pub(crate) fn nanoseconds_up(seconds: f64) -> Option<u64> {
    let ns = seconds.max(0.0) * 1e9;
    // Quicker than a call of `ceil`, which heartbeats would make.
    let whole = ns as i64;
    (ns < TOO_LONG).then(|| whole as u64 + u64::from((whole as f64) < ns))
}

/// Seconds as whole nanoseconds, rounded; what is negative or not a number is 0, and `None` stands
/// for more than 292 years.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked, and the fraction was rounded"
)]
pub(crate) fn nanoseconds(seconds: f64) -> Option<u64> {
    let ns = seconds.max(0.0) * 1e9 + 0.5;
    (ns < TOO_LONG).then_some(ns as i64 as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_never_early() {
        for (seconds, ns) in [
            (0.0, Some(0)),
            (-1.0, Some(0)),
            (f64::NAN, Some(0)),
            (1e-10, Some(1)),
            (0.250, Some(250_000_000)),
            (1.000_000_000_4, Some(1_000_000_001)),
            (9.1e9, Some(9_100_000_000_000_000_000)),
            (9.3e9, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(nanoseconds_up(seconds), ns, "{seconds}");
        }
        assert_eq!(nanoseconds(1.000_000_000_4), Some(1_000_000_000));
    }
}
