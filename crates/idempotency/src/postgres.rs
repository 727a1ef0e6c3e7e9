//! Records in a table of PostgreSQL.

use std::{fmt, time::Duration};

use bytes::Bytes;
use steadfast_core::ConfigError;
use steadfast_store::{
    Cell, Row, Sql, SqlError, Statement, StoreError, Table, Value, reap, run_repeatedly, within,
};

use self::{row::record, texts::Texts};
use crate::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, OnAbandoned, RecordId, Slot, Store, View,
};

mod config;
mod row;
mod texts;
mod transaction;

pub use self::config::PostgresConfig;

/// Keeps records in a table of PostgreSQL, for several processes, beyond a restart.
///
/// It runs on what the program has: a pool of deadpool or sqlx, or a client of tokio-postgres as a
/// [`SharedClient`](steadfast_store::SharedClient). Each operation is one statement in one round
/// trip, at the server's time. A duplicate writes nothing. What a statement has done is on the
/// server's disk when it answers, and lives on where its commits do: a failover to a standby that
/// is behind loses the last claims and replies, whose keys run again. A clock that is set back
/// makes leases longer, and one that is set forward ends them early.
///
/// A row that another transaction holds is waited for no longer than `lock_wait`: a claim that
/// meets a completion which is not committed is told that the key is in flight.
///
/// The table is made by [`migrate`](Self::migrate). Records that have expired stay until they are
/// [reaped](Self::reap).
///
/// ```no_run
/// # #[cfg(feature = "deadpool")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use steadfast_idempotency::{Idempotency, IdempotencyConfig, PostgresConfig, PostgresStore};
///
/// let pool = steadfast_store::connect("postgres://app@db/shop").await?;
/// let store = PostgresStore::new(PostgresConfig::new().table("shop.payment_keys"), pool)?;
/// store.migrate().await?;
///
/// let reaper = store.clone();
/// tokio::spawn(async move { reaper.reap(Duration::from_secs(60)).await });
/// let payments = Idempotency::new(IdempotencyConfig::new().named("payments"), store)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStore<D> {
    db: D,
    config: PostgresConfig,
    table: Table,
    texts: Texts,
}

/// A claim that comes back without an answer has met another that was quicker. One in four does so
/// among racers; a claim that meets so many in a row is told that the key is theirs.
const MOST_CLAIMS: u32 = 16;
/// How many records are removed at once: few enough to hold their rows for milliseconds.
const PURGED_AT_ONCE: usize = 1000;
/// SQLSTATE of a row that was waited for in vain.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Longer than any lease or retention that the handle takes, and short enough to be added to any
/// time that PostgreSQL knows.
const LONGEST: Duration = Duration::from_secs(1000 * 365 * 86_400);

impl<D: Sql + Clone + Sync + 'static> PostgresStore<D> {
    /// A store in the database that `db` reaches: a pool, or a client that is shared. A clone of it
    /// is made for each call.
    ///
    /// # Errors
    /// When a value is outside of what its setter names.
    pub fn new(config: PostgresConfig, db: D) -> Result<Self, ConfigError> {
        let table = config.check()?;
        Ok(Self { db, texts: Texts::new(&table, &config), table, config })
    }

    /// [`SCHEMA`](PostgresConfig::SCHEMA) for the table of this store.
    #[must_use]
    pub fn schema(&self) -> String {
        self.table.schema(PostgresConfig::SCHEMA, config::TABLE)
    }

    /// Makes the table, unless there is one of its name. Several processes may do so at once.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them:
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when the user may not, or there is
    /// no such schema.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.run(&self.table.migration(PostgresConfig::SCHEMA, config::TABLE), &[]).await?;
        Ok(())
    }

    /// Removes what has expired, at once and then at every interval, for as long as it is polled.
    /// It skips what other transactions hold, so several processes may do it.
    ///
    /// A store that is away is waited for. Dropped at any point it has removed some records, all of
    /// which had expired.
    ///
    /// # Errors
    /// It returns when the store is misconfigured, which no waiting mends.
    pub async fn reap(&self, every: Duration) -> StoreError {
        reap(every, || self.purge_expired(usize::MAX)).await
    }

    /// One statement, again if the server has rolled it back for the sake of others.
    async fn run(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, SqlError> {
        let mut db = self.db.clone();
        let run = run_repeatedly(&mut db, statement, values);
        within(self.config.call_limit, run).await
    }

    async fn change(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Change, StoreError> {
        Ok(match self.run(statement, values).await? {
            Some(_) => Change::Applied,
            None => Change::Lost,
        })
    }
}

impl<D: Sql + Clone + Sync + 'static> Store for PostgresStore<D> {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        let is_theirs = ClaimReply::InFlight { left: self.config.lock_wait };
        let (fingerprint, token) = (terms.fingerprint.to_bytes(), terms.token.to_bytes());
        let values = claim_values(id, terms, &fingerprint, &token);
        let claim = async {
            for _ in 0..MOST_CLAIMS {
                match self.run(&self.texts.claim, &values).await {
                    Ok(None) => {}
                    Ok(Some(row)) => {
                        if let Some(reply) = reply(&row, terms)? {
                            return Ok(reply);
                        }
                    }
                    Err(error) if error.state() == Some(LOCK_NOT_AVAILABLE) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(is_theirs)
        };
        within(self.config.call_limit, claim).await
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (id, token) = (Value::Bytes(id.as_bytes()), token.to_bytes());
        let all = micros(lease.saturating_add(retention));
        let values = [id, Value::Bytes(&token), micros(lease), all];
        self.change(&self.texts.renew, &values).await
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (id, token) = (Value::Bytes(id.as_bytes()), token.to_bytes());
        let values = [id, Value::Bytes(&token), Value::Bytes(&reply), micros(retention)];
        self.change(&self.texts.complete, &values).await
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        let (id, token) = (Value::Bytes(id.as_bytes()), token.to_bytes());
        let row = self.run(&self.texts.release, &[id, Value::Bytes(&token)]).await?;
        Ok(match row.map(|row| row.int(0)).transpose()? {
            None | Some(1) => Change::Applied,
            Some(_) => Change::Lost,
        })
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (id, token) = (Value::Bytes(id.as_bytes()), token.to_bytes());
        self.change(&self.texts.abandon, &[id, Value::Bytes(&token), micros(retention)]).await
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        let row = self.run(&self.texts.look, &[Value::Bytes(id.as_bytes())]).await?;
        let Some(row) = row else { return Ok(None) };
        let span = row::Span { age: row.int(6)?, rest: row.int(7)? };
        Ok(Slot(Some(record(&row, span)?)).look(row::NOW))
    }

    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        let row = self.run(&self.texts.forget, &[Value::Bytes(id.as_bytes())]).await?;
        Ok(row.map(|row| row.int(0)).transpose()? == Some(1))
    }

    async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        let mut purged = 0;
        while purged < most {
            let at_once = PURGED_AT_ONCE.min(most - purged);
            let limit = Value::Int(i64::try_from(at_once).unwrap_or(i64::MAX));
            let row = self.run(&self.texts.purge, &[limit]).await?;
            let gone = row.map_or(Ok(0), |row| row.int(0))?;
            let gone = usize::try_from(gone).unwrap_or(0);
            purged += gone;
            if gone < at_once {
                break;
            }
        }
        Ok(purged)
    }

    async fn census(&self) -> Result<Option<Census>, StoreError> {
        let row = self.run(&self.texts.census, &[]).await?;
        let row = row.ok_or_else(|| StoreError::corrupt().because("a count has no row"))?;
        let oldest = match row.cell(2) {
            Some(Cell::Int(micros)) => Some(Duration::from_micros(micros.unsigned_abs())),
            _ => None,
        };
        let (in_flight, abandoned) = (row.int(0)?.unsigned_abs(), row.int(1)?.unsigned_abs());
        Ok(Some(Census { in_flight, abandoned, oldest }))
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn completion_statement(&self) -> Option<Statement> {
        Some(self.texts.complete_in.clone())
    }
}

fn claim_values<'a>(
    id: &'a RecordId,
    terms: &ClaimTerms,
    fingerprint: &'a [u8],
    token: &'a [u8],
) -> [Value<'a>; 6] {
    [
        Value::Bytes(id.as_bytes()),
        Value::Bytes(fingerprint),
        Value::Bytes(token),
        micros(terms.lease),
        micros(terms.lease.saturating_add(terms.retention)),
        Value::Int((terms.on_abandoned == OnAbandoned::Takeover).into()),
    ]
}

/// What a claim has met, by the rules of [`Slot`]; `None` if it must be asked again.
fn reply(row: &Row, terms: &ClaimTerms) -> Result<Option<ClaimReply>, StoreError> {
    if row.cell(1) == Some(&Cell::Null) {
        return Ok(Some(ClaimReply::Claimed { attempt: row::attempt(row)? }));
    }
    let span = row::Span { age: 0, rest: i64::MAX };
    match Slot(Some(record(row, span)?)).claim(terms, row::NOW) {
        // Only the statement claims, and it has not.
        ClaimReply::Claimed { .. } => Ok(None),
        reply => Ok(Some(reply)),
    }
}

/// Rounded up, so that no lease becomes shorter than its owner counts.
pub(crate) fn micros<'a>(time: Duration) -> Value<'a> {
    let micros = time.min(LONGEST).as_nanos().div_ceil(1000);
    Value::Int(i64::try_from(micros).unwrap_or(i64::MAX))
}

impl<D> fmt::Debug for PostgresStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("config", &self.config).finish_non_exhaustive()
    }
}
