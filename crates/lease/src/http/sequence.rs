//! The headers of a call.

use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_core::{FencingToken, http::parse_fencing_token};

use crate::{FenceMark, Fenced};

/// `Fencing-Sequence`: the number of a call under its [token](crate::FencingToken), as plain
/// digits.
pub const FENCING_SEQUENCE: HeaderName = HeaderName::from_static("fencing-sequence");

/// To look it up by, without making it.
static NAME: HeaderName = FENCING_SEQUENCE;

/// As many as the greatest number of 64 bits has.
const MAX_DIGITS: usize = 20;

/// The token of a request that presents one, and no number.
#[inline(always)]
pub(crate) fn plain_token(headers: &HeaderMap) -> Option<FencingToken> {
    let token = parse_fencing_token(headers).ok().flatten()?;
    (!headers.contains_key(&NAME)).then_some(token)
}

/// What a request presents.
pub(crate) fn presented(headers: &HeaderMap) -> Result<FenceMark, Fenced> {
    let token = parse_fencing_token(headers).map_err(|_| Fenced::malformed())?;
    let mark = FenceMark::new(token.ok_or(Fenced::missing())?);
    let mut lines = headers.get_all(&NAME).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(mark),
        (Some(line), None) => Ok(mark.numbered(number(line).ok_or(Fenced::malformed())?)),
        (Some(_), Some(_)) => Err(Fenced::malformed()),
    }
}

/// 1 to 20 digits, bare or quoted, as those of a token.
fn number(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim_matches([' ', '\t']);
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = quoted.unwrap_or(text);
    let is_plain = digits.len() <= MAX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steadfast_core::{FencingToken, http::FENCING_TOKEN};

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let lines = lines.iter().cloned();
        lines.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_request_presents_a_token_and_perhaps_a_number() {
        let mark = FenceMark::new(FencingToken::try_from(1_790_000_000_000_000_u64).unwrap());
        let token = (FENCING_TOKEN, "1790000000000000");
        let plain = |headers: &HeaderMap| plain_token(headers).map(FenceMark::new);
        assert_eq!(plain(&headers(std::slice::from_ref(&token))), Some(mark));
        assert_eq!(presented(&headers(std::slice::from_ref(&token))), Ok(mark));
        let number = |text| headers(&[token.clone(), (FENCING_SEQUENCE, text)]);
        assert_eq!(plain(&number("7")), None);
        assert_eq!(presented(&number("7")), Ok(mark.numbered(7)));
        assert_eq!(presented(&number("\"18446744073709551615\"")), Ok(mark.numbered(u64::MAX)));
        let long = "000000000000000000007";
        for nonsense in ["", "\"\"", "-1", "+1", "1.0", "18446744073709551616", long, "7, 8", "x"] {
            assert_eq!(presented(&number(nonsense)), Err(Fenced::malformed()), "{nonsense:?}");
        }
    }

    #[test]
    fn no_token_is_missing_and_several_are_malformed() {
        assert_eq!(presented(&HeaderMap::new()), Err(Fenced::missing()));
        let number = (FENCING_SEQUENCE, "7");
        assert_eq!(presented(&headers(std::slice::from_ref(&number))), Err(Fenced::missing()));
        let mut twice = headers(&[(FENCING_TOKEN, "5"), number.clone()]);
        twice.append(number.0, HeaderValue::from_static("7"));
        assert_eq!(presented(&twice), Err(Fenced::malformed()));
        let mut twice = headers(&[(FENCING_TOKEN, "5")]);
        twice.append(FENCING_TOKEN, HeaderValue::from_static("5"));
        assert_eq!(presented(&twice), Err(Fenced::malformed()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            token in prop::collection::vec(any::<u8>(), 0..30),
            number in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut headers = HeaderMap::new();
            for (name, bytes) in [(FENCING_TOKEN, token), (FENCING_SEQUENCE, number)] {
                headers.extend(HeaderValue::from_bytes(&bytes).ok().map(|value| (name, value)));
            }
            let _ = presented(&headers);
        }
    }
}
