//! Records in Redis.

use std::{fmt, sync::Arc, time::Duration};

use ::redis::{Value, aio::ConnectionManager};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use steadfast_core::ConfigError;
use steadfast_store::{
    redis::{Connection, Script, Scripts, connect},
    within,
};

use crate::{
    Change, ClaimReply, ClaimTerms, ClaimToken, OnAbandoned, RecordId, Store, StoreError, View,
};

mod answer;

/// Where a [`RedisStore`] keeps its records.
///
/// | | default | why |
/// |---|---|---|
/// | `prefix` | `steadfast:idempotency:` | beside a program's other keys |
/// | `call_limit` | 4 s | less than the `store_limit` of the handle, so that the store's own answer
/// is heard |
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RedisConfig {
    prefix: Arc<str>,
    call_limit: Duration,
}

const LONGEST_PREFIX: usize = 256;
const LONGEST_LIMIT: Duration = Duration::from_secs(60);

impl RedisConfig {
    /// The defaults.
    pub fn new() -> Self {
        let call_limit = Duration::from_secs(4);
        Self { prefix: "steadfast:idempotency:".into(), call_limit }
    }

    /// What the keys of Redis begin with: up to 256 bytes, and no braces, which would put all
    /// records of a cluster into one slot. Programs that share a server and a prefix share their
    /// records.
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a call may take: above zero and up to 1 min. A connection may have a shorter limit
    /// of its own; that of redis is half a second unless it is set.
    pub const fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self { prefix, call_limit } = self;
        let fits = prefix.len() <= LONGEST_PREFIX && !prefix.contains(['{', '}']);
        ConfigError::require(fits, "prefix", prefix, "up to 256 bytes, and without braces")?;
        let is_limit = !call_limit.is_zero() && *call_limit <= LONGEST_LIMIT;
        ConfigError::require(is_limit, "call_limit", *call_limit, "above zero and up to 1 min")
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps records in Redis 7 or later, or what speaks its language with shebangs in scripts, such
/// as Valkey: for services of several processes, at the price of one round trip an operation.
///
/// Each record is one hash, under the prefix and the SHA-256 of its name: keys of callers are
/// neither seen in Redis nor do they choose its slots. Each operation is one script, alone with its
/// record and on the server's clock. Records expire by themselves.
///
/// # What it promises
/// As much as Redis does.
///
/// - A server that **is killed**, or **loses power**, keeps all it has acknowledged if it has an
///   append-only file and syncs it always (`appendonly yes`, `appendfsync always`). By `everysec`
///   it may lose the last one or two seconds, also when only its process is killed: while its disk
///   is busy it acknowledges what it has only in its memory. Without that file a restart forgets
///   everything.
/// - A **failover** may lose what the replica had not been told: replication is asynchronous.
/// - Its **wall clock** counts leases and retentions. Set forward, it ends them early.
///
/// A completion that is lost counts as abandoned. A claim that is lost may run again, and is told
/// that it is the first. Where that must not happen, keep records in the database that holds the
/// effect.
///
/// The server must not evict: its `maxmemory-policy` must be `noeviction`, which
/// [`new`](Self::new) makes sure of. A server that is full refuses new claims and long replies;
/// claims are still renewed, released, abandoned, and completed with short replies.
///
/// # Connections
/// Any that is shared by cloning: redis' `MultiplexedConnection`, its `ConnectionManager`, its
/// `ClusterConnection`. Clones share the connection.
///
/// ```no_run
/// use steadfast_idempotency::{Idempotency, IdempotencyConfig, RedisConfig, RedisStore};
///
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect(RedisConfig::new(), "redis://localhost/").await?;
/// let idempotency = Idempotency::new(IdempotencyConfig::new(), store)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore<C = ConnectionManager> {
    config: RedisConfig,
    programs: Arc<Programs>,
    scripts: Scripts<C>,
}

struct Programs {
    claim: Script,
    renew: Script,
    complete: Script,
    complete_full: Script,
    release: Script,
    abandon: Script,
    look: Script,
    forget: Script,
}

/// A script behind what all of them share. With a flag a server that is full runs it all the same.
/// With flags, though they be none, one that has become a replica refuses it whatever it has: it
/// may not have heard of a claim, which is not lost for that.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("redis/record.lua"), include_str!($file)))
    };
    ($flags:literal, $file:literal) => {
        Script::new(concat!(
            "#!lua",
            $flags,
            "\n",
            include_str!("redis/record.lua"),
            include_str!($file)
        ))
    };
}

impl Programs {
    fn new() -> Self {
        Self {
            claim: script!("redis/claim.lua"),
            renew: script!(" flags=allow-oom", "redis/renew.lua"),
            complete: script!("", "redis/complete.lua"),
            complete_full: script!(" flags=allow-oom", "redis/complete.lua"),
            release: script!(" flags=allow-oom", "redis/release.lua"),
            abandon: script!(" flags=allow-oom", "redis/abandon.lua"),
            look: script!("redis/look.lua"),
            forget: script!(" flags=allow-oom", "redis/forget.lua"),
        }
    }
}

/// A reply that a server takes though it is full: any [`NotKept`](crate::StoredReply::NotKept), and
/// less than its claim took.
const SHORT_REPLY: usize = 64;

/// No time of a record is later than two of these from now, so that scripts can count in doubles:
/// 2^51 µs, 71 years.
const LONGEST_MICROS: u64 = 1 << 51;

impl RedisStore {
    /// Records in the server of this URL, as
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
    /// Records behind this connection, once it is sure that the server evicts none.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when the prefix has braces or is
    /// too long, when the server's `maxmemory-policy` is not `noeviction`, or when it does not let
    /// the user ask; otherwise as [`StoreErrorKind`](crate::StoreErrorKind) lists them.
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
    /// When the prefix has braces or is too long.
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
        id: &RecordId,
        args: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let key = self.key(id);
        within(self.config.call_limit, self.scripts.run(script, &[&key], args)).await
    }

    fn key(&self, id: &RecordId) -> Vec<u8> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = Sha256::digest(id.as_bytes());
        let mut key = Vec::with_capacity(self.config.prefix.len() + 2 * hash.len());
        key.extend_from_slice(self.config.prefix.as_bytes());
        for byte in hash {
            key.push(DIGITS[usize::from(byte >> 4)]);
            key.push(DIGITS[usize::from(byte & 15)]);
        }
        key
    }
}

/// In whole microseconds, and not shorter than it is.
fn micros(time: Duration) -> String {
    let micros = time.as_nanos().div_ceil(1000);
    u64::try_from(micros).unwrap_or(u64::MAX).min(LONGEST_MICROS).to_string()
}

impl<C: Connection> Store for RedisStore<C> {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        let (token, print) = (terms.token.to_bytes(), terms.fingerprint.to_bytes());
        let (lease, retention) = (micros(terms.lease), micros(terms.retention));
        let takes_over: &[u8] = match terms.on_abandoned {
            OnAbandoned::Refuse => b"0",
            OnAbandoned::Takeover => b"1",
        };
        let args = [&token[..], &print, lease.as_bytes(), retention.as_bytes(), takes_over];
        answer::claim(self.run(&self.programs.claim, id, &args).await?)
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (token, lease, retention) = (token.to_bytes(), micros(lease), micros(retention));
        let args = [&token[..], lease.as_bytes(), retention.as_bytes()];
        answer::change(self.run(&self.programs.renew, id, &args).await?)
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let Programs { complete, complete_full, .. } = &*self.programs;
        let script = if reply.len() <= SHORT_REPLY { complete_full } else { complete };
        let (token, retention) = (token.to_bytes(), micros(retention));
        let args = [&token[..], retention.as_bytes(), &reply];
        answer::change(self.run(script, id, &args).await?)
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        let args = [&token.to_bytes()[..]];
        answer::change(self.run(&self.programs.release, id, &args).await?)
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (token, retention) = (token.to_bytes(), micros(retention));
        let args = [&token[..], retention.as_bytes()];
        answer::change(self.run(&self.programs.abandon, id, &args).await?)
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        answer::look(self.run(&self.programs.look, id, &[]).await?)
    }

    /// Whatever is kept under the name goes, also what is no record.
    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        let change = answer::change(self.run(&self.programs.forget, id, &[]).await?)?;
        Ok(change == Change::Applied)
    }

    /// Records expire by themselves: none is left to remove.
    async fn purge_expired(&self, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }
}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("config", &self.config).finish_non_exhaustive()
    }
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
        assert!(far < 1 << 53);
    }

    #[test]
    fn a_prefix_that_would_choose_the_slot_is_refused() {
        for prefix in ["{one}", "a{", "}", &"x".repeat(257)] {
            let error = RedisConfig::new().prefix(prefix).check().unwrap_err();
            assert_eq!(error.field, "prefix", "{prefix}");
        }
        assert!(RedisConfig::new().prefix("").check().is_ok());
    }

    #[test]
    fn a_call_takes_some_time_and_not_for_ever() {
        for limit in [Duration::ZERO, Duration::from_secs(61)] {
            let error = RedisConfig::new().call_limit(limit).check().unwrap_err();
            assert_eq!(error.field, "call_limit");
        }
    }
}
