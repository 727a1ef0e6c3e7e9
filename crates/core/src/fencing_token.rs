//! The number that orders the holders of a lease.

use std::{fmt, str::FromStr};

use crate::{Grounds, Refusal, RefusalKind};

/// A number that grows with every holder of a lease. The resource that the lease protects refuses
/// every token below the greatest it has seen, so a holder that was paused, and lost its lease
/// without knowing, changes nothing.
///
/// It has 63 bits, which fit a signed 64-bit column of a database. Greater numbers are refused: a
/// resource that once accepts `u64::MAX` accepts no other token again. Its text is plain digits.
///
/// ```
/// use steadfast_core::FencingToken;
/// let token: FencingToken = "34".parse()?;
/// assert!(token > FencingToken::try_from(33_u64)?);
/// assert_eq!((token.get(), token.to_string().as_str()), (34, "34"));
/// assert!(FencingToken::try_from(u64::MAX).is_err());
/// # Ok::<_, steadfast_core::FencingTokenError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The greatest token: 2^63 − 1.
    pub const MAX: Self = Self(i64::MAX.cast_unsigned());

    /// The token as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next token; none after the greatest.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::try_from(self.0 + 1).ok()
    }

    /// 1 to 20 digits and nothing else.
    #[inline]
    pub(crate) fn from_digits(text: &[u8]) -> Option<Self> {
        let is_long_enough = (1..=MAX_DIGITS).contains(&text.len());
        let number = is_long_enough.then(|| number(text)).flatten()?;
        Self::try_from(number).ok()
    }
}

/// Digits, eight at a time: each request to a fenced resource has 16 of them, and one after the
/// other they would wait for one another.
#[inline]
fn number(text: &[u8]) -> Option<u64> {
    let (eights, rest) = text.as_chunks();
    let mut number = 0_u64;
    for &eight in eights {
        number = number.checked_mul(100_000_000)?.checked_add(eight_digits(eight)?)?;
    }
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}

/// In one word: its neighbours are added up to pairs, to fours, to eight. (Lemire, "Quickly parsing
/// eight digits", 2018.)
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(text);
    // A digit's upper half is 3, and six more do not carry into it.
    let is_three = |word: u64| word & (EACH * 0xf0) == EACH * 0x30;
    if !(is_three(word) && is_three(word.wrapping_add(EACH * 6))) {
        return None;
    }
    let digits = word & (EACH * 0x0f);
    // What leaves a word at its upper end is of no number.
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

impl TryFrom<u64> for FencingToken {
    type Error = FencingTokenError;

    fn try_from(number: u64) -> Result<Self, FencingTokenError> {
        if number > Self::MAX.0 { Err(FencingTokenError::MALFORMED) } else { Ok(Self(number)) }
    }
}

impl TryFrom<i64> for FencingToken {
    type Error = FencingTokenError;

    fn try_from(number: i64) -> Result<Self, FencingTokenError> {
        u64::try_from(number).map(Self).map_err(|_| FencingTokenError::MALFORMED)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}

impl From<FencingToken> for i64 {
    fn from(token: FencingToken) -> Self {
        token.0.cast_signed()
    }
}

impl FromStr for FencingToken {
    type Err = FencingTokenError;

    /// 1 to 20 digits and nothing else: no sign, no space, no separator.
    fn from_str(text: &str) -> Result<Self, FencingTokenError> {
        Self::from_digits(text.as_bytes()).ok_or(FencingTokenError::MALFORMED)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As many as the greatest number of 64 bits has.
const MAX_DIGITS: usize = 20;

/// What should have been a fencing token is none: HTTP 400, gRPC `INVALID_ARGUMENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fencing token is a number of at most 20 digits, and at most {}", FencingToken::MAX)]
#[non_exhaustive]
pub struct FencingTokenError {
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

impl FencingTokenError {
    pub(crate) const MALFORMED: Self =
        Self { grounds: Grounds::not_executed(RefusalKind::Malformed) };
}

impl Refusal for FencingTokenError {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_plain_digits_of_63_bits() {
        let number = |text: &str| text.parse::<FencingToken>().ok().map(FencingToken::get);
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("007"), Some(7));
        assert_eq!(number("00000000000000000042"), Some(42), "twenty digits");
        assert_eq!(number("1790123456789012"), Some(1_790_123_456_789_012), "sixteen");
        assert_eq!(number("9223372036854775807"), Some(FencingToken::MAX.get()));
        for nonsense in [
            "",
            " ",
            "+1",
            "-1",
            "1 ",
            " 1",
            "1.0",
            "1e3",
            "0x1",
            "1_000",
            "١",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "000000000000000000042",
            // One after the other is wrong, of those that are read together too.
            "/234567812345678",
            "123456781234567:",
            "1234:67812345678",
            "123456781234/678",
        ] {
            assert_eq!(number(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn numbers_beyond_63_bits_and_below_zero_are_refused_as_malformed() {
        let malformed = Err(Grounds::not_executed(RefusalKind::Malformed));
        assert_eq!(FencingToken::try_from(u64::MAX).map_err(|error| error.grounds()), malformed);
        assert_eq!(
            FencingToken::try_from(FencingToken::MAX.get() + 1).map_err(|error| error.grounds()),
            malformed
        );
        assert_eq!(FencingToken::try_from(-1_i64).map_err(|error| error.grounds()), malformed);
        assert_eq!(FencingToken::try_from(i64::MAX), Ok(FencingToken::MAX));
        assert_eq!(FencingToken::MAX.next(), None);
        assert_eq!(FencingToken(0).next(), Some(FencingToken(1)));
        assert_eq!(i64::from(FencingToken::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_ordered_alike(one in 0..=i64::MAX, other in 0..=i64::MAX) {
            let [first, second] = [one, other].map(|number| FencingToken::try_from(number).unwrap());
            prop_assert_eq!(first.to_string().parse(), Ok(first));
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
        }

        #[test]
        fn text_is_a_token_just_if_it_is_up_to_twenty_digits_within_63_bits(text in "[0-9+ _.a-]{0,22}") {
            let plain = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            let expected = plain.then(|| text.parse::<u128>().unwrap()).filter(|&number| number < 1 << 63);
            prop_assert_eq!(text.parse::<FencingToken>().ok().map(|token| u128::from(token.get())), expected);
        }
    }
}
