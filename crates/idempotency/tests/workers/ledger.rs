//! The database as the tests see it.

use std::time::Duration;

use deadpool_postgres::Pool;
use steadfast_idempotency::{PostgresConfig, PostgresStore};
use steadfast_store::{Sql, Statement, Value};

const TABLES: &str = "DO $$ BEGIN
    CREATE TABLE IF NOT EXISTS ledger (payment bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS said (payment bytea NOT NULL, reply text NOT NULL);
    CREATE TABLE IF NOT EXISTS go_on (payment bytea NOT NULL);
END $$";

#[derive(Clone)]
pub(crate) struct Ledger(pub(crate) Pool);

impl Ledger {
    pub(crate) async fn open(url: &str) -> Self {
        let pool = steadfast_store::connect(url).await.unwrap();
        Self(pool)
    }

    pub(crate) fn store(&self) -> PostgresStore<Pool> {
        let config = PostgresConfig::new().lock_wait(Duration::from_millis(200));
        PostgresStore::new(config, self.0.clone()).unwrap()
    }

    pub(crate) async fn set_up(&self) {
        self.store().migrate().await.unwrap();
        self.0.clone().run_statement(&Statement::unnamed(TABLES), &[]).await.unwrap();
    }

    pub(crate) async fn number(&self, text: &'static str, payment: &[u8]) -> i64 {
        let values = [Value::Bytes(payment)];
        let row = self.0.clone().run_statement(&Statement::named(text), &values).await;
        row.unwrap().unwrap().int(0).unwrap()
    }

    /// How often a payment was booked.
    pub(crate) async fn effects(&self, payment: &[u8]) -> i64 {
        self.number("SELECT count(*) FROM ledger WHERE payment = $1", payment).await
    }

    /// How many workers have told their callers of it, and how many replies there are.
    pub(crate) async fn said(&self, payment: &[u8]) -> (i64, i64) {
        let said = self.number("SELECT count(*) FROM said WHERE payment = $1", payment).await;
        let text = "SELECT count(DISTINCT reply) FROM said WHERE payment = $1";
        (said, self.number(text, payment).await)
    }

    /// Lets a worker go on that waits at its step.
    pub(crate) async fn go_on(&self, payment: &[u8]) {
        let go = Statement::named("INSERT INTO go_on VALUES ($1)");
        self.0.clone().run_statement(&go, &[Value::Bytes(payment)]).await.unwrap();
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
