//! The servers: those of the leases, to which everything happens, and one of the registers, which
//! loses nothing that it has acknowledged. What a store of leases loses by design is so never
//! counted as lost by a fence.

use std::{
    env, fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use steadfast::{lease::postgres::FenceTable, store::connect};
use steadfast_chaos::process::Child;
use steadfast_testkit::servers::{EtcdCluster, PostgresServer, RedisServer};
use tokio::task::block_in_place;

use crate::{Failure, ledger::LedgerServer, way::Way};

/// Of the store of the leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Etcd,
    Redis,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::Etcd, Self::Redis, Self::Postgres];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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
            Self::File => "leases in files, registers behind an HTTP server",
            Self::Etcd => "leases in three nodes of etcd, registers behind an HTTP server",
            Self::Redis => "leases in one Redis, registers in another",
            Self::Postgres => "leases in one PostgreSQL, registers in another",
        })
    }
}

pub(crate) struct Place {
    leases: Leases,
    /// A replica of Redis that has taken over syncs its file each second, and may lose as much.
    is_lax: AtomicBool,
    registers: Registers,
    // Behind the servers that have files in there.
    _directory: Directory,
}

enum Leases {
    Files(PathBuf),
    Etcd(Box<EtcdCluster>),
    /// Until another takes its place.
    Redis(Mutex<RedisServer>),
    Postgres(Mutex<PostgresServer>),
}

enum Registers {
    Ledger(LedgerServer),
    Redis(RedisServer),
    Postgres(PostgresServer),
}

/// A replica or a standby, which is down and has missed what came since.
pub(crate) enum Replica {
    Redis(RedisServer),
    Postgres(PostgresServer),
}

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Kill,
    /// With its data.
    Restart,
    Stop,
    Resume,
}

impl Place {
    pub(crate) async fn set(kind: Kind) -> Result<Self, Failure> {
        let directory = Directory::new()?;
        let leases = block_in_place(|| match kind {
            Kind::File => Leases::Files(directory.0.join("leases")),
            Kind::Etcd => Leases::Etcd(EtcdCluster::start().into()),
            Kind::Redis => Leases::Redis(RedisServer::start_with_clock(&ALWAYS).into()),
            Kind::Postgres => Leases::Postgres(PostgresServer::start_with_clock().into()),
        });
        let registers = match kind {
            Kind::File | Kind::Etcd => {
                let directory = directory.0.join("registers");
                fs::create_dir(&directory)?;
                Registers::Ledger(block_in_place(|| LedgerServer::start(directory))?)
            }
            Kind::Redis => Registers::Redis(block_in_place(|| RedisServer::start(&ALWAYS))),
            Kind::Postgres => {
                let server = block_in_place(PostgresServer::start);
                make_tables(&server.url()).await?;
                Registers::Postgres(server)
            }
        };
        if let Leases::Files(path) = &leases {
            fs::create_dir(path)?;
        }
        Ok(Self { leases, is_lax: AtomicBool::new(false), registers, _directory: directory })
    }

    /// Of the servers of the leases.
    pub(crate) fn leases(&self) -> Vec<SocketAddr> {
        let ports = match &self.leases {
            Leases::Files(_) => vec![],
            Leases::Etcd(cluster) => cluster.nodes().iter().map(|node| node.port()).collect(),
            Leases::Redis(server) => vec![lock(server).port()],
            Leases::Postgres(server) => vec![lock(server).port()],
        };
        ports.into_iter().map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect()
    }

    pub(crate) fn registers(&self) -> SocketAddr {
        match &self.registers {
            Registers::Ledger(server) => server.address(),
            Registers::Redis(server) => (Ipv4Addr::LOCALHOST, server.port()).into(),
            Registers::Postgres(server) => (Ipv4Addr::LOCALHOST, server.port()).into(),
        }
    }

    /// As [`LeaseClient::connect`](steadfast::lease::LeaseClient::connect) takes it, of a worker
    /// that reaches the servers by these addresses.
    pub(crate) fn leases_url(&self, by: &[SocketAddr]) -> String {
        let hosts: Vec<_> = by.iter().map(SocketAddr::to_string).collect();
        let hosts = hosts.join(",");
        match &self.leases {
            Leases::Files(path) => format!("file:{}", path.display()),
            Leases::Etcd(_) => format!("etcd://{hosts}"),
            Leases::Redis(_) => format!("redis://{hosts}/"),
            Leases::Postgres(_) => format!("postgres://postgres@{hosts}/postgres"),
        }
    }

    /// As [`Registers::reach`](crate::registers::Registers::reach) takes it.
    pub(crate) fn registers_url(&self, by: SocketAddr) -> String {
        match &self.registers {
            Registers::Ledger(_) => format!("http://{by}"),
            Registers::Redis(_) => format!("redis://{by}/"),
            Registers::Postgres(_) => format!("postgres://postgres@{by}/postgres"),
        }
    }

    /// Whether the leases are without a server while one of them is down.
    pub(crate) fn has_one_server(&self) -> bool {
        matches!(self.leases, Leases::Redis(_) | Leases::Postgres(_))
    }

    /// Whether a server of the leases that is killed may forget what it has granted last.
    pub(crate) fn is_lax(&self) -> bool {
        self.is_lax.load(Ordering::Relaxed)
    }

    /// To one of the servers of the leases.
    pub(crate) fn to_leases(&self, act: Act, which: u32) {
        block_in_place(|| match &self.leases {
            Leases::Files(_) => {}
            Leases::Etcd(cluster) => {
                let node = &cluster.nodes()[(which % 3) as usize];
                match act {
                    Act::Kill => node.kill(),
                    Act::Restart => node.restart(),
                    Act::Stop => node.stop(),
                    Act::Resume => node.resume(),
                }
            }
            Leases::Redis(server) => to_redis(&lock(server), act),
            Leases::Postgres(server) => to_postgres(&lock(server), act),
        });
    }

    /// The server of the leases starts again with nothing.
    pub(crate) fn forget(&self) {
        if let Leases::Redis(server) = &self.leases {
            block_in_place(|| lock(server).restart_empty());
        }
    }

    /// Sets the clock of the leases' server.
    pub(crate) fn step(&self, seconds: i64) {
        match &self.leases {
            Leases::Files(_) | Leases::Etcd(_) => {}
            Leases::Redis(server) => lock(server).step_clock(seconds),
            Leases::Postgres(server) => lock(server).step_clock(seconds),
        }
    }

    /// Copies the server of the leases, and takes the copy off: it misses what comes.
    pub(crate) fn replica(&self) -> Option<Replica> {
        block_in_place(|| match &self.leases {
            Leases::Files(_) | Leases::Etcd(_) => None,
            Leases::Redis(server) => {
                let replica = lock(server).replica();
                replica.kill();
                Some(Replica::Redis(replica))
            }
            Leases::Postgres(server) => {
                let standby = lock(server).standby();
                standby.kill();
                Some(Replica::Postgres(standby))
            }
        })
    }

    /// The server of the leases is killed, and the copy takes its place, at another address.
    pub(crate) fn promote(&self, replica: Replica) {
        block_in_place(|| match (&self.leases, replica) {
            (Leases::Redis(server), Replica::Redis(replica)) => {
                let mut server = lock(server);
                server.kill();
                replica.restart();
                replica.promote();
                self.is_lax.store(true, Ordering::Relaxed);
                *server = replica;
            }
            (Leases::Postgres(server), Replica::Postgres(standby)) => {
                let mut server = lock(server);
                server.kill();
                standby.restart();
                standby.promote();
                *server = standby;
            }
            _ => {}
        });
    }

    pub(crate) fn to_registers(&self, act: Act) -> Result<(), Failure> {
        block_in_place(|| match &self.registers {
            Registers::Ledger(server) => match act {
                Act::Kill => server.with(Child::kill),
                Act::Restart => server.restart(),
                Act::Stop => server.with(Child::pause),
                Act::Resume => server.with(Child::resume),
            },
            Registers::Redis(server) => {
                to_redis(server, act);
                Ok(())
            }
            Registers::Postgres(server) => {
                to_postgres(server, act);
                Ok(())
            }
        })
    }
}

fn lock<T>(server: &Mutex<T>) -> MutexGuard<'_, T> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

fn to_redis(server: &RedisServer, act: Act) {
    match act {
        Act::Kill => server.kill(),
        Act::Restart => server.restart(),
        Act::Stop => server.stop(),
        Act::Resume => server.resume(),
    }
}

fn to_postgres(server: &PostgresServer, act: Act) {
    match act {
        Act::Kill => server.kill(),
        Act::Restart => server.restart(),
        Act::Stop => server.stop(),
        Act::Resume => server.resume(),
    }
}

/// Only what is on the disk is acknowledged.
const ALWAYS: [&str; 2] = ["--appendfsync", "always"];

/// In Redis. The mark of its fence is in the same slot of a cluster.
pub(crate) fn key_of(way: Way) -> String {
    format!("{{{}}}:register", way.name())
}

/// How long a transaction that has passed the fence may stand still: that of a holder which was
/// stopped in it would hold up the next for longer than a lease lasts.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_millis(500);

async fn make_tables(url: &str) -> Result<(), Failure> {
    let mut pool = connect(url).await?;
    FenceTable::new("fence_marks", IDLE_LIMIT)?.migrate(&mut pool).await?;
    let client = pool.get().await?;
    let create = "CREATE TABLE registers (name text PRIMARY KEY, id bigint NOT NULL)";
    client.batch_execute(create).await?;
    for way in Way::ALL {
        client.execute("INSERT INTO registers VALUES ($1, 0)", &[&way.name()]).await?;
    }
    Ok(())
}

/// A directory that is removed with this.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("torture-{}", process::id()));
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
