//! The store over PostgreSQL, on a real server: on every driver, and against what goes wrong.

use std::time::Duration;

use steadfast_idempotency::{
    Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, OnAbandoned, PostgresConfig,
    PostgresStore, RecordId,
};
use steadfast_store::{SharedClient, Sql, Statement, Value};
use steadfast_testkit::servers;

use crate::support::MS;

mod racers;
mod reaping;
mod rows;
mod server;
mod setup;

pub(crate) type Pool = deadpool_postgres::Pool;
const LONG: Duration = Duration::from_secs(3600);

/// The contract of stores on each driver.
mod contract {
    use super::*;

    mod deadpool {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(PostgresConfig::new(), pool().await).await
        }
    }

    mod deadpool_unnamed {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(PostgresConfig::new().unnamed_statements(), pool().await).await
        }
    }

    mod shared_client {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(PostgresConfig::new(), client().await).await
        }
    }

    mod shared_client_unnamed {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(PostgresConfig::new().unnamed_statements(), client().await).await
        }
    }

    mod sqlx {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(PostgresConfig::new(), sqlx_pool().await).await
        }
    }

    mod sqlx_unnamed {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(PostgresConfig::new().unnamed_statements(), sqlx_pool().await).await
        }
    }
}

pub(crate) async fn pool() -> Pool {
    steadfast_store::connect(&servers::postgres().url()).await.unwrap()
}

async fn client() -> SharedClient {
    let url = servers::postgres().url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    SharedClient::new(client)
}

async fn sqlx_pool() -> sqlx::PgPool {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4);
    pool.connect(&servers::postgres().url()).await.unwrap()
}

pub(crate) async fn store<D>(config: PostgresConfig, db: D) -> PostgresStore<D>
where
    D: steadfast_store::Sql + Clone + Sync + 'static,
{
    // A busy machine is no broken promise.
    let config = config.call_limit(Duration::from_secs(20));
    let store = PostgresStore::new(config, db).unwrap();
    store.migrate().await.unwrap();
    store
}

/// For other tests.
#[cfg(feature = "http")]
pub(crate) async fn on_a_pool() -> PostgresStore<Pool> {
    store(PostgresConfig::new(), pool().await).await
}

fn random() -> [u8; 16] {
    ClaimToken::generate(&mut rand::rng()).to_bytes()
}

fn id() -> RecordId {
    RecordId::new("alice", random()).unwrap()
}

fn print() -> Fingerprint {
    Fingerprint::of(["pay"])
}

fn terms() -> ClaimTerms {
    ClaimTerms {
        token: ClaimToken::from_bytes(random()),
        fingerprint: print(),
        lease: LONG,
        retention: LONG,
        on_abandoned: OnAbandoned::Refuse,
    }
}

fn taker() -> ClaimTerms {
    ClaimTerms { on_abandoned: OnAbandoned::Takeover, ..terms() }
}
