//! Records as rows: read, decided by a [`Slot`], and written back.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use steadfast_core::{SystemWallClock, WallClock};

use super::{config::TABLE, error};
use crate::{
    Census, ClaimToken, Fingerprint, Record, RecordId, Slot, SqliteConfig, State, StoreError,
};

/// The statements over one table. Each connection prepares them once.
#[derive(Debug)]
pub(super) struct Records {
    schema: String,
    read: String,
    insert: String,
    update: String,
    delete: String,
    forget: String,
    purge: String,
    census: String,
}

const IN_FLIGHT: i64 = 0;
const ABANDONED: i64 = 1;
const DONE: i64 = 2;

impl Records {
    pub(super) fn new(table: &str) -> Self {
        let with_table = |text: &str| text.replace("{table}", table);
        let schema = SqliteConfig::SCHEMA
            .replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
            .replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS");
        Self {
            schema: schema.replace(TABLE, table),
            read: with_table(
                "SELECT fingerprint, token, attempt, state, claimed_at, lease_until, expires_at, \
                 reply FROM {table} WHERE id = ?1",
            ),
            insert: with_table(
                "INSERT OR REPLACE INTO {table} (id, fingerprint, token, attempt, state, \
                 claimed_at, lease_until, expires_at, reply) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            ),
            update: with_table(
                "UPDATE {table} SET token = ?2, attempt = ?3, state = ?4, lease_until = ?5, \
                 expires_at = ?6, reply = ?7 WHERE id = ?1",
            ),
            delete: with_table("DELETE FROM {table} WHERE id = ?1"),
            forget: with_table("DELETE FROM {table} WHERE id = ?1 RETURNING expires_at"),
            purge: with_table(
                "DELETE FROM {table} WHERE rowid IN \
                 (SELECT rowid FROM {table} WHERE expires_at <= ?1 LIMIT ?2)",
            ),
            census: with_table(
                "SELECT total(state = 0 AND lease_until > ?1), \
                 total(state = 1 OR (state = 0 AND lease_until <= ?1)), \
                 min(claimed_at) FILTER (WHERE state = 0 AND lease_until > ?1) \
                 FROM {table} WHERE expires_at > ?1",
            ),
        }
    }

    /// Makes the table unless it is there.
    pub(super) fn migrate(&self, db: &Connection) -> Result<(), StoreError> {
        db.execute_batch(&self.schema).map_err(error::of)
    }

    pub(super) fn read(&self, db: &Connection, id: &RecordId) -> Result<Slot, StoreError> {
        let mut read = db.prepare_cached(&self.read).map_err(error::of)?;
        let mut rows = read.query([id.as_bytes()]).map_err(error::of)?;
        Ok(Slot(rows.next().map_err(error::of)?.map(record).transpose()?))
    }

    /// Changes a record and writes what has changed. The caller has the lock of writers.
    pub(super) fn change<T>(
        &self,
        db: &Connection,
        id: &RecordId,
        change: impl FnOnce(&mut Slot, Duration) -> T,
    ) -> Result<T, StoreError> {
        let before = self.read(db, id)?;
        let mut slot = before.clone();
        let answer = change(&mut slot, now());
        if slot != before {
            self.write(db, id, before.0.as_ref(), slot.0.as_ref()).map_err(error::of)?;
        }
        Ok(answer)
    }

    fn write(
        &self,
        db: &Connection,
        id: &RecordId,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> rusqlite::Result<()> {
        let id = id.as_bytes();
        let Some(record) = after else {
            db.prepare_cached(&self.delete)?.execute([id])?;
            return Ok(());
        };
        let (state, lease_until, reply) = match &record.state {
            State::InFlight { lease_until } => (IN_FLIGHT, *lease_until, None),
            State::Abandoned { lease_until } => (ABANDONED, *lease_until, None),
            State::Done { reply } => (DONE, Duration::ZERO, Some(&reply[..])),
        };
        let (lease_until, expires_at) = (micros(lease_until), micros(record.expires_at));
        let (token, attempt) = (record.token.to_bytes(), record.attempt.get());
        // Another record of the same name, which had expired, is replaced.
        let is_same = before.is_some_and(|before| {
            (before.claimed_at, before.fingerprint) == (record.claimed_at, record.fingerprint)
        });
        if is_same {
            let values = params![id, token, attempt, state, lease_until, expires_at, reply];
            db.prepare_cached(&self.update)?.execute(values)?;
        } else {
            let (print, claimed_at) = (record.fingerprint.to_bytes(), micros(record.claimed_at));
            let values = params![
                id,
                print,
                token,
                attempt,
                state,
                claimed_at,
                lease_until,
                expires_at,
                reply
            ];
            db.prepare_cached(&self.insert)?.execute(values)?;
        }
        Ok(())
    }

    /// Whether there was a record that has not expired, as far as it can be read.
    pub(super) fn forget(&self, db: &Connection, id: &RecordId) -> Result<bool, StoreError> {
        let mut forget = db.prepare_cached(&self.forget).map_err(error::of)?;
        let is_live = forget.query_row([id.as_bytes()], |row| {
            let expires_at = row.get_ref(0)?.as_i64();
            Ok(expires_at.is_ok_and(|expires_at| expires_at > micros(now())))
        });
        Ok(is_live.optional().map_err(error::of)?.unwrap_or(false))
    }

    pub(super) fn purge(&self, db: &Connection, most: usize) -> Result<usize, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut purge = db.prepare_cached(&self.purge).map_err(error::of)?;
        purge.execute([micros(now()), most]).map_err(error::of)
    }

    pub(super) fn census(&self, db: &Connection) -> Result<Census, StoreError> {
        let now = micros(now());
        let mut census = db.prepare_cached(&self.census).map_err(error::of)?;
        let count = |row: &Row<'_>, column| {
            // A float that holds every count that a file has room for.
            row.get::<_, f64>(column).map(|count| count as u64)
        };
        let counted = census.query_row([now], |row| {
            let oldest: Option<i64> = row.get(2)?;
            let age =
                |since| Duration::from_micros(now.saturating_sub(since).max(0).unsigned_abs());
            Ok(Census {
                in_flight: count(row, 0)?,
                abandoned: count(row, 1)?,
                oldest: oldest.map(age),
            })
        });
        counted.map_err(error::of)
    }
}

/// The clock that all processes of a machine share, in whole microseconds, as rows have it.
pub(super) fn now() -> Duration {
    let now = SystemWallClock.now().duration_since(SystemTime::UNIX_EPOCH);
    // Before 1970 there are no records.
    let micros = now.unwrap_or_default().as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Rounded up, so that no lease becomes shorter than its owner counts.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let bytes = |column| {
        let bytes = row.get_ref(column).map_err(error::of)?.as_blob();
        bytes.map_err(|_| corrupt("bytes"))
    };
    let number = |column| row.get::<_, i64>(column).map_err(error::of);
    let time = |column| {
        let micros = u64::try_from(number(column)?).map_err(|_| corrupt("time"))?;
        Ok::<_, StoreError>(Duration::from_micros(micros))
    };
    let attempt = u32::try_from(number(2)?).ok().and_then(NonZeroU32::new);
    let lease_until = time(5)?;
    let state = match number(3)? {
        IN_FLIGHT => State::InFlight { lease_until },
        ABANDONED => State::Abandoned { lease_until },
        DONE => State::Done { reply: Bytes::copy_from_slice(bytes(7)?) },
        _ => return Err(corrupt("state")),
    };
    Ok(Record {
        fingerprint: Fingerprint::from_bytes(
            bytes(0)?.try_into().map_err(|_| corrupt("fingerprint"))?,
        ),
        token: ClaimToken::from_bytes(bytes(1)?.try_into().map_err(|_| corrupt("token"))?),
        attempt: attempt.ok_or_else(|| corrupt("attempt"))?,
        claimed_at: time(4)?,
        expires_at: time(6)?,
        state,
    })
}

fn corrupt(what: &str) -> StoreError {
    StoreError::corrupt().because(format!("a record has no right {what}"))
}
