//! PostgreSQL: `INSERT`, `UPDATE`, `SELECT`, through each driver.

use steadfast_idempotency::{PostgresConfig, PostgresStore};
use steadfast_store::{SharedClient, Sql};
use steadfast_testkit::servers;

use self::bare::Bare;
use crate::{BoxError, options::Options};

mod bare;

pub(crate) async fn measure(options: &Options) -> Result<(), BoxError> {
    let url = options.postgres.clone().unwrap_or_else(|| servers::postgres().url());
    let rounds = options.rounds;
    let pool = steadfast_store::connect(&url).await?;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let client = SharedClient::new(client);
    for unnamed in [false, true] {
        Box::pin(over("deadpool", pool.clone(), unnamed, rounds)).await?;
        Box::pin(over("shared client", client.clone(), unnamed, rounds)).await?;
        // Each with connections of its own: sqlx takes a text that it has prepared prepared.
        let sqlx = sqlx::postgres::PgPoolOptions::new().test_before_acquire(false);
        Box::pin(over("sqlx", sqlx.connect(&url).await?, unnamed, rounds)).await?;
    }
    Ok(())
}

async fn over<D>(driver: &str, db: D, unnamed: bool, rounds: usize) -> Result<(), BoxError>
where
    D: Sql + Clone + Sync + 'static,
{
    let config = PostgresConfig::new().table("bench_records");
    let config = if unnamed { config.unnamed_statements() } else { config };
    let store = PostgresStore::new(config, db.clone())?;
    store.migrate().await?;
    let bare = Bare::new(db, unnamed);
    bare.migrate().await?;
    let statements = if unnamed { "unnamed" } else { "prepared" };
    crate::measure(&format!("PostgreSQL, {driver}, {statements}"), &store, &bare, rounds).await
}
