//! The store.

use std::{fmt, sync::Arc, time::Duration};

use ::redis::{Value, aio::ConnectionManager};
use steadfast_core::ConfigError;
use steadfast_store::{
    redis::{Connection, Script, Scripts, connect},
    within,
};

use crate::{
    AcquireReply, AcquireTerms, LeaseName, NoTokenLeft, Nonce, RenewReply, Store, StoreError, View,
    polled,
};

use super::answer;
pub use super::config::RedisConfig;

/// Keeps leases in Redis 7 or later, or what speaks its language with shebangs in scripts, such as
/// Valkey.
///
/// The record of a name is one hash, under a key that shows the name: `steadfast:lease:{orders}`,
/// with what is neither a letter, a digit nor one of `-._~/:@` as `%` and two digits. The braces
/// make it a hash tag: in a cluster, keys with the same tag are in the same slot. Each operation is
/// one script in one round trip, alone with its record and on the server's clock; an acquisition
/// that is not granted writes nothing. A record stays for the retention after it was last held, and
/// then goes by itself.
///
/// # What it promises
/// Best effort, and the fence.
///
/// - A server that is restarted **without an append-only file**, one that syncs it not `always`,
///   and a **replica that is promoted** may have lost the record: another is granted the lease
///   while its holder believes in it. Tokens grow all the same, for they are made from the server's
///   clock; they go back only where that clock is behind too, and then a
///   [floor](crate::LeaseRequest::floor) heals it.
/// - Its **wall clock** counts leases. Set forward, it grants early; set back, it grants late.
///
/// In all of these the fence keeps the former holder away from the resource.
///
/// The server must not evict: its `maxmemory-policy` must be `noeviction`, which
/// [`new`](Self::new) makes sure of. A server that is full grants nothing; leases are still renewed
/// and released.
///
/// Tokens end at 2⁵³, which the clock reaches in the year 2255: the scripts count in doubles.
///
/// # Connections
/// Any that is shared by cloning: redis' `MultiplexedConnection`, its `ConnectionManager`, its
/// `ClusterConnection`. Clones share the connection.
///
/// ```no_run
/// use steadfast_lease::{LeaseClient, LeaseClientConfig, RedisConfig, RedisStore};
///
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect(RedisConfig::new(), "redis://localhost/").await?;
/// let client = LeaseClient::new(LeaseClientConfig::new(), store)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore<C = ConnectionManager> {
    config: RedisConfig,
    programs: Arc<Programs>,
    scripts: Scripts<C>,
}

struct Programs {
    acquire: Script,
    renew: Script,
    release: Script,
    observe: Script,
}

/// A script behind what all of them share. With a flag a server that is full runs it all the same.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("record.lua"), include_str!($file)))
    };
    ($flags:literal, $file:literal) => {
        Script::new(concat!(
            "#!lua flags=",
            $flags,
            "\n",
            include_str!("record.lua"),
            include_str!($file)
        ))
    };
}

impl Programs {
    fn new() -> Self {
        Self {
            acquire: script!("acquire.lua"),
            renew: script!("allow-oom", "renew.lua"),
            release: script!("allow-oom", "release.lua"),
            observe: script!("allow-oom", "observe.lua"),
        }
    }
}

/// No lease and no retention is longer, so that scripts can count in doubles: 2^51 µs, 71 years.
const LONGEST_MICROS: u64 = 1 << 51;
/// Scripts give out no token from here on.
const TOKENS_END: u64 = 1 << 53;

impl RedisStore {
    /// Leases in the server of this URL, as
    /// [`steadfast_store::redis::connect`](steadfast_store::redis::connect) reads it: `redis://…`,
    /// or `rediss://…` with the feature `redis-tls`.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when the server cannot be reached.
    pub async fn connect(config: RedisConfig, url: &str) -> Result<Self, StoreError> {
        Self::new(config, connect(url).await?).await
    }
}

impl<C: Connection> RedisStore<C> {
    /// Leases behind this connection, once it is sure that the server evicts none.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when a value is outside of what its
    /// setter names, when the server's `maxmemory-policy` is not `noeviction`, or when it does not
    /// let the user ask; otherwise as [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub async fn new(config: RedisConfig, connection: C) -> Result<Self, StoreError> {
        let store = Self::unchecked(config, connection)
            .map_err(|error| StoreError::misconfigured().because(error))?;
        store.check_eviction().await?;
        Ok(store)
    }

    /// The same without asking: for a server that cannot be reached yet, or whose `INFO` is
    /// forbidden.
    ///
    /// # Errors
    /// When a value is outside of what its setter names.
    pub fn unchecked(config: RedisConfig, connection: C) -> Result<Self, ConfigError> {
        config.check()?;
        let programs = Arc::new(Programs::new());
        Ok(Self { config, programs, scripts: Scripts::new(connection) })
    }

    /// Makes sure that the server evicts no record, as [`new`](Self::new) does. After a failover it
    /// is another server, with settings of its own.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when its `maxmemory-policy` is not
    /// `noeviction`, or when it does not let the user ask; otherwise as
    /// [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub async fn check_eviction(&self) -> Result<(), StoreError> {
        within(self.config.call_limit, self.scripts.check_eviction()).await
    }

    async fn run(
        &self,
        script: &Script,
        name: &LeaseName,
        args: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let key = key(&self.config.prefix, name);
        within(self.config.call_limit, self.scripts.run(script, &[key.as_bytes()], args)).await
    }

    async fn look(&self, name: &LeaseName) -> Result<View, StoreError> {
        answer::view(self.run(&self.programs.observe, name, &[]).await?)
    }
}

impl<C: Connection> Store for RedisStore<C> {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        let floor = match terms.floor {
            None => "-1".to_owned(),
            Some(above) if above.get() + 1 >= TOKENS_END => {
                return Err(StoreError::full().because(NoTokenLeft { above }));
            }
            Some(floor) => floor.to_string(),
        };
        let (nonce, holder) = (terms.nonce.to_bytes(), terms.holder.as_str().as_bytes());
        let (ttl, retention) = (micros(terms.ttl), micros(self.config.retention));
        let args = [&nonce, holder, ttl.as_bytes(), floor.as_bytes(), retention.as_bytes()];
        answer::acquire(self.run(&self.programs.acquire, name, &args).await?)
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        let (nonce, retention) = (nonce.to_bytes(), micros(self.config.retention));
        let args = [&nonce[..], retention.as_bytes()];
        answer::renew(self.run(&self.programs.renew, name, &args).await?)
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        let (nonce, retention) = (nonce.to_bytes(), micros(self.config.retention));
        let args = [&nonce[..], retention.as_bytes()];
        answer::release(self.run(&self.programs.release, name, &args).await?)
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        polled::observe(seen, self.config.look_every, || self.look(name)).await
    }
}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("config", &self.config).finish_non_exhaustive()
    }
}

/// In whole microseconds, and not shorter than it is.
fn micros(time: Duration) -> String {
    let micros = time.as_nanos().div_ceil(1000);
    u64::try_from(micros).unwrap_or(u64::MAX).min(LONGEST_MICROS).to_string()
}

/// The name as a hash tag, which a brace in it would end.
fn key(prefix: &str, name: &LeaseName) -> String {
    use std::fmt::Write;

    let mut key = String::with_capacity(prefix.len() + name.as_str().len() + 2);
    key.push_str(prefix);
    key.push('{');
    for byte in name.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte) {
            key.push(byte.into());
        } else {
            let _ = write!(key, "%{byte:02x}");
        }
    }
    key.push('}');
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_not_shorter_than_they_are_and_are_counted_exactly() {
        assert_eq!(micros(Duration::from_nanos(1)), "1");
        assert_eq!(micros(Duration::from_millis(30)), "30000");
        assert_eq!(micros(Duration::MAX), (1_u64 << 51).to_string());
        // Until the year 2110, with the longest lease and retention.
        let far = 4_430_000_000_000_000 + 2 * LONGEST_MICROS;
        assert!(far < TOKENS_END);
    }

    #[test]
    fn a_key_shows_the_name_and_no_character_of_it_ends_the_hash_tag() {
        let key = |name| key("p:", &LeaseName::new(name).unwrap());
        assert_eq!(key("orders/settlement"), "p:{orders/settlement}");
        assert_eq!(key("a}b{"), "p:{a%7db%7b}");
        assert_eq!(key("100% é\0"), "p:{100%25%20%c3%a9%00}");
        assert_ne!(key("%7d"), key("}"));
    }
}
