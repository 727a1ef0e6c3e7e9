//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// A caller that must wait longer gives up; the bound keeps arithmetic on instants safe.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// When the response asks to be tried again, counted from `now`.
///
/// Whole seconds, or an HTTP date. A date that has passed is zero. A negative, fractional or
/// otherwise malformed value is ignored; of several headers the first one counts. At most a day.
#[must_use]
pub fn parse_retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only digits: what does not fit is merely huge.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(after.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let parse = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            parse_retry_after(&headers, now)
        };
        let in_seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(parse("0"), in_seconds(0));
        assert_eq!(parse(" 120 "), in_seconds(120));
        assert_eq!(parse("Sun, 09 Sep 2001 01:46:50 GMT"), in_seconds(10));
        assert_eq!(parse("Fri, 31 Dec 1999 23:59:59 GMT"), in_seconds(0), "a past date is now");
        assert_eq!(parse("99999999999999999999999"), Some(LONGEST), "a huge value is bounded");
        assert_eq!(parse("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST));
        for nonsense in ["-1", "1.5", "+3", "", "soon", "1e3"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
        assert_eq!(parse_retry_after(&HeaderMap::new(), now), None);
    }
}
