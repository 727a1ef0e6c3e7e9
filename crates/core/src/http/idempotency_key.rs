//! The `Idempotency-Key` header.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Grounds, Refusal, RefusalKind};

/// `Idempotency-Key`: the server recognises a repeated request by it, so that any method may be
/// sent again.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `Idempotent-Replayed: true` on a response that was stored for an earlier request with the same
/// key, as Stripe and those that follow it mark them: the request was not executed again, and will
/// be answered like this as long as the response is kept.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Whether a response with these headers is [a stored one](IDEMPOTENT_REPLAYED).
#[must_use]
pub fn is_replayed(headers: &HeaderMap) -> bool {
    headers.get(IDEMPOTENT_REPLAYED).is_some_and(|value| value.as_bytes() == b"true")
}

/// The key by which a server recognises a repeated request: 1 to 255 visible ASCII characters.
///
/// On the wire it is a structured-field string (`"8e03978e"`;
/// draft-ietf-httpapi-idempotency-key-header-07), or the bare characters, as many clients and
/// servers have it. Both spellings of a key are equal. A comma stands in a string only: bare it
/// makes a list, such as a proxy makes of two lines. A key is borrowed from its header, except
/// where the string holds escapes; [`into_owned`](Self::into_owned) makes it outlive the request.
///
/// `Debug` shows the length only: the holder of a key may be shown the response stored under it.
///
/// ```
/// use http::HeaderMap;
/// use steadfast_core::http::{IDEMPOTENCY_KEY, IdempotencyKey};
/// let mut headers = HeaderMap::new();
/// assert_eq!(IdempotencyKey::from_headers(&headers)?, None);
/// headers.insert(IDEMPOTENCY_KEY, "\"8e03978e\"".parse()?);
/// let key = IdempotencyKey::from_headers(&headers)?.unwrap();
/// assert_eq!(key.as_str(), "8e03978e");
/// headers.append(IDEMPOTENCY_KEY, "another".parse()?);
/// assert!(IdempotencyKey::from_headers(&headers).is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey<'a>(Cow<'a, str>);

impl<'a> IdempotencyKey<'a> {
    /// The longest key in characters. The draft leaves the limit to servers; this is Stripe's.
    pub const MAX_LENGTH: usize = 255;

    /// A key of these characters.
    ///
    /// # Errors
    /// Unless they are 1 to 255 visible ASCII characters.
    pub fn new(characters: impl Into<Cow<'a, str>>) -> Result<Self, IdempotencyKeyError> {
        let characters = characters.into();
        let is_key = (1..=Self::MAX_LENGTH).contains(&characters.len())
            && characters.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key { Ok(Self(characters)) } else { Err(IdempotencyKeyError::MALFORMED) }
    }

    /// Reads the key of a request; none when it has no such header.
    ///
    /// # Errors
    /// When there are several lines of it, or the one is empty (`""` too) or no key. A server
    /// refuses such a request: without a key it would run, and a repetition of it would run again.
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Option<Self>, IdempotencyKeyError> {
        let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => Self::parse(line).map(Some),
            (Some(_), Some(_)) => Err(IdempotencyKeyError::MALFORMED),
        }
    }

    /// Reads one header value: a structured-field string without parameters, or the bare
    /// characters, without a comma.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(value: &'a HeaderValue) -> Result<Self, IdempotencyKeyError> {
        let text =
            value.to_str().map_err(|_| IdempotencyKeyError::MALFORMED)?.trim_matches([' ', '\t']);
        match text.strip_prefix('"') {
            None if text.contains(',') => Err(IdempotencyKeyError::MALFORMED),
            None => Self::new(text),
            Some(quoted) => Self::new(unquoted(quoted).ok_or(IdempotencyKeyError::MALFORMED)?),
        }
    }

    /// The characters, without quotation marks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same key, which borrows nothing: one allocation where it was borrowed.
    #[must_use]
    pub fn into_owned(self) -> IdempotencyKey<'static> {
        IdempotencyKey(Cow::Owned(self.0.into_owned()))
    }

    /// The header value: a structured-field string, marked as sensitive.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        let escaped = self.0.replace('\\', r"\\").replace('"', "\\\"");
        let mut value = HeaderValue::try_from(format!("\"{escaped}\""))
            .expect("visible ASCII characters are a header value");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for IdempotencyKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyKey").field("length", &self.0.len()).finish_non_exhaustive()
    }
}

/// What a structured-field string holds (RFC 9651, section 4.2.5), from what follows its first
/// quotation mark.
///
/// The closing quotation mark ends the value. A backslash escapes a quotation mark or a backslash,
/// and nothing else.
fn unquoted(rest: &str) -> Option<Cow<'_, str>> {
    let content = rest.strip_suffix('"')?;
    if !content.contains(['"', '\\']) {
        return Some(Cow::Borrowed(content));
    }
    let mut text = String::with_capacity(content.len());
    let mut characters = content.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            '"' => return None,
            other => other,
        });
    }
    Some(Cow::Owned(text))
}

/// A request's `Idempotency-Key` is no key: HTTP 400, gRPC `INVALID_ARGUMENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an Idempotency-Key is one line of 1 to 255 visible ASCII characters, bare or as a quoted string"
)]
#[non_exhaustive]
pub struct IdempotencyKeyError {
    /// The facts, as any layer further out reads them.
    #[source]
    pub grounds: Grounds,
}

impl IdempotencyKeyError {
    const MALFORMED: Self = Self { grounds: Grounds::not_executed(RefusalKind::Malformed) };
}

impl Refusal for IdempotencyKeyError {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &[u8]) -> Option<String> {
        let value = HeaderValue::from_bytes(value).unwrap();
        IdempotencyKey::parse(&value).ok().map(|key| key.as_str().to_owned())
    }

    #[test]
    fn both_spellings_of_a_key_are_equal() {
        for (bare, quoted) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", r#""8e03978e-40d5-43dd-bc93-6894a57f9324""#),
            ("k", "\t \"k\" "),
            (r#"a"b"#, r#""a\"b""#),
            (r"a\b", r#""a\\b""#),
            (r"\", r#""\\""#),
            ("a;c=1", r#""a;c=1""#),
        ] {
            assert_eq!(parse(bare.as_bytes()).as_deref(), Some(bare));
            assert_eq!(parse(quoted.as_bytes()).as_deref(), Some(bare), "{quoted}");
        }
    }

    #[test]
    fn what_is_no_key_is_malformed() {
        for garbage in [
            "",
            " ",
            "\"\"",
            "\"",
            "\"\"\"",
            "\"a",
            "\"a\\\"",
            "\"a\" ; b",
            "\"a\";b=1",
            "\"a\", \"b\"",
            "\"a\"b\"",
            r#""a\b""#,
            "a b",
            "\"a b\"",
            "a\tb",
        ] {
            assert_eq!(parse(garbage.as_bytes()), None, "{garbage:?}");
        }
        for list in ["a,b", "a,", ",a", "a,a", "\"a\",\"b\"", "a,\"b\""] {
            assert_eq!(parse(list.as_bytes()), None, "{list}");
        }
        assert_eq!(parse(b"\"a,b\"").as_deref(), Some("a,b"), "in a string it is a character");
        assert_eq!(parse("schlüssel".as_bytes()), None);
        assert_eq!(parse(b"\"\xff\""), None);
        let error = IdempotencyKey::new("").unwrap_err();
        assert_eq!(error.grounds(), Grounds::not_executed(RefusalKind::Malformed));
    }

    #[test]
    fn the_length_is_counted_after_unquoting() {
        let longest = "k".repeat(255);
        let escaped = format!("\"{}\"", "\\\\".repeat(255));
        assert_eq!(parse(longest.as_bytes()), Some(longest.clone()));
        assert_eq!(parse(escaped.as_bytes()), Some("\\".repeat(255)));
        assert_eq!(parse(format!("{longest}k").as_bytes()), None);
        assert_eq!(parse(format!("\"{longest}k\"").as_bytes()), None);
    }

    #[test]
    fn a_request_has_one_line_of_it_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(IdempotencyKey::from_headers(&headers), Ok(None));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        assert_eq!(
            IdempotencyKey::from_headers(&headers),
            Ok(Some(IdempotencyKey::new("one").unwrap()))
        );
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        assert!(IdempotencyKey::from_headers(&headers).is_err(), "not even the same twice");
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("\"\""));
        assert!(IdempotencyKey::from_headers(&headers).is_err(), "an empty key protects nothing");
    }

    #[test]
    fn nothing_is_copied_without_need_and_nothing_is_shown() {
        let value = HeaderValue::from_static("\"secret\"");
        let key = IdempotencyKey::parse(&value).unwrap();
        assert!(matches!(key.0, Cow::Borrowed(_)));
        assert!(key.to_header().is_sensitive());
        assert!(!format!("{key:?} {:?}", key.to_header()).contains("secret"));
        assert_eq!(key.clone().into_owned(), key);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(key in "[!-~]{1,255}") {
            let written = IdempotencyKey::new(&key).unwrap().to_header();
            let read = IdempotencyKey::parse(&written).unwrap();
            prop_assert_eq!(read.as_str(), &key);
            if !key.starts_with('"') && !key.contains(',') {
                let bare = HeaderValue::from_str(&key).unwrap();
                prop_assert_eq!(IdempotencyKey::parse(&bare).unwrap(), read);
            }
        }

        #[test]
        fn any_value_is_a_key_or_an_error(value in prop::collection::vec(any::<u8>(), 0..300)) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            if let Ok(key) = IdempotencyKey::parse(&value) {
                prop_assert!((1..=255).contains(&key.as_str().len()));
                prop_assert!(key.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                let written = key.to_header();
                prop_assert_eq!(IdempotencyKey::parse(&written), Ok(key.clone()));
            }
        }

        #[test]
        fn quotes_and_escapes_in_any_order_never_panic(value in "[\"\\\\a ,;]{0,12}") {
            let value = HeaderValue::from_str(&value).unwrap();
            if let Ok(key) = IdempotencyKey::parse(&value) {
                let written = key.to_header();
                prop_assert_eq!(IdempotencyKey::parse(&written), Ok(key.clone()));
            }
        }
    }
}
