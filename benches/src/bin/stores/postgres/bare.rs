//! The bytes of a record, written and read by plain statements: what a program would do that needs
//! no answer.

use steadfast_idempotency::{ClaimTerms, RecordId};
use steadfast_store::{Sql, Statement, Value};

use crate::{BoxError, REPLY};

pub(super) struct Bare<D> {
    db: D,
    insert: Statement,
    update: Statement,
    select: Statement,
    delete: Statement,
}

const TABLE: &str = "DO $$ BEGIN
    CREATE TABLE IF NOT EXISTS bench_bare (
        id bytea PRIMARY KEY,
        fingerprint bytea NOT NULL,
        token bytea NOT NULL,
        attempt bigint NOT NULL,
        state smallint NOT NULL,
        claimed_at timestamptz NOT NULL,
        lease_until timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        reply bytea
    );
    CREATE INDEX IF NOT EXISTS bench_bare_expires_at ON bench_bare (expires_at);
END $$";

impl<D: Sql + Clone> Bare<D> {
    pub(super) fn new(db: D, unnamed: bool) -> Self {
        let statement = |text: &str| match unnamed {
            true => Statement::unnamed(text),
            false => Statement::named(text),
        };
        Self {
            db,
            insert: statement(
                "INSERT INTO bench_bare VALUES ($1, $2, $3, 1, 0, clock_timestamp(),
                 clock_timestamp() + interval '1 hour', clock_timestamp() + interval '2 hours')",
            ),
            update: statement(
                "UPDATE bench_bare SET state = 2, reply = $3,
                 expires_at = clock_timestamp() + interval '1 hour' WHERE id = $1 AND token = $2",
            ),
            select: statement(
                "SELECT attempt, fingerprint, token, state, reply FROM bench_bare WHERE id = $1",
            ),
            delete: statement("DELETE FROM bench_bare WHERE id = $1"),
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), BoxError> {
        self.run(&Statement::unnamed(TABLE), &[]).await
    }

    async fn run(&self, statement: &Statement, values: &[Value<'_>]) -> Result<(), BoxError> {
        self.db.clone().run_statement(statement, values).await?;
        Ok(())
    }
}

impl<D: Sql + Clone> crate::Bare for Bare<D> {
    async fn insert(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError> {
        let (print, token) = (terms.fingerprint.to_bytes(), terms.token.to_bytes());
        let values = [Value::Bytes(id.as_bytes()), Value::Bytes(&print), Value::Bytes(&token)];
        self.run(&self.insert, &values).await
    }

    async fn update(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError> {
        let token = terms.token.to_bytes();
        let values = [Value::Bytes(id.as_bytes()), Value::Bytes(&token), Value::Bytes(&REPLY)];
        self.run(&self.update, &values).await
    }

    async fn read(&self, id: &RecordId) -> Result<(), BoxError> {
        self.run(&self.select, &[Value::Bytes(id.as_bytes())]).await
    }

    async fn delete(&self, id: &RecordId) -> Result<(), BoxError> {
        self.run(&self.delete, &[Value::Bytes(id.as_bytes())]).await
    }
}
