//! Records in a file, by SQLite.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::Connection;
use steadfast_store::{reap, within};
use tokio::task::spawn_blocking;

use self::{connections::Connections, records::Records};
use crate::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, Slot, Store, StoreError, View,
};

mod config;
mod connections;
mod error;
mod records;
mod transaction;

pub use self::config::{SqliteConfig, Synchronous};

/// Keeps records in a file, by SQLite: for the processes of one machine, beyond their death and a
/// loss of power, without a server.
///
/// Each change is one transaction, on the disk when it is answered
/// ([`Synchronous::Full`], unless it is configured otherwise). Several processes may share the
/// file: they write one after the other, and read beside that. A duplicate writes nothing. Leases
/// and retentions are counted on the machine's wall clock: set forward, it ends them early.
///
/// The file has a write-ahead log beside it, and must not be on a network file system. Where the
/// disk is full nothing can be written, the end of an operation neither.
///
/// SQLite blocks, so each call goes to a thread of the runtime's blocking pool. Records that have
/// expired stay until they are [reaped](Self::reap). Clones share the connections.
///
/// An effect in the same file and its record can stand or fall together: see
/// [`complete_claim`](Self::complete_claim).
///
/// ```no_run
/// use std::time::Duration;
///
/// use steadfast_idempotency::{Idempotency, IdempotencyConfig, SqliteConfig, SqliteStore};
///
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::open(SqliteConfig::new(), "payments.db").await?;
///
/// let reaper = store.clone();
/// tokio::spawn(async move { reaper.reap(Duration::from_secs(60)).await });
/// let payments = Idempotency::new(IdempotencyConfig::new().named("payments"), store)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    config: SqliteConfig,
    records: Arc<Records>,
    connections: Arc<Connections>,
}

/// How many records are removed in one transaction: few enough to let other writers in after a
/// millisecond or two.
const PURGED_AT_ONCE: usize = 256;

impl SqliteStore {
    /// Opens the file, and makes it and its table unless they are there. Several processes may do
    /// so at once.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when a value is outside of what its
    /// setter names, when the file cannot be opened or written, or cannot have a write-ahead log,
    /// as one in memory; [`Corrupt`](crate::StoreErrorKind::Corrupt) when it is no database;
    /// otherwise as [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(config: SqliteConfig, path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        config.check().map_err(|error| StoreError::misconfigured().because(error))?;
        let path = path.into();
        let open = move || {
            let records = Records::new(&config.table);
            let connections = Arc::new(Connections::open(&path, &config, &records)?);
            Ok(Self { config, records: Arc::new(records), connections })
        };
        match spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(StoreError::unavailable(steadfast_core::Executed::No).because(error)),
        }
    }

    /// Removes what has expired, at once and then at every interval, for as long as it is polled.
    /// Several processes may do it.
    ///
    /// A file that is busy is waited for. Dropped at any point it has removed some records, all of
    /// which had expired.
    ///
    /// # Errors
    /// It returns when the store is misconfigured, which no waiting mends.
    pub async fn reap(&self, every: Duration) -> StoreError {
        reap(every, || self.purge_expired(usize::MAX)).await
    }

    /// Reads something.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Records, &Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let records = Arc::clone(&self.records);
        let work = move |_: &Connections, db: &mut Connection| read(&records, db);
        self.connections.run(self.config.call_limit, work).await
    }

    /// Changes something, in a transaction.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Records, &Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let records = Arc::clone(&self.records);
        let work =
            move |of: &Connections, db: &mut Connection| of.write(db, |db| write(&records, db));
        self.connections.run_writing(self.config.call_limit, work).await
    }

    async fn change<T: Send + 'static>(
        &self,
        id: &RecordId,
        change: impl FnOnce(&mut Slot, Duration) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let id = id.clone();
        self.write(move |records, db| records.change(db, &id, change)).await
    }
}

impl Store for SqliteStore {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        let (records, of, terms) = (Arc::clone(&self.records), id.clone(), *terms);
        let work = move |connections: &Connections, db: &mut Connection| {
            // What a duplicate meets is read beside the one that writes.
            let met = records.read(db, &of)?.claim(&terms, records::now());
            if !matches!(met, ClaimReply::Claimed { .. }) {
                return Ok(Some(met));
            }
            // Where many wait to write, it waits without this connection.
            let Some(_place) = connections.try_writing() else { return Ok(None) };
            let claim =
                |db: &Connection| records.change(db, &of, |slot, now| slot.claim(&terms, now));
            connections.write(db, claim).map(Some)
        };
        within(self.config.call_limit, async {
            if let Some(reply) = self.connections.lend(work).await? {
                return Ok(reply);
            }
            let (records, of) = (Arc::clone(&self.records), id.clone());
            let claim = move |connections: &Connections, db: &mut Connection| {
                let claim = |slot: &mut Slot, now| slot.claim(&terms, now);
                connections.write(db, |db| records.change(db, &of, claim))
            };
            // In a box, since few come here.
            Box::pin(self.connections.lend_writing(claim)).await
        })
        .await
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        self.change(id, move |slot, now| slot.renew(token, lease, retention, now)).await
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        self.change(id, move |slot, now| slot.complete(token, reply, retention, now)).await
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        self.change(id, move |slot, now| slot.release(token, now)).await
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        self.change(id, move |slot, now| slot.abandon(token, retention, now)).await
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        let id = id.clone();
        self.read(move |records, db| Ok(records.read(db, &id)?.look(records::now()))).await
    }

    /// Whatever is kept under the name goes, also what is no record.
    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |records, db| records.forget(db, &id)).await
    }

    async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        let mut purged = 0;
        while purged < most {
            let at_once = PURGED_AT_ONCE.min(most - purged);
            let gone = self.write(move |records, db| records.purge(db, at_once)).await?;
            purged += gone;
            if gone < at_once {
                break;
            }
        }
        Ok(purged)
    }

    fn is_transactional(&self) -> bool {
        true
    }

    async fn census(&self) -> Result<Option<Census>, StoreError> {
        self.read(|records, db| records.census(db).map(Some)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("config", &self.config).finish_non_exhaustive()
    }
}
