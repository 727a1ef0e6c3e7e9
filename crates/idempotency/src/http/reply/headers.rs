//! Which headers of a reply are kept.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, CONNECTION},
};

/// Which headers and trailers of a response are kept with it, for its duplicates.
///
/// All but those of the connection (`Connection` and what it names, `Keep-Alive`,
/// `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`: RFC 9110, section 7.6.1), those of the
/// moment (`Date`, `Age`), those for one principal (`Set-Cookie`, `WWW-Authenticate`,
/// `Proxy-Authenticate`, `Authentication-Info`, `Proxy-Authentication-Info`, `Clear-Site-Data`),
/// those of CORS (`Access-Control-*`), which speak to the origin of this request, and those on how
/// many requests are left (`RateLimit`, `RateLimit-*`, `X-RateLimit-*`, `X-Rate-Limit-*`). The
/// first caller gets all of them.
///
/// Whatever else is for one caller alone is to be dropped by name, where a key is not scoped by
/// that caller.
///
/// ```
/// use http::HeaderName;
/// use steadfast_idempotency::http::KeptHeaders;
/// let headers = KeptHeaders::new()
///     .without(HeaderName::from_static("x-request-id"))
///     .with(HeaderName::from_static("ratelimit-policy"));
/// # let _ = headers;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct KeptHeaders {
    with: Vec<HeaderName>,
    without: Vec<HeaderName>,
}

const OF_A_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
const OF_THE_MOMENT: [HeaderName; 2] = [header::DATE, header::AGE];
const OF_A_PRINCIPAL: [&str; 7] = [
    "set-cookie",
    "set-cookie2",
    "www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "proxy-authentication-info",
    "clear-site-data",
];
const PREFIXES: [&str; 4] = ["access-control-", "ratelimit-", "x-ratelimit-", "x-rate-limit-"];

impl KeptHeaders {
    /// The defaults.
    pub const fn new() -> Self {
        Self { with: Vec::new(), without: Vec::new() }
    }

    /// Keeps this header, too. One of the connection is never kept.
    pub fn with(mut self, name: HeaderName) -> Self {
        self.without.retain(|other| *other != name);
        self.with.push(name);
        self
    }

    /// Drops this header, too.
    pub fn without(mut self, name: HeaderName) -> Self {
        self.with.retain(|other| *other != name);
        self.without.push(name);
        self
    }

    /// The lines of `headers` that are kept.
    pub(super) fn of<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        headers.iter().filter(|(name, _)| self.keeps(name) && !is_named(headers, name))
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        if OF_A_CONNECTION.contains(&name.as_str()) || self.without.contains(name) {
            return false;
        }
        self.with.contains(name) || !is_of_one_answer(name)
    }
}

fn is_of_one_answer(name: &HeaderName) -> bool {
    let text = name.as_str();
    OF_THE_MOMENT.contains(name)
        || OF_A_PRINCIPAL.contains(&text)
        || text == "ratelimit"
        || PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether `Connection` names it.
fn is_named(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(CONNECTION).iter().any(|line| {
        let mut names = line.as_bytes().split(|byte| *byte == b',');
        names.any(|named| named.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(policy: &KeptHeaders, lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = name.to_ascii_lowercase().parse::<HeaderName>().unwrap();
            headers.append(name, HeaderValue::from_static(value));
        }
        policy
            .of(&headers)
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_of_the_connection_the_moment_or_one_caller_is_not_kept() {
        for name in [
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Transfer-Encoding",
            "Upgrade",
            "Date",
            "Age",
            "Set-Cookie",
            "Set-Cookie2",
            "WWW-Authenticate",
            "Proxy-Authenticate",
            "Authentication-Info",
            "Proxy-Authentication-Info",
            "Clear-Site-Data",
            "Access-Control-Allow-Origin",
            "Access-Control-Expose-Headers",
            "RateLimit",
            "RateLimit-Policy",
            "X-RateLimit-Remaining",
            "X-Rate-Limit-Reset",
        ] {
            assert_eq!(
                kept(&KeptHeaders::new(), &[(name, "1"), ("location", "/7")]),
                ["location: /7"]
            );
        }
        for name in ["trailer", "content-type", "content-length", "vary", "etag", "x-age", "rates"]
        {
            assert_eq!(kept(&KeptHeaders::new(), &[(name, "1")]), [format!("{name}: 1")]);
        }
    }

    #[test]
    fn repeated_headers_are_kept_in_their_order() {
        let lines = [("link", "<a>"), ("x", "1"), ("link", "<b>"), ("link", "<a>")];
        let kept = kept(&KeptHeaders::new(), &lines);
        assert_eq!(kept, ["link: <a>", "link: <b>", "link: <a>", "x: 1"]);
    }

    #[test]
    fn what_connection_names_is_of_the_connection() {
        let lines = [("connection", "close, X-Hop"), ("connection", "other"), ("x-hop", "1")];
        let lines = [&lines[..], &[("other", "1"), ("x-end", "1")]].concat();
        assert_eq!(kept(&KeptHeaders::new(), &lines), ["x-end: 1"]);
    }

    #[test]
    fn the_list_can_be_changed_but_for_the_connection() {
        let policy = KeptHeaders::new()
            .without(HeaderName::from_static("x-request-id"))
            .with(HeaderName::from_static("ratelimit-policy"))
            .with(HeaderName::from_static("connection"));
        let lines = [
            ("x-request-id", "7"),
            ("ratelimit-policy", "p"),
            ("connection", "close"),
            ("age", "3"),
        ];
        assert_eq!(kept(&policy, &lines), ["ratelimit-policy: p"]);
        let policy = policy.with(HeaderName::from_static("x-request-id"));
        assert_eq!(kept(&policy, &lines[..1]), ["x-request-id: 7"], "the later word counts");
    }
}
