//! Where leases and accounts are kept.

use std::{env, fmt, fs, path::PathBuf, process, time::Duration};

use axum::Router;
use deadpool_postgres::Pool;
use redis::{AsyncCommands, aio::ConnectionManager};
use steadfast::{
    lease::postgres::FenceTable,
    store::{connect, redis::connect as connect_redis},
};
use steadfast_testkit::servers::{EtcdCluster, PostgresServer, RedisServer};
use tokio::task::block_in_place;

use crate::{Failure, act::Act, ledger::Ledger};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Etcd,
    Redis,
    Postgres,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Option<Self> {
        let kinds = [Self::File, Self::Etcd, Self::Redis, Self::Postgres];
        kinds.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Etcd => "etcd",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "leases in files, the account behind an HTTP server",
            Self::Etcd => "leases in three nodes of etcd, the account behind an HTTP server",
            Self::Redis => "leases and the account in Redis",
            Self::Postgres => "leases and the account in PostgreSQL",
        })
    }
}

/// What outlives the processes. It ends with this.
pub(crate) enum Place {
    File(Directory, Ledger),
    Etcd(Box<EtcdCluster>, Ledger),
    Redis(RedisServer, ConnectionManager),
    Postgres(PostgresServer, Pool),
}

impl Place {
    pub(crate) async fn set(kind: Kind) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::File => Self::File(Directory::new()?, Ledger::default()),
            Kind::Etcd => Self::Etcd(block_in_place(EtcdCluster::start).into(), Ledger::default()),
            Kind::Redis => {
                // Only what is on the disk is acknowledged.
                let options = ["--appendfsync", "always"];
                let server = block_in_place(|| RedisServer::start(&options));
                let connection = connect_redis(&server.url()).await?;
                Self::Redis(server, connection)
            }
            Kind::Postgres => {
                let server = block_in_place(PostgresServer::start);
                let mut pool = connect(&server.url()).await?;
                FenceTable::new("fence_marks", IDLE_LIMIT)?.migrate(&mut pool).await?;
                let client = pool.get().await?;
                client.batch_execute(ACCOUNTS).await?;
                for act in Act::BOTH {
                    let insert = "INSERT INTO accounts VALUES ($1, 0)";
                    client.execute(insert, &[&act.resource()]).await?;
                }
                drop(client);
                Self::Postgres(server, pool)
            }
        })
    }

    /// As [`LeaseClient::connect`](steadfast::lease::LeaseClient::connect) takes it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(directory, _) => format!("file:{}", directory.0.display()),
            Self::Etcd(cluster, _) => cluster.url(),
            Self::Redis(server, _) => server.url(),
            Self::Postgres(server, _) => server.url(),
        }
    }

    /// What the stage serves.
    pub(crate) fn routes(&self) -> Result<Router, Failure> {
        match self {
            Self::File(_, ledger) | Self::Etcd(_, ledger) => ledger.routes(),
            Self::Redis(..) | Self::Postgres(..) => Ok(Router::new()),
        }
    }

    pub(crate) async fn balance(&self, act: Act) -> Result<i64, Failure> {
        let name = act.resource();
        Ok(match self {
            Self::File(_, ledger) | Self::Etcd(_, ledger) => ledger.balance(act),
            Self::Redis(_, connection) => {
                let balance: Option<i64> = connection.clone().get(key_of(name)).await?;
                balance.unwrap_or(0)
            }
            Self::Postgres(_, pool) => {
                let select = "SELECT balance FROM accounts WHERE name = $1";
                pool.get().await?.query_one(select, &[&name]).await?.get(0)
            }
        })
    }
}

/// In Redis. The mark of its fence is in the same slot of a cluster.
pub(crate) fn key_of(account: &str) -> String {
    format!("{{{account}}}:balance")
}

const ACCOUNTS: &str = "CREATE TABLE accounts (name text PRIMARY KEY, balance bigint NOT NULL)";
/// As of the fence by default.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// A directory that is removed with this.
pub(crate) struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("leader-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which empties the directory of such files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
