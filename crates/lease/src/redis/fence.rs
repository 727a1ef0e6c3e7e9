//! The fence of what is kept in Redis.

use ::redis::RedisError;

use crate::{FenceMark, Fenced, FencingToken};

/// A script that passes the fence before it runs, or ends without having done anything. **Also one
/// that only reads what a later write depends on.**
///
/// In front of `source` comes the check, in the same script and so in one step with it. Its mark is
/// `KEYS[1]`, in the slot of what is fenced (`{accounts/7}:fence` beside `{accounts/7}:balance`),
/// and its arguments are the two of [`fence_args`]. What the script itself takes comes behind:
/// `KEYS[2]`, `ARGV[3]` and so on. The mark never expires, and it must not be evicted.
///
/// **A server that forgets the mark lets a former holder in again**, between a read of the newer
/// one and its write: one that syncs its append-only file not `always` and dies, and a replica that
/// is promoted and is behind. It forgets the data of that moment too, but not what was read. Where
/// that is too much, fence what is in PostgreSQL, or read again behind a failover before writing.
/// Run the script on the master: one that raises no mark runs on a replica too, which may be
/// behind.
///
/// A shebang in `source` stays in front; what declares `no-writes` cannot raise a mark.
///
/// A refusal is an error of the server's, which [`fenced`] reads.
///
/// ```no_run
/// # async fn doc(mut connection: redis::aio::MultiplexedConnection, lease: steadfast_lease::Lease)
/// #     -> Result<(), Box<dyn std::error::Error>> {
/// use steadfast_lease::redis::{fence_args, fence_script, fenced};
///
/// let script = fence_script("return redis.call('INCRBY', KEYS[2], ARGV[3])");
/// let paid = redis::Script::new(&script)
///     .key("{accounts/7}:fence")
///     .key("{accounts/7}:balance")
///     .arg(&fence_args(lease.token()))
///     .arg(5)
///     .invoke_async::<i64>(&mut connection)
///     .await;
/// if let Err(error) = &paid {
///     if let Some(fenced) = fenced(error, lease.token()) {
///         return Err(fenced.into());
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use]
pub fn fence_script(source: &str) -> String {
    let (shebang, source) = match source.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!") => (first, rest),
        None if source.starts_with("#!") => (source, ""),
        _ => ("", source),
    };
    let gap = if shebang.is_empty() { "" } else { "\n" };
    format!("{shebang}{gap}{FENCE}{source}")
}

/// The check by itself, for a program that puts its scripts together in its own way, or in another
/// language.
pub const FENCE: &str = include_str!("fence.lua");

/// The arguments of the check: the token of the lease, and the number of the call if there is one.
#[must_use]
pub fn fence_args(token: impl Into<FenceMark>) -> [String; 2] {
    let mark: FenceMark = token.into();
    let number = mark.sequence().map_or_else(String::new, |number| number.to_string());
    [mark.token().to_string(), number]
}

/// The refusal that this error of a script is, if it is one: the script has done nothing.
#[must_use]
pub fn fenced(error: &RedisError, presented: impl Into<FenceMark>) -> Option<Fenced> {
    let mark: FenceMark = presented.into();
    let told = error.detail().and_then(|detail| detail.split_whitespace().next());
    let number = || told?.parse::<u64>().ok();
    let token = || FencingToken::try_from(number()?).ok();
    match error.code()? {
        "FENCESTALE" => Some(Fenced::stale(mark.token(), token()?)),
        "FENCEOUTOFORDER" => Some(Fenced::out_of_order(mark.token(), mark.sequence(), number()?)),
        "FENCEAHEAD" => Some(Fenced::too_far_ahead(mark.token(), token()?)),
        "FENCEMALFORMED" => Some(Fenced::malformed()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_comes_behind_a_shebang_and_before_the_script() {
        let plain = fence_script("return 1");
        assert!(plain.starts_with("-- The fence") && plain.ends_with("return 1"));
        let flagged = fence_script("#!lua flags=allow-oom\nreturn 1");
        assert!(flagged.starts_with("#!lua flags=allow-oom\n-- The fence"));
        assert!(flagged.ends_with("\nreturn 1"));
        assert!(fence_script("#!lua").starts_with("#!lua\n-- The fence"));
    }
}
