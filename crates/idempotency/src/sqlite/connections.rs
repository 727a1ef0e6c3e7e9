//! Connections to one file, and the threads that wait for it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use steadfast_core::{Executed, parts::lock};
use steadfast_store::within;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{
    config::{SqliteConfig, Synchronous},
    error,
    records::Records,
};
use crate::StoreError;

/// Connections to one file, in the hands of one thread each.
#[derive(Debug)]
pub(super) struct Connections {
    /// As many permits as there are connections in the file's hands or in those of a thread.
    permits: Arc<Semaphore>,
    /// One less, if there are several: those that wait to write leave one to those that only read.
    writers: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    /// One writer of this process at a time: SQLite lets the others try again after pauses of up to
    /// 100 ms, and this lock wakes the next at once.
    writer: Mutex<()>,
}

/// A connection on loan to a thread.
struct Loan {
    of: Arc<Connections>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

/// How long to wait before a file that another process converts is looked at again.
const CONVERTS: Duration = Duration::from_millis(5);

impl Connections {
    /// Opens the file, and makes it and the table unless they are there. Blocks.
    pub(super) fn open(
        path: &Path,
        config: &SqliteConfig,
        records: &Records,
    ) -> Result<Self, StoreError> {
        let count = config.connections.get();
        let mut idle = Vec::with_capacity(count);
        for n in 0..count {
            let mut connection = connect(path, config)?;
            if n == 0 {
                let transaction = begin(&mut connection)?;
                records.migrate(&transaction)?;
                commit(transaction)?;
            }
            idle.push(connection);
        }
        let permits = Arc::new(Semaphore::new(count));
        let writers = Arc::new(Semaphore::new((count - 1).max(1)));
        Ok(Self { permits, writers, idle: Mutex::new(idle), writer: Mutex::new(()) })
    }

    /// Does something with a connection, on a thread that may block, within a limit in time.
    /// Dropped, it does it all the same if it has begun.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl FnOnce(&Self, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        within(limit, self.lend(work)).await
    }

    /// The same for what writes.
    pub(super) async fn run_writing<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        work: impl FnOnce(&Self, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        within(limit, self.lend_writing(work)).await
    }

    /// The same without a limit of its own.
    pub(super) async fn lend_writing<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let writer = Arc::clone(&self.writers).acquire_owned().await;
        let writer = writer.expect("the semaphore is never closed");
        let work = move |of: &Self, connection: &mut Connection| {
            // It goes with the work, which goes on where its caller has left.
            let _writer = writer;
            work(of, connection)
        };
        self.lend(work).await
    }

    /// The same of what reads.
    pub(super) async fn lend<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let connection = lock(&self.idle).pop();
        let mut loan = Loan { of: Arc::clone(self), connection, _permit: permit };
        let done = spawn_blocking(move || {
            let connection = loan.connection.as_mut().expect("a permit is a connection");
            work(&loan.of, connection)
        });
        match done.await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends, and has not begun with it.
            Err(error) => Err(StoreError::unavailable(Executed::No).because(error)),
        }
    }

    /// The place of one that writes, for work that has a connection, if there is one.
    pub(super) fn try_writing(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.writers).try_acquire_owned().ok()
    }

    /// Changes something in a transaction that nothing else writes beside.
    pub(super) fn write<T>(
        &self,
        connection: &mut Connection,
        change: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _writer = lock(&self.writer);
        let transaction = begin(connection)?;
        let answer = change(&transaction)?;
        commit(transaction)?;
        Ok(answer)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Before its permit, so that the next that has one finds it.
        lock(&self.of.idle).extend(self.connection.take());
    }
}

/// It waits for other writers here, and not in the middle, where SQLite would refuse at once.
fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error::of)
}

/// What fails here may have happened.
fn commit(transaction: Transaction<'_>) -> Result<(), StoreError> {
    transaction.commit().map_err(|error| error::of(error).executed_as(Executed::Maybe))
}

fn connect(path: &Path, config: &SqliteConfig) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        // Each is in the hands of one thread.
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(error::of)?;
    connection.busy_timeout(config.lock_wait).map_err(error::of)?;
    write_ahead(&connection, config.lock_wait)?;
    let synchronous = match config.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    let set = |name, value: &str| connection.pragma_update(None, name, value).map_err(error::of);
    set("synchronous", synchronous)?;
    // Where a sync ends in the cache of the disk otherwise: macOS.
    set("fullfsync", "ON")?;
    set("checkpoint_fullfsync", "ON")?;
    Ok(connection)
}

/// Readers and the writer do not wait for each other.
fn write_ahead(connection: &Connection, wait: Duration) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let set =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match set {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let why = format!("no write-ahead log: journal_mode is {mode}");
                return Err(StoreError::misconfigured().because(why));
            }
            // While another process converts the file SQLite does not wait by itself.
            Err(error) if is_busy(&error) && waited < wait => {
                thread::park_timeout(CONVERTS);
                waited += CONVERTS;
            }
            Err(error) => return Err(error::of(error)),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection's settings, which nothing else shows.
    #[tokio::test]
    async fn every_connection_syncs_as_it_is_configured_and_waits() {
        let file = std::env::temp_dir().join(format!("steadfast-{}.db", std::process::id()));
        for (synchronous, number) in [(Synchronous::Full, 2), (Synchronous::Normal, 1)] {
            let config = SqliteConfig::new().synchronous(synchronous);
            let connections =
                Connections::open(&file, &config, &Records::new(&config.table)).unwrap();
            let idle = lock(&connections.idle);
            assert_eq!(idle.len(), 4);
            for connection in &*idle {
                let setting = |name| {
                    let pragma = format!("PRAGMA {name}");
                    connection.query_row(&pragma, [], |row| row.get::<_, i64>(0)).unwrap()
                };
                assert_eq!(setting("synchronous"), number);
                assert_eq!((setting("fullfsync"), setting("busy_timeout")), (1, 2000));
            }
        }
        std::fs::remove_file(file).unwrap();
    }
}
