//! Effect and reply in one transaction, on a real PostgreSQL and on each driver.
//!
//! The ledger has no key of its own: only the claim keeps a payment from being booked twice.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use steadfast_core::{Error, Refusal};
use steadfast_idempotency::{
    AsBytes, Claim, ClaimTerms, ClaimToken, CompleteError, Fingerprint, Idempotency,
    IdempotencyConfig, MemoryConfig, MemoryStore, OnAbandoned, PostgresConfig, PostgresStore,
    Reason, RecordId, Refused, Store, ViewState,
};
use steadfast_store::{Sql, Statement, Value};
use steadfast_testkit::servers;

use crate::support::MS;

mod commit;
mod drivers;
mod ends;

type Failed = Error<std::io::Error>;
type Pool = deadpool_postgres::Pool;

/// A handle over a table and a ledger of its own.
#[derive(Clone)]
struct Bank {
    payments: Idempotency,
    store: PostgresStore<Pool>,
    pool: Pool,
}

fn config() -> IdempotencyConfig {
    IdempotencyConfig::new().transactional()
}

fn store_config() -> PostgresConfig {
    // Long enough for a table to be made while all the tests of a busy machine write.
    PostgresConfig::new().lock_wait(300 * MS).call_limit(30_000 * MS)
}

impl Bank {
    async fn open() -> Self {
        Self::with(config()).await
    }

    async fn with(config: IdempotencyConfig) -> Self {
        Self::over(config, store_config()).await
    }

    async fn over(config: IdempotencyConfig, records: PostgresConfig) -> Self {
        let pool = steadfast_store::connect(&servers::postgres().url()).await.unwrap();
        let store = PostgresStore::new(records, pool.clone()).unwrap();
        store.migrate().await.unwrap();
        let mut db = pool.clone();
        let ledger = "DO $$ BEGIN
            PERFORM pg_advisory_xact_lock(1);
            CREATE TABLE IF NOT EXISTS ledger (payment bytea NOT NULL);
        END $$";
        db.run_statement(&Statement::unnamed(ledger), &[]).await.unwrap();
        Self { payments: Idempotency::new(config, store.clone()).unwrap(), store, pool }
    }

    /// Another process with the same records, whose duplicates do not wait.
    fn beside(&self) -> Self {
        let payments = Idempotency::new(config().wait(Duration::ZERO), self.store.clone());
        Self { payments: payments.unwrap(), ..self.clone() }
    }

    async fn pay<F, Fut>(&self, id: &RecordId, operation: F) -> Result<Bytes, Failed>
    where
        F: FnOnce(Claim, Pool) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Bytes, Failed>> + Send + 'static,
    {
        let pool = self.pool.clone();
        self.payments.run(id.clone(), print(), AsBytes, |claim| operation(claim, pool)).await
    }

    /// How often the payment was booked.
    async fn effects(&self, id: &RecordId) -> i64 {
        let count = Statement::named("SELECT count(*) FROM ledger WHERE payment = $1");
        let row = self.pool.clone().run_statement(&count, &[Value::Bytes(id.as_bytes())]).await;
        row.unwrap().unwrap().int(0).unwrap()
    }

    async fn state(&self, id: &RecordId) -> Option<ViewState> {
        self.store.look(id).await.unwrap().map(|view| view.state)
    }

    /// Takes the key over, whatever its state, as another process would after the lease.
    async fn take(&self, id: &RecordId) -> ClaimToken {
        self.store.forget(id).await.unwrap();
        let terms = ClaimTerms {
            token: ClaimToken::generate(&mut rand::rng()),
            fingerprint: print(),
            lease: Duration::from_secs(60),
            retention: Duration::from_secs(60),
            on_abandoned: OnAbandoned::Takeover,
        };
        let claimed = self.store.claim(id, &terms).await.unwrap();
        assert!(matches!(claimed, steadfast_idempotency::ClaimReply::Claimed { .. }));
        terms.token
    }
}

/// Books the payment: by each driver's transaction, as the operation that a program has.
async fn charge<T: Sql>(tx: &mut T, id: &RecordId) -> Result<(), Failed> {
    let book = Statement::named("INSERT INTO ledger VALUES ($1)");
    tx.run_statement(&book, &[Value::Bytes(id.as_bytes())]).await.map_err(service)?;
    Ok(())
}

/// The operation of most tests.
async fn book(claim: Claim, pool: Pool, id: RecordId) -> Result<Bytes, Failed> {
    let mut client = pool.get().await.map_err(service)?;
    let mut tx = client.transaction().await.map_err(service)?;
    charge(&mut tx, &id).await?;
    let reply = claim.complete(&mut tx, receipt(&claim)).await?;
    tx.commit().await.map_err(service)?;
    Ok(reply)
}

fn receipt(claim: &Claim) -> Bytes {
    format!("receipt of run {}", claim.attempt()).into()
}

fn service(error: impl std::error::Error + Send + Sync + 'static) -> Failed {
    Error::Service(std::io::Error::other(error))
}

fn broken() -> Failed {
    Error::Service(std::io::Error::other("broken"))
}

fn id() -> RecordId {
    RecordId::new("payer", ClaimToken::generate(&mut rand::rng()).to_bytes()).unwrap()
}

fn print() -> Fingerprint {
    Fingerprint::of(["POST", "/pay"])
}

fn reason(result: Result<Bytes, Failed>) -> Reason {
    match result {
        Err(Error::Refused(refusal)) => {
            let refusal: Box<dyn std::error::Error> = refusal;
            refusal.downcast::<Refused>().unwrap().reason
        }
        other => panic!("{other:?} is not refused"),
    }
}
