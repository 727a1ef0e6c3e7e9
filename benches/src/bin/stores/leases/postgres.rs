//! PostgreSQL: one prepared statement an operation, by tokio-postgres.

use steadfast_lease::{Nonce, PostgresConfig, PostgresStore};
use steadfast_store::SharedClient;
use steadfast_testkit::servers;
use tokio_postgres::{Client, NoTls, Statement, types::ToSql};

use super::{HOLDER, TTL};
use crate::{BoxError, options::Options};

pub(super) async fn measure(options: &Options) -> Result<(), BoxError> {
    let url = options.postgres.clone().unwrap_or_else(|| servers::postgres().url());
    // One connection for both, so that they have the same process of the server's.
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let client = SharedClient::new(client);
    let config = PostgresConfig::new().table("bench_leases");
    let store = PostgresStore::new(config, client.clone())?;
    store.migrate().await?;
    let bare = Bare::new(&client).await?;
    Box::pin(super::compare("PostgreSQL", store, &bare, (options.rounds, super::always))).await
}

struct Bare<'a> {
    client: &'a Client,
    acquire: Statement,
    renew: Statement,
    release: Statement,
    look: Statement,
}

/// That of the store, with another name.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS bench_bare_leases (
        name bytea PRIMARY KEY,
        token bigint NOT NULL,
        nonce bytea,
        holder bytea NOT NULL,
        ttl bigint NOT NULL,
        expires_at timestamptz NOT NULL
    );
    CREATE INDEX IF NOT EXISTS bench_bare_leases_expires_at ON bench_bare_leases (expires_at)";

const ACQUIRE: &str = "INSERT INTO bench_bare_leases AS r
    VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, $2, $3, $4::bigint,
        clock_timestamp() + $4::bigint * interval '1 microsecond')
    ON CONFLICT (name) DO UPDATE SET token = greatest(r.token + 1, excluded.token),
        nonce = excluded.nonce, holder = excluded.holder, ttl = excluded.ttl,
        expires_at = excluded.expires_at
    WHERE r.expires_at <= clock_timestamp()
    RETURNING token";

const RENEW: &str = "UPDATE bench_bare_leases
    SET expires_at = clock_timestamp() + ttl * interval '1 microsecond'
    WHERE name = $1 AND nonce = $2 AND expires_at > clock_timestamp()
    RETURNING ttl";

const RELEASE: &str = "UPDATE bench_bare_leases SET nonce = NULL, expires_at = clock_timestamp()
    WHERE name = $1 AND nonce = $2 RETURNING ttl";

const LOOK: &str = "SELECT token, expires_at, holder FROM bench_bare_leases WHERE name = $1";

const NAME: &[u8] = b"bench/bare";

impl<'a> Bare<'a> {
    async fn new(client: &'a SharedClient) -> Result<Self, BoxError> {
        let client = client.client();
        client.batch_execute(TABLE).await?;
        Ok(Self {
            client,
            acquire: client.prepare(ACQUIRE).await?,
            renew: client.prepare(RENEW).await?,
            release: client.prepare(RELEASE).await?,
            look: client.prepare(LOOK).await?,
        })
    }

    async fn run(
        &self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<(), BoxError> {
        self.client.query_one(statement, values).await?;
        Ok(())
    }
}

impl super::Bare for Bare<'_> {
    async fn acquire(&self, nonce: Nonce) -> Result<(), BoxError> {
        let ttl = i64::try_from(TTL.as_micros())?;
        let nonce = nonce.to_bytes();
        self.run(&self.acquire, &[&NAME, &&nonce[..], &HOLDER.as_bytes(), &ttl]).await
    }

    async fn renew(&self, nonce: Nonce) -> Result<(), BoxError> {
        self.run(&self.renew, &[&NAME, &&nonce.to_bytes()[..]]).await
    }

    async fn release(&self, nonce: Nonce) -> Result<(), BoxError> {
        self.run(&self.release, &[&NAME, &&nonce.to_bytes()[..]]).await
    }

    async fn look(&self) -> Result<(), BoxError> {
        self.run(&self.look, &[&NAME]).await
    }
}
