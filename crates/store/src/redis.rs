//! Redis: scripts that decide in the server, over any connection.
//!
//! ```no_run
//! use steadfast_store::redis::{Script, Scripts, connect};
//!
//! # async fn doc() -> Result<(), steadfast_store::StoreError> {
//! let raise = Script::new(
//!     "local now = tonumber(redis.call('GET', KEYS[1]) or 0)
//!      return redis.call('SET', KEYS[1], math.max(now, tonumber(ARGV[1])))",
//! );
//! let scripts = Scripts::new(connect("redis://localhost/").await?);
//! scripts.check_eviction().await?;
//! let reply = scripts.run(&raise, &[b"high water"], &[b"7"]).await?;
//! # Ok(()) }
//! ```

use std::{any::TypeId, fmt};

use ::redis::{
    Cmd, ErrorKind, RedisError, ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, MultiplexedConnection},
};
use steadfast_core::Executed;

use crate::StoreError;

mod answer;
mod connect;
mod error;
mod eviction;

pub use self::{
    answer::{Answer, CORRUPT, unexpected, unlike},
    connect::connect,
};

/// A connection that [`Scripts`] run over: redis' multiplexed connection, its connection manager,
/// its connection to a cluster, and any other that is shared by cloning it.
pub trait Connection: ConnectionLike + Clone + Send + Sync + 'static {}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connection for C {}

/// A script in Lua, which runs in the server alone with its keys.
#[derive(Clone, Debug)]
pub struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    /// The script of this source. The server knows it by its hash, and is sent the source when it
    /// does not.
    #[must_use]
    pub fn new(source: &'static str) -> Self {
        let hash = ::redis::Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }
}

/// Runs scripts over a connection.
///
/// One round trip each; two where the server does not know the script: the first time, after a
/// restart, after a failover to a server that has never run it, and when scripts were flushed. How
/// long a call may take is set on the connection (`response_timeout`).
///
/// Clones share the connection.
#[derive(Clone)]
pub struct Scripts<C> {
    connection: C,
}

impl<C: Connection> Scripts<C> {
    /// Over `connection`.
    pub const fn new(connection: C) -> Self {
        Self { connection }
    }

    /// Runs `script` with these `keys` and `args`, and returns what it returns.
    ///
    /// The keys of one call must be in one slot of a cluster. Dropped, it may run all the same.
    ///
    /// # Errors
    /// With [`Executed::No`] only where the server says that it ran nothing, or could not be
    /// connected to; and over connections that send a call again by themselves, such as a
    /// cluster's, with [`Executed::Maybe`] always, because the error is that of the last try. That
    /// is every type of connection but redis' multiplexed one and its manager.
    ///
    /// - [`Unavailable`](crate::StoreErrorKind::Unavailable): it refuses the connection, has
    ///   dropped it, loads its data, is a replica, cannot write to disk, or its cluster is down;
    /// - [`TimedOut`](crate::StoreErrorKind::TimedOut);
    /// - [`Full`](crate::StoreErrorKind::Full): it has reached its `maxmemory`;
    /// - [`Corrupt`](crate::StoreErrorKind::Corrupt): under a key is something of another type;
    /// - [`Misconfigured`](crate::StoreErrorKind::Misconfigured): it wants another user or
    ///   password, forbids the command or the keys, or does not understand the script.
    ///
    /// No error shows a key or an argument.
    pub async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let by_hash = command("EVALSHA", script.hash.as_bytes(), keys, args);
        let reply = self.call(&by_hash).await;
        let reply = if reply.as_ref().is_err_and(is_unknown) {
            // With its source, and not after loading it: in a cluster it goes where its keys are,
            // and no flush comes between the two.
            self.call(&command("EVAL", script.source.as_bytes(), keys, args)).await
        } else {
            reply
        };
        if reply.as_ref().is_err_and(is_replica) {
            self.leave_replica().await;
        }
        reply.map_err(|error| self.error(&error))
    }

    /// Ends the connection to a server that is no master any more, if it is one that is made anew:
    /// it may lead to the new master then, and otherwise it would stay here for ever.
    async fn leave_replica(&self) {
        if TypeId::of::<C>() == TypeId::of::<ConnectionManager>() {
            let mut quit = Cmd::new();
            quit.arg("QUIT");
            // It answers, and hangs up; or it has hung up already.
            let _ = self.call(&quit).await;
        }
    }

    /// Makes sure that the server never evicts what it should keep: its `maxmemory-policy` must be
    /// `noeviction`, on each server of a cluster that the connection asks.
    ///
    /// It asks by `INFO`, which is allowed where `CONFIG` is forbidden. Ask again after a failover:
    /// the new server has settings of its own.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) with any other policy, and where
    /// `INFO` is forbidden; otherwise as [`run`](Self::run).
    pub async fn check_eviction(&self) -> Result<(), StoreError> {
        let mut info = Cmd::new();
        info.arg("INFO").arg("memory");
        eviction::check(&self.call(&info).await.map_err(|error| self.error(&error))?)
    }

    async fn call(&self, command: &Cmd) -> Result<Value, RedisError> {
        self.connection.clone().req_packed_command(command).await?.extract_error()
    }

    fn error(&self, error: &RedisError) -> StoreError {
        let error = error::of(error);
        if sends_once::<C>() { error } else { error.executed_as(Executed::Maybe) }
    }
}

impl<C> fmt::Debug for Scripts<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts").finish_non_exhaustive()
    }
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn is_replica(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Whether an error of such a connection is that of the one time it has sent the command.
fn sends_once<C: 'static>() -> bool {
    let kind = TypeId::of::<C>();
    [TypeId::of::<MultiplexedConnection>(), TypeId::of::<ConnectionManager>()].contains(&kind)
}

/// What a command takes beside its arguments: lengths, ends of lines, the count of its keys.
const FRAMING: usize = 16;

fn command(name: &str, script: &[u8], keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
    let arguments = [&[script], keys, args];
    let bytes: usize = arguments.iter().flat_map(|part| part.iter()).map(|arg| arg.len()).sum();
    let count = 2 + arguments.iter().map(|part| part.len()).sum::<usize>();
    let mut command = Cmd::with_capacity(count, bytes + FRAMING * (count + 1));
    command.arg(name).arg(script).arg(keys.len());
    for argument in keys.iter().chain(args) {
        command.arg(*argument);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_keys_before_its_arguments_and_counts_the_keys() {
        let command = command("EVALSHA", b"5ha", &[b"k", b"\0\xff"], &[b""]);
        let packed = command.get_packed_command();
        let expected =
            b"*6\r\n$7\r\nEVALSHA\r\n$3\r\n5ha\r\n$1\r\n2\r\n$1\r\nk\r\n$2\r\n\0\xff\r\n$0\r\n\r\n";
        assert_eq!(packed, expected);
    }

    #[test]
    fn a_script_is_known_by_the_hash_that_redis_gives_it() {
        // By `printf 'return 1' | sha1sum`.
        assert_eq!(Script::new("return 1").hash, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn only_known_connections_are_trusted_to_send_once() {
        assert!(sends_once::<MultiplexedConnection>() && sends_once::<ConnectionManager>());
        assert!(!sends_once::<::redis::cluster_async::ClusterConnection>());
    }
}
