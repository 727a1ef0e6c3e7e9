//! Deadlines on the wire: always as the time that is left, because two machines share no clock.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

/// `grpc-timeout`, as in the gRPC over HTTP/2 protocol: up to eight digits and a unit.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// `x-request-timeout-ms`: whole milliseconds. HTTP has no standard header for it; any other name
/// does as well.
pub const REQUEST_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// Reads a `grpc-timeout` value: one to eight digits and one of `H M S m u n`. Anything else is
/// `None`.
#[must_use]
pub fn parse_grpc_timeout(value: &HeaderValue) -> Option<Duration> {
    let (&unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes a `grpc-timeout` value in the finest unit that holds it in eight digits, rounded down:
/// the peer never waits longer than the caller does. Longer than eight digits of hours is cut to
/// that.
///
/// The one thing that is rounded up is nothing: a zero is not allowed there, and is written as one
/// nanosecond.
#[must_use]
pub fn format_grpc_timeout(left: Duration) -> HeaderValue {
    const UNITS: [(u128, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    const MOST: u128 = 99_999_999;
    let nanos = left.as_nanos().max(1);
    let (number, unit) = UNITS
        .iter()
        .map(|&(size, unit)| (nanos / size, unit))
        .find(|&(n, _)| n <= MOST)
        .unwrap_or((MOST, 'H'));
    HeaderValue::try_from(format!("{number}{unit}"))
        .expect("digits and a letter are a header value")
}

/// Reads whole milliseconds. Anything but digits is `None`; what does not fit is
/// `Duration::MAX`-like: 2^64 ms.
#[must_use]
pub fn parse_timeout_ms(value: &HeaderValue) -> Option<Duration> {
    let digits = value.to_str().ok()?.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_millis(digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &str) -> Option<Duration> {
        parse_grpc_timeout(&value.parse().unwrap())
    }

    #[test]
    fn grpc_timeouts_follow_the_protocol() {
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for nonsense in ["", "S", "123456789S", "-1S", "1.5S", "1", "1x", " 1S"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn milliseconds_are_digits_only() {
        let parse = |value: &'static str| parse_timeout_ms(&HeaderValue::from_static(value));
        assert_eq!(parse("250"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999999999999999999"), Some(Duration::from_millis(u64::MAX)));
        for nonsense in ["", "-1", "1.5", "1s"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn nothing_left_is_written_as_one_nanosecond() {
        assert_eq!(format_grpc_timeout(Duration::ZERO), "1n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_never_longer(nanos: u64, magnitude in 0_u32..64) {
            let left = Duration::from_nanos((nanos >> magnitude).max(1));
            let back = parse_grpc_timeout(&format_grpc_timeout(left)).unwrap();
            // The coarsest steps are those to the next thousandfold unit, which eight digits of the
            // finer one end at 100,000 of: one in 100,000.
            prop_assert!(back <= left && left - back <= left / 100_000 + Duration::from_nanos(1));
        }
    }
}
