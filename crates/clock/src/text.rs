//! The text forms of timestamps and stamps.

use std::{fmt, str::FromStr, time::SystemTime};

use crate::{NodeId, Physical, Stamp, Timestamp};

/// How many hexadecimal digits a word has.
const DIGITS: usize = 16;

/// What the compact form begins with. `h` and `l` are no hexadecimal digits: no number of a trace,
/// a span or a request, however it is cut, is taken for a timestamp. The same for all, so that
/// texts sort as timestamps do.
const PREFIX: &str = "hlc-";

/// How long the compact form of a timestamp is.
const LENGTH: usize = PREFIX.len() + DIGITS;

impl Timestamp {
    /// The compact form: `hlc-`, and 16 hexadecimal digits in lower case, which sort as timestamps
    /// do.
    ///
    /// No other number in hexadecimal digits is read as one: no identifier of a trace or a span, no
    /// UUID, no `traceparent`. Of random texts of the same length, in an alphabet of 64, one in
    /// 2^56 is: four characters are given, and 16 are out of 16.
    ///
    /// ```
    /// use steadfast_clock::Timestamp;
    /// let time: Timestamp = "2026-11-24T03:59:35.123400Z+00042".parse()?;
    /// assert_eq!(time.compact().to_string(), "hlc-105475173042002a");
    /// assert!("105475173042002a".parse::<Timestamp>().is_err());
    /// # Ok::<_, steadfast_clock::ParseTimestampError>(())
    /// ```
    #[must_use]
    pub const fn compact(self) -> Compact<Self> {
        Compact(self)
    }
}

impl Stamp {
    /// The compact form: the timestamp's, a hyphen, and 16 hexadecimal digits of the node.
    #[must_use]
    pub const fn compact(self) -> Compact<Self> {
        Compact(self)
    }
}

/// Displays in the compact form: of fixed length, in the order of the values, fit for headers and
/// keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact<T>(pub(crate) T);

impl fmt::Display for Compact<Timestamp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_bytes()).expect("a prefix and digits are ASCII"))
    }
}

impl Compact<Timestamp> {
    /// The text as bytes, without an allocation.
    pub(crate) fn to_bytes(self) -> [u8; LENGTH] {
        let mut text = [0; LENGTH];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        let mut rest = self.0.to_bits();
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789abcdef"[(rest & 0xf) as usize];
            rest >>= 4;
        }
        text
    }
}

impl fmt::Display for Compact<Stamp> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.time.compact(), self.0.node)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = humantime::format_rfc3339_micros(self.physical().into());
        write!(f, "{wall}+{:05}", self.logical())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.time, self.node)
    }
}

/// A text that is no timestamp, no node or no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTimestampError {
    /// Neither of the two forms.
    #[error(
        "neither hlc- and 16 lower-case hexadecimal digits nor a time like 2026-11-24T03:59:35.123400Z+00042"
    )]
    Form,
    /// No time that a timestamp can hold: after 2861. (One before 1970 is of no known form.)
    #[error("no time between 1970 and 2861")]
    Time,
    /// A time that lies between two grains of 100 µs, which no timestamp does.
    #[error("the time is no multiple of 100 µs")]
    Grain,
    /// The node is not 16 hexadecimal digits.
    #[error("the node is not 16 lower-case hexadecimal digits")]
    Node,
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Reads both forms, and nothing but them: no sign, no space, no upper-case digit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit_once('+') {
            Some((wall, logical)) => Ok(Self::new(parse_wall(wall)?, parse_logical(logical)?)),
            None => parse_compact(text).ok_or(ParseTimestampError::Form),
        }
    }
}

impl FromStr for NodeId {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Self).ok_or(ParseTimestampError::Node)
    }
}

impl FromStr for Stamp {
    type Err = ParseTimestampError;

    /// Reads both forms.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printed = text.rsplit_once('@').filter(|(time, _)| time.contains('+'));
        let compact = || text.rsplit_once('-').filter(|(time, _)| time.len() == LENGTH);
        let (time, node) = printed.or_else(compact).ok_or(ParseTimestampError::Form)?;
        Ok(Self::new(time.parse()?, node.parse()?))
    }
}

fn parse_wall(text: &str) -> Result<Physical, ParseTimestampError> {
    let time = humantime::parse_rfc3339(text).map_err(|_| ParseTimestampError::Form)?;
    // Only what is printed: nanoseconds would be cut, and a leap second or fewer digits would be
    // second forms of one time.
    if humantime::format_rfc3339_micros(time).to_string() != text {
        return Err(ParseTimestampError::Form);
    }
    let physical = Physical::from(time);
    if time < SystemTime::UNIX_EPOCH || time > SystemTime::from(Physical::MAX) {
        Err(ParseTimestampError::Time)
    } else if SystemTime::from(physical) != time {
        Err(ParseTimestampError::Grain)
    } else {
        Ok(physical)
    }
}

fn parse_logical(text: &str) -> Result<u16, ParseTimestampError> {
    let digits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(ParseTimestampError::Form)
}

/// Nothing but the compact form of a timestamp.
pub(crate) fn parse_compact(text: &str) -> Option<Timestamp> {
    text.strip_prefix(PREFIX).and_then(parse_hex).map(Timestamp::from_bits)
}

/// Exactly 16 digits in lower case. `from_str_radix` alone would take a sign, fewer digits, and
/// upper case.
fn parse_hex(text: &str) -> Option<u64> {
    let digits =
        text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_printed_is_read() {
        use ParseTimestampError::{Form, Grain, Node, Time};
        let time = |text: &str| text.parse::<Timestamp>().map(Timestamp::to_bits);
        assert_eq!(time("hlc-000000000000000f"), Ok(15));
        assert_eq!(time("1970-01-01T00:00:01.000000Z+00007"), Ok(10_000 << 16 | 7));
        for nonsense in [
            "",
            "0",
            "000000000000000f",
            "+00000000000000f",
            "hlc-+00000000000000f",
            "hlc-00000000000000f",
            "hlc-000000000000000F",
            "hlc-00000000000000000",
            "hlc-hlc-000000000000000f",
            "HLC-000000000000000f",
            "hlc000000000000000f",
            "hlc_000000000000000f",
            " hlc-000000000000000f",
            "hlc-",
            "hlc-éééééééé",
            "1970-01-01T00:00:01.000000Z",
            "1970-01-01T00:00:01Z+00007",
            "1970-01-01T00:00:01.000000Z+7",
            "1970-01-01T00:00:01.000000Z+65536",
            "1970-01-01T00:00:01.000000Z++0007",
            "1970-13-01T00:00:01.000000Z+00007",
            "1970-01-01 00:00:01.000000Z+00007",
            "1990-12-31T23:59:60.000000Z+00007",
            "1970-01-01T00:00:01.0000001Z+00007",
            "ééééééééé",
        ] {
            assert_eq!(time(nonsense), Err(Form), "{nonsense:?}");
        }
        assert_eq!(time("2862-01-01T00:00:00.000000Z+00000"), Err(Time));
        assert_eq!(time("2026-01-01T00:00:00.000001Z+00000"), Err(Grain));
        assert_eq!("hlc-0000000000000000-f".parse::<Stamp>(), Err(Node));
        assert_eq!("0000000000000000-0000000000000003".parse::<Stamp>(), Err(Form));
        assert_eq!("0000000000000000@0000000000000003".parse::<Stamp>(), Err(Form));
        assert_eq!(
            "1970-01-01T00:00:01.000000Z+00007-0000000000000003".parse::<Stamp>(),
            Err(Form)
        );
        assert_eq!("0000000000000000".parse::<Stamp>(), Err(Form));
        assert_eq!("hlc-0000000000000000".parse::<Stamp>(), Err(Form));
        assert_eq!("-0000000000000000".parse::<Stamp>(), Err(Form));
    }

    /// Identifiers that stand in headers, of random bits.
    fn identifier() -> impl Strategy<Value = String> {
        let bits = (any::<u128>(), any::<u64>());
        bits.prop_flat_map(|(trace, span)| {
            let upper = trace as u64;
            prop::sample::select(vec![
                // A span's, a trace's, and a request's of X-Ray.
                format!("{span:016x}"),
                format!("{trace:032x}"),
                format!("1-{:08x}-{:024x}", span as u32, trace >> 32),
                // `traceparent` of W3C, and `b3`.
                format!("00-{trace:032x}-{span:016x}-01"),
                format!("{trace:032x}-{span:016x}-1"),
                format!("{upper:016x}-{span:016x}-d-{upper:016x}"),
                // UUIDs, also as a number that stands where a stamp's node would.
                format!(
                    "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                    span as u32,
                    upper as u16,
                    span >> 52,
                    upper >> 52,
                    trace >> 80
                ),
                format!("{trace:032x}@{span:016x}"),
                format!("{upper:016x}-{span:016x}"),
                // In decimals, as of Datadog and of Snowflake.
                upper.to_string(),
            ])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_identifier_in_hexadecimal_digits_is_read_as_a_stamp(id in identifier(), cut in 0..40_usize) {
            let cut = &id[cut.min(id.len())..];
            for text in [&*id, cut] {
                prop_assert_eq!(text.parse::<Timestamp>(), Err(ParseTimestampError::Form));
                prop_assert_eq!(text.parse::<Stamp>(), Err(ParseTimestampError::Form));
            }
        }

        #[test]
        fn no_random_text_of_the_same_length_is_read_as_a_timestamp(text in "[0-9A-Za-z_-]{20}", digits in "[0-9a-f]{20}") {
            prop_assert!(text.parse::<Timestamp>().is_err(), "one in 2^56 is");
            prop_assert!(digits.parse::<Timestamp>().is_err(), "none is");
        }
    }

    proptest! {
        #[test]
        fn both_forms_come_back_and_sort_as_the_values_do(a: u64, b: u64, node: u64) {
            let [s, t] = [a, b].map(Timestamp::from_bits);
            for forms in [[s, t].map(|time| time.to_string()), [s, t].map(|time| time.compact().to_string())] {
                prop_assert_eq!(forms[0].parse(), Ok(s));
                prop_assert_eq!(forms[0].cmp(&forms[1]), s.cmp(&t));
            }
            let stamp = Stamp::new(s, NodeId(node));
            prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
            prop_assert_eq!(stamp.compact().to_string().parse(), Ok(stamp));
            prop_assert_eq!(stamp.compact().to_string().len(), 37);
            let [lower, higher] = [s.min(t), s.max(t)].map(|time| Stamp::new(time, NodeId(node)).compact());
            prop_assert!(lower.to_string() <= higher.to_string());
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (text.parse::<Timestamp>(), text.parse::<NodeId>(), text.parse::<Stamp>());
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_printed(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{4}00Z\\+0[0-9]{4}") {
            if let Ok(time) = text.parse::<Timestamp>() {
                prop_assert_eq!(time.to_string(), text);
            }
        }
    }
}
