//! The `Fencing-Token` header.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{FencingToken, FencingTokenError};

/// `Fencing-Token`: the [`FencingToken`] under which a request speaks, as plain digits.
pub const FENCING_TOKEN: HeaderName = HeaderName::from_static("fencing-token");

/// To look it up by, without making it.
static NAME: HeaderName = FENCING_TOKEN;

/// Reads the fencing token of a request; none when it has no such header.
///
/// 1 to 20 digits, bare or quoted. A structured-field integer ends at 15 digits, and tokens made
/// from a clock have 16: a peer that writes structured fields has to quote them.
///
/// # Errors
/// When there are several lines of it, or the one is anything else.
#[inline]
pub fn parse_fencing_token(headers: &HeaderMap) -> Result<Option<FencingToken>, FencingTokenError> {
    let mut lines = headers.get_all(&NAME).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => parse(line).map(Some),
        (Some(_), Some(_)) => Err(FencingTokenError::MALFORMED),
    }
}

#[inline]
fn parse(value: &HeaderValue) -> Result<FencingToken, FencingTokenError> {
    match FencingToken::from_digits(value.as_bytes()) {
        Some(token) => Ok(token),
        None => parse_dressed(value),
    }
}

/// With blanks or quotation marks round it, or nonsense.
#[cold]
fn parse_dressed(value: &HeaderValue) -> Result<FencingToken, FencingTokenError> {
    let text = value.to_str().map_err(|_| FencingTokenError::MALFORMED)?.trim_matches([' ', '\t']);
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.unwrap_or(text).parse()
}

impl From<FencingToken> for HeaderValue {
    /// Plain digits, without quotation marks.
    fn from(token: FencingToken) -> Self {
        Self::from(token.get())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_line(value: &str) -> Option<u64> {
        parse(&HeaderValue::from_str(value).unwrap()).ok().map(FencingToken::get)
    }

    #[test]
    fn digits_are_read_bare_and_quoted() {
        assert_eq!(parse_line("34"), Some(34));
        assert_eq!(parse_line(" \"34\"\t"), Some(34));
        assert_eq!(parse_line("\"9223372036854775807\""), Some(FencingToken::MAX.get()));
        for nonsense in [
            "",
            "\"\"",
            "\"",
            "\"34",
            "34\"",
            "\"\"34\"\"",
            "\" 34\"",
            "34, 35",
            "34;a",
            "?1",
            ":34:",
            "+34",
        ] {
            assert_eq!(parse_line(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_request_has_one_line_of_it_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(parse_fencing_token(&headers), Ok(None));
        headers.insert(FENCING_TOKEN, FencingToken::MAX.into());
        assert_eq!(parse_fencing_token(&headers), Ok(Some(FencingToken::MAX)));
        headers.append(FENCING_TOKEN, FencingToken::MAX.into());
        assert!(parse_fencing_token(&headers).is_err());
    }

    proptest! {
        #[test]
        fn any_value_is_read_as_its_unquoted_text_is(value in "\"?[ -~]{0,24}\"?") {
            let trimmed = value.trim_matches(' ');
            let text = match trimmed.as_bytes() {
                [b'"', .., b'"'] => &trimmed[1..trimmed.len() - 1],
                _ => trimmed,
            };
            prop_assert_eq!(parse_line(&value), text.parse().ok().map(FencingToken::get));
        }
    }
}
