//! SQLite: one `INSERT`, `UPDATE` or `SELECT`, in a file with a write-ahead log that is synced at
//! each commit.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior::Immediate, params};
use steadfast_idempotency::{ClaimTerms, RecordId, SqliteConfig, SqliteStore};
use tokio::task::spawn_blocking;

use crate::{BoxError, REPLY, directory::Directory, options::Options};

pub(crate) async fn measure(options: &Options) -> Result<(), BoxError> {
    let directory = Directory::new()?;
    let store = SqliteStore::open(SqliteConfig::new(), directory.path().join("store.db")).await?;
    for (what, is_here) in [("SQLite", false), ("SQLite, bare without another thread", true)] {
        let connection = open(&directory.path().join("bare.db"))?;
        let bare = Bare { connection: Arc::new(Mutex::new(connection)), is_here };
        crate::measure(what, &store, &bare, options.rounds).await?;
    }
    Ok(())
}

fn open(path: &std::path::Path) -> Result<Connection, BoxError> {
    let connection = Connection::open(path)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let schema = SqliteConfig::SCHEMA
        .replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
        .replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS");
    connection.execute_batch(&schema)?;
    Ok(connection)
}

/// On a thread that may block, as it must be in a service; or on the caller's.
struct Bare {
    connection: Arc<Mutex<Connection>>,
    is_here: bool,
}

impl Bare {
    async fn run(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), BoxError> {
        let connection = Arc::clone(&self.connection);
        let work = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        if self.is_here {
            work()?;
        } else {
            spawn_blocking(work).await??;
        }
        Ok(())
    }
}

impl crate::Bare for Bare {
    async fn insert(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError> {
        let (id, terms) = (id.clone(), *terms);
        let work = move |db: &mut Connection| {
            let tx = db.transaction_with_behavior(Immediate)?;
            let text = "INSERT INTO idempotency_records (id, fingerprint, token, attempt, state, \
                        claimed_at, lease_until, expires_at) VALUES (?1, ?2, ?3, 1, 0, ?4, ?4, ?4)";
            let (print, token) = (terms.fingerprint.to_bytes(), terms.token.to_bytes());
            let values = params![id.as_bytes(), print, token, 1_790_000_000_000_000_i64];
            tx.prepare_cached(text)?.execute(values)?;
            tx.commit()
        };
        self.run(work).await
    }

    async fn update(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError> {
        let (id, token) = (id.clone(), terms.token.to_bytes());
        let work = move |db: &mut Connection| {
            let tx = db.transaction_with_behavior(Immediate)?;
            let text = "UPDATE idempotency_records SET state = 2, reply = ?3, expires_at = ?4 \
                        WHERE id = ?1 AND token = ?2";
            let values = params![id.as_bytes(), token, REPLY, 1_790_003_600_000_000_i64];
            tx.prepare_cached(text)?.execute(values)?;
            tx.commit()
        };
        self.run(work).await
    }

    async fn read(&self, id: &RecordId) -> Result<(), BoxError> {
        let id = id.clone();
        let work = move |db: &mut Connection| {
            let text = "SELECT attempt, fingerprint, token, state, reply FROM idempotency_records \
                        WHERE id = ?1";
            let mut read = db.prepare_cached(text)?;
            read.query_row([id.as_bytes()], |row| row.get::<_, Option<Vec<u8>>>(4)).map(drop)
        };
        self.run(work).await
    }

    async fn delete(&self, id: &RecordId) -> Result<(), BoxError> {
        let id = id.clone();
        let work = move |db: &mut Connection| {
            let tx = db.transaction_with_behavior(Immediate)?;
            let text = "DELETE FROM idempotency_records WHERE id = ?1";
            tx.prepare_cached(text)?.execute([id.as_bytes()])?;
            tx.commit()
        };
        self.run(work).await
    }

    /// What blocks a thread of the runtime blocks other requests: shown, and not judged.
    fn is_judged(&self) -> bool {
        !self.is_here
    }
}
