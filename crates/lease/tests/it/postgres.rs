//! The store over PostgreSQL, on a real server: on every driver, and against what goes wrong.

use std::time::Duration;

use steadfast_lease::{PostgresConfig, PostgresStore};
use steadfast_store::{Row, SharedClient, Sql, Statement, Value};
use steadfast_testkit::servers;

mod fence;
mod listen;
mod pooler;
mod rows;
mod server;
mod setup;
mod wall;

type Pool = deadpool_postgres::Pool;
const MS: Duration = Duration::from_millis(1);

/// The contract of stores on each driver.
mod contract {
    use super::*;

    mod deadpool {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(config(), pool().await).await
        }
    }

    mod deadpool_unnamed {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(config().unnamed_statements(), pool().await).await
        }
    }

    mod listening {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || listen::listening(config().notifying()).await.0
        }
    }

    mod pooled {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || {
                let pool = pooler::pool(pooler::shared()).await;
                store(config().unnamed_statements(), pool).await
            }
        }
    }

    mod pooled_sqlx {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || {
                let pool = pooler::sqlx_pool(pooler::shared()).await;
                store(config().unnamed_statements(), pool).await
            }
        }
    }

    mod shared_client {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(config(), client().await).await
        }
    }

    mod shared_client_unnamed {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(config().unnamed_statements(), client().await).await
        }
    }

    mod sqlx {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(config(), sqlx_pool().await).await
        }
    }

    mod sqlx_unnamed {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || store(config().unnamed_statements(), sqlx_pool().await).await
        }
    }
}

/// A busy machine is no broken promise.
fn config() -> PostgresConfig {
    let second = Duration::from_secs(1);
    PostgresConfig::new().call_limit(20 * second).lock_wait(5 * second).look_every(50 * MS)
}

async fn pool() -> Pool {
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

async fn store<D>(config: PostgresConfig, db: D) -> PostgresStore<D>
where
    D: Sql + Clone + Sync + 'static,
{
    let store = PostgresStore::new(config, db).unwrap();
    store.migrate().await.unwrap();
    store
}

/// A statement beside the store.
async fn run<D: Sql>(mut db: D, text: &str, values: &[Value<'_>]) -> Option<Row> {
    db.run_statement(&Statement::unnamed(text), values).await.unwrap()
}
