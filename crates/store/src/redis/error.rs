//! What an error of Redis means.

use std::fmt;

use redis::{ErrorKind, RedisError};
use steadfast_core::Executed;

use crate::StoreError;

/// The error of a call that was sent at most once.
pub(super) fn of(error: &RedisError) -> StoreError {
    let kind = match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => of_server(error.code(), error.detail()),
        ErrorKind::Io if error.is_timeout() => StoreError::timed_out(),
        // Only a connection that never was is refused.
        ErrorKind::Io if error.is_connection_refusal() => StoreError::unavailable(Executed::No),
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::RESP3NotSupported
        | ErrorKind::EmptySentinelList
        | ErrorKind::MasterNameNotFoundBySentinel => StoreError::misconfigured(),
        ErrorKind::NoValidReplicasFoundBySentinel => StoreError::unavailable(Executed::No),
        // Before or behind the server's deed: the connection was dropped, or says what is no
        // answer.
        _ => StoreError::unavailable(Executed::Maybe),
    };
    kind.because(Cause::of(error))
}

/// What a server says with this code. All but one say it instead of running the script.
fn of_server(code: Option<&str>, detail: Option<&str>) -> StoreError {
    let detail = detail.unwrap_or_default();
    match code.unwrap_or_default() {
        "OOM" => StoreError::full(),
        "WRONGTYPE" => StoreError::corrupt(),
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "NOPROTO" => StoreError::misconfigured(),
        // A connection to one server of a cluster, or keys of several slots.
        "MOVED" | "CROSSSLOT" => StoreError::misconfigured(),
        "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "ASK" | "BUSY"
        | "MISCONF" | "NOREPLICAS" | "NOSCRIPT" => StoreError::unavailable(Executed::No),
        _ if detail.contains("max number of clients") => StoreError::unavailable(Executed::No),
        _ if NOT_UNDERSTOOD.iter().any(|words| detail.contains(words)) => {
            StoreError::misconfigured()
        }
        // A script that has failed while it ran.
        _ => StoreError::misconfigured().executed_as(Executed::Maybe),
    }
}

/// How a server says that it does not have the command, or cannot read the script.
const NOT_UNDERSTOOD: [&str; 5] = [
    "unknown command",
    "Unknown command",
    "Error compiling script",
    "Unexpected engine",
    "Unknown lua flag",
];

/// What the client or the server said, without what the caller said: an unknown command is quoted
/// with its arguments, and what cannot be parsed with what it is.
#[derive(Debug)]
struct Cause(String);

impl Cause {
    fn of(error: &RedisError) -> Self {
        Self(match error.kind() {
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => error.category().to_owned(),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                let detail = error.detail().unwrap_or_default();
                let detail = detail.split(", with args").next().unwrap_or_default();
                format!("{} {detail}", error.code().unwrap_or_default())
            }
            _ => error.to_string(),
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests {
    use std::{error::Error, io};

    use redis::parse_redis_value;

    use super::*;
    use crate::StoreErrorKind::{self, Corrupt, Full, Misconfigured, TimedOut, Unavailable};

    fn said(line: &str) -> StoreError {
        let reply = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        of(&reply.extract_error().unwrap_err())
    }

    #[test]
    fn what_a_server_says_has_a_kind_and_says_whether_the_script_ran() {
        let cases: [(&str, StoreErrorKind, Executed); 18] = [
            ("OOM command not allowed when used memory > 'maxmemory'.", Full, Executed::No),
            ("WRONGTYPE Operation against a key holding the wrong", Corrupt, Executed::No),
            ("NOAUTH Authentication required.", Misconfigured, Executed::No),
            ("WRONGPASS invalid username-password pair", Misconfigured, Executed::No),
            ("NOPERM User default has no permissions", Misconfigured, Executed::No),
            ("MOVED 1234 10.0.0.1:6379", Misconfigured, Executed::No),
            ("CROSSSLOT Keys in request don't hash", Misconfigured, Executed::No),
            ("LOADING Redis is loading the dataset in memory", Unavailable, Executed::No),
            ("READONLY You can't write against a read only replica.", Unavailable, Executed::No),
            ("MASTERDOWN Link with MASTER is down", Unavailable, Executed::No),
            ("CLUSTERDOWN Hash slot not served", Unavailable, Executed::No),
            ("TRYAGAIN Multiple keys request", Unavailable, Executed::No),
            ("BUSY Redis is busy running a script.", Unavailable, Executed::No),
            ("MISCONF Redis is configured to save RDB", Unavailable, Executed::No),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable, Executed::No),
            ("ERR max number of clients reached", Unavailable, Executed::No),
            ("ERR Error compiling script (new function)", Misconfigured, Executed::No),
            ("ERR user_script:3: attempt to index nil", Misconfigured, Executed::Maybe),
        ];
        for (line, kind, executed) in cases {
            let error = said(line);
            assert_eq!((error.kind(), error.executed()), (kind, executed), "{line}");
        }
    }

    #[test]
    fn what_happens_on_the_way_is_told_apart() {
        let on_the_way = |kind| of(&RedisError::from(io::Error::from(kind)));
        let cases = [
            (io::ErrorKind::ConnectionRefused, Unavailable, Executed::No),
            (io::ErrorKind::ConnectionReset, Unavailable, Executed::Maybe),
            (io::ErrorKind::BrokenPipe, Unavailable, Executed::Maybe),
            (io::ErrorKind::UnexpectedEof, Unavailable, Executed::Maybe),
            (io::ErrorKind::TimedOut, TimedOut, Executed::Maybe),
        ];
        for (on_way, kind, executed) in cases {
            let error = on_the_way(on_way);
            assert_eq!((error.kind(), error.executed()), (kind, executed), "{on_way:?}");
        }
    }

    #[test]
    fn no_error_quotes_the_caller() {
        let error = said("ERR unknown command 'EVALSHA', with args beginning with: '5ha' '1' 'k'");
        assert_eq!((error.kind(), error.executed()), (Misconfigured, Executed::No));
        assert_eq!(error.source().unwrap().to_string(), "ERR unknown command 'EVALSHA'");
        let reply = RedisError::from((ErrorKind::UnexpectedReturnType, "no", "secret".to_owned()));
        let shown = format!("{:?}", of(&reply));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
