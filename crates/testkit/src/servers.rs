//! Real servers, for tests of what talks to them.
//!
//! [`redis`], [`postgres`] and [`etcd`] are shared by the tests of a process. A test that kills,
//! stops or fills its server starts one of its own. Each has a free port of the loopback interface
//! and a temporary directory, and both are gone when the process has ended, however it ended.
//!
//! A server that is not installed fails the test, which says how to install it. The functions
//! block, for milliseconds, and for some seconds where PostgreSQL or a cluster is set up.

mod authority;
mod clock;
mod etcd;
mod guardian;
mod pgbouncer;
mod postgres;
mod redis;

use std::sync::OnceLock;

pub use self::{
    authority::Authority,
    etcd::{EtcdCluster, EtcdServer},
    pgbouncer::PgBouncer,
    postgres::PostgresServer,
    redis::{RedisCluster, RedisServer},
};

/// What installs all servers on Debian.
const INSTALL: &str = "apt-get install -y --no-install-recommends redis-server postgresql pgbouncer etcd-server gcc libc6-dev (or: cargo xtask test servers)";

/// The Redis of this process, started by the first call.
///
/// # Panics
/// When it is not installed or does not start.
pub fn redis() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(|| RedisServer::start(&[]))
}

/// The PostgreSQL of this process, started by the first call.
///
/// # Panics
/// When it is not installed or does not start.
pub fn postgres() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(PostgresServer::start)
}

/// The etcd of this process, one node, started by the first call.
///
/// # Panics
/// When it is not installed or does not start.
pub fn etcd() -> &'static EtcdServer {
    static SERVER: OnceLock<EtcdServer> = OnceLock::new();
    SERVER.get_or_init(|| EtcdServer::start(&[]))
}
