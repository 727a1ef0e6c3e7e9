//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName,
    header::{AGE, DATE, RETRY_AFTER},
};

/// A caller that must wait longer gives up; the bound keeps arithmetic on instants safe.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long the response asks to wait before another try.
///
/// Whole seconds, or an HTTP date. A date is read against the response's own `Date`, and the `Age`
/// that a cache has added to it, so that a server whose clock is wrong, or a wrong clock here,
/// changes nothing; against `now` where there is no `Date` that can be read. A date that has passed
/// is zero. A negative, fractional or otherwise malformed value is ignored; of several headers the
/// first one counts. At most a day.
#[must_use]
pub fn parse_retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers, || now)
}

/// The same; the clock is read only where it is needed.
pub(super) fn retry_after(
    headers: &HeaderMap,
    now: impl FnOnce() -> SystemTime,
) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER)?;
    let after = match seconds(value) {
        Some(after) => after,
        None => {
            let until = httpdate::parse_http_date(value).ok()?;
            let sent = text(headers, DATE).and_then(|date| httpdate::parse_http_date(date).ok());
            match sent {
                Some(sent) => {
                    let age = text(headers, AGE).and_then(seconds).unwrap_or(Duration::ZERO);
                    until.duration_since(sent).unwrap_or(Duration::ZERO).saturating_sub(age)
                }
                None => until.duration_since(now()).unwrap_or(Duration::ZERO),
            }
        }
    };
    Some(after.min(LONGEST))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// Only digits: what does not fit is merely huge.
fn seconds(value: &str) -> Option<Duration> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
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
    const HOUR: Duration = Duration::from_secs(3600);

    /// Ten seconds after a server's `Date`, whatever the clock here says.
    fn ten_seconds(date: Option<&str>, age: Option<&str>, now: SystemTime) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Sun, 09 Sep 2001 01:46:50 GMT".parse().unwrap());
        for (name, value) in [(DATE, date), (AGE, age)] {
            headers.extend(value.map(|value| (name, value.parse().unwrap())));
        }
        parse_retry_after(&headers, now)
    }

    const DATED: Option<&str> = Some("Sun, 09 Sep 2001 01:46:40 GMT");

    #[test]
    fn a_date_is_read_against_the_responses_own_and_a_clock_that_is_an_hour_off_changes_nothing() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for now in [now, now - HOUR, now + HOUR, SystemTime::UNIX_EPOCH] {
            assert_eq!(ten_seconds(DATED, None, now), Some(Duration::from_secs(10)), "{now:?}");
        }
        // Without one, the clock here is all there is.
        assert_eq!(ten_seconds(None, None, now), Some(Duration::from_secs(10)));
        assert_eq!(ten_seconds(None, None, now + HOUR), Some(Duration::ZERO));
        assert_eq!(
            ten_seconds(None, None, now - HOUR),
            Some(HOUR + Duration::from_secs(10)),
            "which may be wrong"
        );
    }

    #[test]
    fn a_date_before_the_responses_own_is_now_and_a_cached_response_is_as_old_as_it_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let later = Some("Sun, 09 Sep 2001 02:46:40 GMT");
        assert_eq!(ten_seconds(later, None, now), Some(Duration::ZERO), "a date in the past");
        assert_eq!(ten_seconds(DATED, Some("4"), now), Some(Duration::from_secs(6)));
        for age in ["10", "11", "99999999999999999999999"] {
            assert_eq!(ten_seconds(DATED, Some(age), now), Some(Duration::ZERO), "{age}");
        }
        for age in ["", "-4", "4.5", "old"] {
            assert_eq!(ten_seconds(DATED, Some(age), now), Some(Duration::from_secs(10)), "{age}");
        }
    }

    #[test]
    fn a_date_header_that_is_none_leaves_the_clock() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_004);
        for garbage in ["", "now", "0", "1000000000", "Sun, 09 Sep 2001 25:46:40 GMT", "Sun, 09"] {
            let after = ten_seconds(Some(garbage), None, now);
            assert_eq!(after, Some(Duration::from_secs(6)), "{garbage:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "soon".parse().unwrap());
        headers.insert(DATE, "Sun, 09 Sep 2001 01:46:40 GMT".parse().unwrap());
        assert_eq!(parse_retry_after(&headers, now), None);
        headers.insert(DATE, http::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        headers.insert(RETRY_AFTER, "Sun, 09 Sep 2001 01:46:50 GMT".parse().unwrap());
        assert_eq!(parse_retry_after(&headers, now), Some(Duration::from_secs(6)));
    }
}
