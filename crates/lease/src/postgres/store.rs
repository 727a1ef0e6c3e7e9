//! The store.

use std::{fmt, time::Duration};

use steadfast_core::ConfigError;
use steadfast_store::{
    Cell, Row, Sql, SqlError, Statement, StoreError, Value, reap, run_repeatedly, within,
};

#[cfg(feature = "tokio-postgres")]
use tokio_postgres::{
    Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

pub use super::config::PostgresConfig;
#[cfg(feature = "tokio-postgres")]
use super::texts::channel;
use super::{config::TABLE, texts::Texts};
use crate::{
    AcquireReply, AcquireTerms, FencingToken, HeldView, HolderName, LeaseName, NoTokenLeft, Nonce,
    RenewReply, Store, View, polled,
};

/// Keeps leases in a table of PostgreSQL.
///
/// It runs on what the program has: a pool of deadpool or sqlx, or a client of tokio-postgres as a
/// [`SharedClient`](steadfast_store::SharedClient). Each operation is one statement in one round
/// trip, at the server's time, with no state of a session: behind a pooler in transaction mode it
/// works too, with [unnamed statements](PostgresConfig::unnamed_statements). An acquisition that is
/// not granted writes nothing. A server that is in recovery grants nothing.
///
/// A release is seen by those that wait when they look, twice a second; or at once, where stores
/// are [notifying](PostgresConfig::notifying) and `listening`.
///
/// # What it promises
/// - What a statement has done is **on the server's disk** when it answers, also where the database
///   has `synchronous_commit = off`.
/// - A **standby that is promoted** may be behind, and has lost the last grants then: another is
///   granted the lease while its holder believes in it. Tokens grow all the same, for they are made
///   from the server's clock; they go back only where that clock is behind too, and then a
///   [floor](crate::LeaseRequest::floor) heals it.
/// - Its **wall clock** counts leases. Set forward, it grants early; set back, it grants late.
///
/// In all of these the fence keeps the former holder away from the resource:
/// [`postgres::fence`](crate::postgres::fence()) does where that is in PostgreSQL too.
///
/// The table is made by [`migrate`](Self::migrate). Rows stay, each with the last token of its
/// name, until they are [reaped](Self::reap), which is never in haste: there are as many as names.
///
/// ```no_run
/// # #[cfg(feature = "deadpool")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use steadfast_lease::{LeaseClient, LeaseClientConfig, PostgresConfig, PostgresStore};
///
/// let pool = steadfast_store::connect("postgres://app@db/shop").await?;
/// let store = PostgresStore::new(PostgresConfig::new().table("shop.leases"), pool)?;
/// store.migrate().await?;
/// let client = LeaseClient::new(LeaseClientConfig::new(), store)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStore<D> {
    db: D,
    config: PostgresConfig,
    table: steadfast_store::Table,
    texts: Texts,
    #[cfg(feature = "tokio-postgres")]
    listener: Option<super::listener::Listener>,
}

/// An acquisition that comes back without an answer has met another that was quicker. One that
/// meets so many in a row is told that the store is busy.
const MOST_ACQUISITIONS: u32 = 16;
/// How many rows are removed at once: few enough to hold them for milliseconds.
const PURGED_AT_ONCE: usize = 1000;
/// SQLSTATE of a number that is out of range.
const OUT_OF_RANGE: &str = "22003";
/// Short enough to be added to any time that PostgreSQL knows.
const LONGEST: Duration = Duration::from_secs(1000 * 365 * 86_400);

impl<D: Sql + Clone + Sync + 'static> PostgresStore<D> {
    /// A store in the database that `db` reaches: a pool, or a client that is shared. A clone of it
    /// is made for each call.
    ///
    /// # Errors
    /// When a value is outside of what its setter names.
    pub fn new(config: PostgresConfig, db: D) -> Result<Self, ConfigError> {
        let table = config.check()?;
        Ok(Self {
            db,
            texts: Texts::new(&table, &config),
            table,
            config,
            #[cfg(feature = "tokio-postgres")]
            listener: None,
        })
    }

    /// Has observers, and acquisitions that wait, woken by what releases tell: those of stores
    /// whose config is [`notifying`](PostgresConfig::notifying), which is set in every process.
    ///
    /// One connection is made for it as `config` says, when something is first waited for, and ends
    /// a second after nothing is any more. It must lead **to the server itself**: a pooler in
    /// transaction mode takes a LISTEN and delivers nothing. Where nothing is heard, because the
    /// connection is lost, cannot be made or leads to a pooler, a lease is seen as before, by a
    /// look each [`look_every`](PostgresConfig::look_every); a connection that was lost is made
    /// anew within seconds, and what was told meanwhile is looked for then.
    ///
    /// What none tells is looked for still: grants, a clock that was set, what an operator does. A
    /// lease that expires is waited for by its time. Where neither matters, `look_every` may be as
    /// long as a minute, and a release is seen in milliseconds all the same.
    ///
    /// ```no_run
    /// # #[cfg(feature = "deadpool")]
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use steadfast_lease::{PostgresConfig, PostgresStore};
    ///
    /// // Statements go through a pooler, and the listener past it.
    /// let pool = steadfast_store::connect("postgres://app@pooler:6432/shop").await?;
    /// let direct = "postgres://app@db:5432/shop".parse()?;
    /// let config = PostgresConfig::new().unnamed_statements().notifying();
    /// let store = PostgresStore::new(config, pool)?.listening(direct, tokio_postgres::NoTls);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tokio-postgres")]
    #[must_use]
    pub fn listening<T>(self, config: tokio_postgres::Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let (channel, limit) = (channel(&self.table), self.config.call_limit);
        let listener = super::listener::Listener::new(config, tls, &channel, limit);
        Self { listener: Some(listener), ..self }
    }

    /// [`SCHEMA`](PostgresConfig::SCHEMA) for the table of this store.
    #[must_use]
    pub fn schema(&self) -> String {
        self.table.schema(PostgresConfig::SCHEMA, TABLE)
    }

    /// Makes the table, unless there is one of its name. Several processes may do so at once.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them:
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when the user may not, or there is
    /// no such schema.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.run(&self.table.migration(PostgresConfig::SCHEMA, TABLE), &[]).await?;
        Ok(())
    }

    /// Removes names that have not been held for the retention, up to so `many`, and says how many
    /// it has removed.
    ///
    /// # Errors
    /// As [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    pub async fn purge_idle(&self, most: usize) -> Result<usize, StoreError> {
        let mut purged = 0;
        while purged < most {
            let at_once = PURGED_AT_ONCE.min(most - purged);
            let limit = Value::Int(i64::try_from(at_once).unwrap_or(i64::MAX));
            let row = self.run(&self.texts.purge, &[micros(self.config.retention), limit]).await?;
            let gone = usize::try_from(row.map_or(Ok(0), |row| row.int(0))?).unwrap_or(0);
            purged += gone;
            if gone < at_once {
                break;
            }
        }
        Ok(purged)
    }

    /// [Purges](Self::purge_idle) at once and then at every interval, for as long as it is polled.
    /// Several processes may do it. A store that is away is waited for.
    ///
    /// # Errors
    /// It returns when the store is misconfigured, which no waiting mends.
    pub async fn reap(&self, every: Duration) -> StoreError {
        reap(every, || self.purge_idle(usize::MAX)).await
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

    async fn look(&self, name: &LeaseName) -> Result<View, StoreError> {
        let values = [Value::Bytes(name.as_str().as_bytes())];
        match self.run(&self.texts.observe, &values).await? {
            Some(row) => view(&row),
            None => Ok(View::default()),
        }
    }
}

impl<D: Sql + Clone + Sync + 'static> Store for PostgresStore<D> {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        let least = match terms.floor {
            None => 0,
            Some(above) => {
                let next = above.next();
                next.ok_or_else(|| StoreError::full().because(NoTokenLeft { above }))?.into()
            }
        };
        let nonce = terms.nonce.to_bytes();
        let values = [
            Value::Bytes(name.as_str().as_bytes()),
            Value::Bytes(&nonce),
            Value::Bytes(terms.holder.as_str().as_bytes()),
            micros(terms.ttl),
            Value::Int(least),
        ];
        let acquire = async {
            for _ in 0..MOST_ACQUISITIONS {
                match self.run(&self.texts.acquire, &values).await {
                    Ok(None) => {}
                    Ok(Some(row)) => return reply(&row),
                    Err(error) if error.state() == Some(OUT_OF_RANGE) => {
                        let above = FencingToken::MAX;
                        return Err(StoreError::full().because(NoTokenLeft { above }));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(StoreError::timed_out().executed_as(steadfast_core::Executed::No))
        };
        within(self.config.call_limit, acquire).await
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        let nonce = nonce.to_bytes();
        let values = [Value::Bytes(name.as_str().as_bytes()), Value::Bytes(&nonce)];
        let Some(row) = self.run(&self.texts.renew, &values).await? else {
            return Ok(RenewReply::Gone);
        };
        match row.cell(0) {
            Some(Cell::Null) => Ok(RenewReply::Taken),
            _ => Ok(RenewReply::Renewed { ttl: time(row.int(0)?) }),
        }
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        let nonce = nonce.to_bytes();
        let values = [Value::Bytes(name.as_str().as_bytes()), Value::Bytes(&nonce)];
        Ok(self.run(&self.texts.release, &values).await?.is_some())
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        let (interval, look) = (self.config.look_every, || self.look(name));
        // What is seen for the first time is not waited for.
        #[cfg(feature = "tokio-postgres")]
        if let Some(listener) = self.listener.as_ref().filter(|_| seen.is_some()) {
            return polled::observe_told(seen, interval, listener.wait_for(name), look).await;
        }
        polled::observe(seen, interval, look).await
    }
}

fn reply(row: &Row) -> Result<AcquireReply, StoreError> {
    if row.cell(0) == Some(&Cell::Null) {
        return Ok(AcquireReply::Held { left: time(row.int(1)?), holder: holder(row)? });
    }
    Ok(AcquireReply::Granted { token: token(row)?, ttl: time(row.int(1)?) })
}

fn view(row: &Row) -> Result<View, StoreError> {
    let left = match row.cell(1) {
        Some(Cell::Null) => Duration::ZERO,
        _ => time(row.int(1)?),
    };
    let held = match left {
        Duration::ZERO => None,
        left => Some(HeldView { holder: holder(row)?, left }),
    };
    Ok(View { token: Some(token(row)?), held })
}

fn token(row: &Row) -> Result<FencingToken, StoreError> {
    FencingToken::try_from(row.int(0)?).map_err(|error| StoreError::corrupt().because(error))
}

fn holder(row: &Row) -> Result<HolderName, StoreError> {
    let bytes = row.bytes(2)?;
    let corrupt = || StoreError::corrupt().because("a holder has no right name");
    let name = std::str::from_utf8(&bytes).map_err(|_| corrupt())?;
    HolderName::new(name).map_err(|_| corrupt())
}

/// Microseconds; what has passed is nothing.
fn time(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Rounded up, so that no lease becomes shorter than its holder counts.
fn micros<'a>(time: Duration) -> Value<'a> {
    let micros = time.min(LONGEST).as_nanos().div_ceil(1000);
    Value::Int(i64::try_from(micros).unwrap_or(i64::MAX))
}

impl<D> fmt::Debug for PostgresStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("config", &self.config).finish_non_exhaustive()
    }
}
