//! Where a cluster is, by its URL.

use std::fmt;

use tonic::transport::{Endpoint, Uri};

use crate::StoreError;

/// `etcd://user:password@host:port,host:port`, or `etcds` for TLS.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) servers: Vec<Uri>,
    pub(super) user: Option<User>,
    pub(super) is_secure: bool,
}

pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

/// As IANA has it.
const PORT: u16 = 2379;

impl Address {
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured), without the URL.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        Self::read(url).map_err(|why| StoreError::misconfigured().because(why))
    }

    fn read(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
        let is_secure = match scheme {
            "etcd" => false,
            "etcds" => true,
            _ => return Err("the URL is not etcd's"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (Some(User::read(user)?), hosts),
            None => (None, rest),
        };
        let servers = hosts.split(',').map(|host| server(host, is_secure));
        Ok(Self { servers: servers.collect::<Result<_, _>>()?, user, is_secure })
    }
}

impl User {
    fn read(text: &str) -> Result<Self, &'static str> {
        let (name, password) = text.split_once(':').ok_or("the URL has a user, but no password")?;
        let broken = "the user or the password in the URL has a broken escape";
        let name = unescaped(name).filter(|name| !name.is_empty()).ok_or(broken)?;
        Ok(Self { name, password: unescaped(password).ok_or(broken)? })
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("User(..)")
    }
}

fn server(host: &str, is_secure: bool) -> Result<Uri, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let bare = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let (name, port) = match bare.rsplit_once(':') {
        Some((_, port)) => (&host[..host.len() - port.len() - 1], port.parse().ok()),
        None => (host, Some(PORT)),
    };
    let broken = "a host or a port in the URL cannot be read";
    let port: u16 = port.filter(|port| *port > 0).ok_or(broken)?;
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(broken);
    }
    let scheme = if is_secure { "https" } else { "http" };
    format!("{scheme}://{name}:{port}").parse().map_err(|_| broken)
}

/// Each `%` and two digits as the byte that they stand for.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = behind;
            continue;
        }
        let (digits, behind) = behind.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = digit(digits[0])? << 4 | digit(digits[1])?;
        bytes.push(u8::try_from(byte).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// What is spoken to each server.
pub(super) fn endpoint(server: Uri, is_secure: bool) -> Result<Endpoint, StoreError> {
    let endpoint = Endpoint::from(server)
        .connect_timeout(super::servers::CONNECT)
        // A machine that has vanished closes no connection. etcd suffers a ping each 5 s, and none
        // where nothing is under way.
        .http2_keep_alive_interval(super::servers::PING)
        .keep_alive_timeout(super::servers::CONNECT);
    if is_secure { secured(endpoint) } else { Ok(endpoint) }
}

#[cfg(feature = "etcd-tls")]
fn secured(endpoint: Endpoint) -> Result<Endpoint, StoreError> {
    use tonic::transport::ClientTlsConfig;

    let trusting_the_system = ClientTlsConfig::new().with_native_roots();
    endpoint
        .tls_config(trusting_the_system)
        .map_err(|error| StoreError::misconfigured().because(error))
}

#[cfg(not(feature = "etcd-tls"))]
fn secured(_: Endpoint) -> Result<Endpoint, StoreError> {
    Err(StoreError::misconfigured().because("the URL needs the feature `etcd-tls`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> Vec<String> {
        Address::parse(url).unwrap().servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_url_has_one_server_or_several_and_may_have_a_user() {
        assert_eq!(servers("etcd://localhost"), ["http://localhost:2379/"]);
        assert_eq!(
            servers("etcds://a:1,b,c.d:3/"),
            ["https://a:1/", "https://b:2379/", "https://c.d:3/"]
        );
        assert_eq!(servers("etcd://[::1]:7,[::2]"), ["http://[::1]:7/", "http://[::2]:2379/"]);
        let address = Address::parse("etcds://root:p%40s%3as@host:1").unwrap();
        assert!(address.is_secure && !format!("{address:?}").contains("p@s"));
        let User { name, password } = address.user.unwrap();
        assert_eq!((name.as_str(), password.as_str()), ("root", "p@s:s"));
    }

    #[test]
    fn what_is_no_url_is_misconfigured_and_not_shown() {
        for url in [
            "",
            "etcd:",
            "etcd://",
            "etcd:///",
            "etcd://,",
            "etcd://a,,b",
            "etcd://a:0",
            "etcd://a:65536",
            "etcd://a:secret",
            "etcd://a/secret",
            "etcd://secret@a",
            "etcd://:secret@a",
            "etcd://a:secret%4@a",
            "etcd://a:secret%zz@a",
            "etcd://a:secret%ff@a",
            "http://secret",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), crate::StoreErrorKind::Misconfigured, "{url}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
