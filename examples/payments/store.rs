//! Where keys and charges are kept.

use std::{env, fmt, fs, path::PathBuf, process};

use deadpool_postgres::Pool;
use steadfast_testkit::servers::{PostgresServer, RedisServer};
use tokio::task::block_in_place;

use crate::{
    Failure,
    bank::Bank,
    books::{self, Charges},
};

/// Where keys are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Redis,
    Postgres,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Option<Self> {
        let kinds = [Self::Memory, Self::Sqlite, Self::Redis, Self::Postgres];
        kinds.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }

    /// Whether its keys outlive the server's process.
    pub(crate) fn is_durable(self) -> bool {
        self != Self::Memory
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Sqlite => "a file of SQLite",
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// What outlives the server's process. It ends with this.
pub(crate) enum Place {
    Memory(Bank),
    Sqlite(Directory),
    Redis(RedisServer, Bank),
    Postgres(PostgresServer, Pool),
}

impl Place {
    pub(crate) async fn set(kind: Kind) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Memory => Self::Memory(Bank::open().await?),
            Kind::Sqlite => {
                let directory = Directory::new()?;
                books::open_sqlite(&directory.file())?;
                Self::Sqlite(directory)
            }
            Kind::Redis => {
                // Only what is on the disk is acknowledged.
                let options = ["--appendfsync", "always"];
                let server = block_in_place(|| RedisServer::start(&options));
                Self::Redis(server, Bank::open().await?)
            }
            Kind::Postgres => {
                let server = block_in_place(PostgresServer::start);
                let pool = books::open_postgres(&server.url()).await?;
                Self::Postgres(server, pool)
            }
        })
    }

    /// What the server's process is told: where its keys are, and where the bank is.
    pub(crate) fn args(&self) -> [String; 2] {
        let none = || "-".to_owned();
        match self {
            Self::Memory(bank) => [none(), bank.address.to_string()],
            Self::Sqlite(directory) => [directory.file(), none()],
            Self::Redis(server, bank) => [server.url(), bank.address.to_string()],
            Self::Postgres(server, _) => [server.url(), none()],
        }
    }

    pub(crate) async fn charges(&self) -> Result<Charges, Failure> {
        match self {
            Self::Memory(bank) | Self::Redis(_, bank) => Ok(bank.charges()),
            Self::Sqlite(directory) => books::of_sqlite(&directory.file()),
            Self::Postgres(_, pool) => books::of_postgres(pool).await,
        }
    }
}

/// A directory that is removed with this.
pub(crate) struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("payments-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn file(&self) -> String {
        self.0.join("payments.db").to_string_lossy().into_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which empties the directory of such files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
