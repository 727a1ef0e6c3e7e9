//! What the store over PostgreSQL costs, beside the same bytes written and read by the same driver
//! without it. The two take turns, statement by statement, so that both meet the same disk and the
//! same load; only their ratio means anything.
//!
//! `postgres postgres://… [rounds]`

mod bare;
mod median;

use std::{env, error::Error};

use steadfast_idempotency::{
    ClaimTerms, ClaimToken, Fingerprint, OnAbandoned, PostgresConfig, PostgresStore, RecordId,
    Store,
};
use steadfast_store::{SharedClient, Sql};

use crate::{bare::Bare, median::Pair};

type BoxError = Box<dyn Error + Send + Sync>;

/// A reply of a kilobyte.
const REPLY: [u8; 1024] = [b'r'; 1024];
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("the URL of a PostgreSQL server, whose tables may be written")?;
    let rounds = args.next().map_or(Ok(3000), |rounds| rounds.parse())?;
    println!("µs at the median of {rounds}, in turns: bare, store, ratio");
    let pool = steadfast_store::connect(&url).await?;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let client = SharedClient::new(client);
    for unnamed in [false, true] {
        Box::pin(measure("deadpool", pool.clone(), unnamed, rounds)).await?;
        Box::pin(measure("shared client", client.clone(), unnamed, rounds)).await?;
        // Each with connections of its own: sqlx takes a text that it has prepared prepared.
        let sqlx = sqlx::postgres::PgPoolOptions::new().test_before_acquire(false);
        Box::pin(measure("sqlx", sqlx.connect(&url).await?, unnamed, rounds)).await?;
    }
    Ok(())
}

async fn measure<D>(driver: &str, db: D, unnamed: bool, rounds: usize) -> Result<(), BoxError>
where
    D: Sql + Clone + Sync + 'static,
{
    let config = PostgresConfig::new().table("bench_records");
    let config = if unnamed { config.unnamed_statements() } else { config };
    let store = PostgresStore::new(config, db.clone())?;
    store.migrate().await?;
    let mut bare = Bare::new(db, unnamed);
    bare.migrate().await?;

    let (mut claim, mut complete) = (Pair::new("claim / INSERT"), Pair::new("complete / UPDATE"));
    let mut replay = Pair::new("replay / SELECT");
    let mut duplicate = Pair::new("in flight / SELECT without a reply");
    let mut release = Pair::new("claim and release / INSERT and DELETE");
    for _ in 0..rounds {
        let (id, terms) = (id(), terms());
        let other = ClaimTerms { token: token(), ..terms };
        claim.bare(bare.insert(&id, &terms)).await?;
        claim.ours(store.claim(&id, &terms)).await?;
        duplicate.bare(bare.select(&id)).await?;
        duplicate.ours(store.claim(&id, &other)).await?;
        complete.bare(bare.update(&id, &terms, &REPLY)).await?;
        let reply = bytes::Bytes::from_static(&REPLY);
        complete.ours(store.complete(&id, terms.token, reply, HOUR)).await?;
        replay.bare(bare.select(&id)).await?;
        replay.ours(store.claim(&id, &other)).await?;

        let id = crate::id();
        release
            .bare(async {
                bare.insert(&id, &terms).await?;
                bare.delete(&id).await
            })
            .await?;
        release
            .ours(async {
                store.claim(&id, &terms).await?;
                store.release(&id, terms.token).await
            })
            .await?;
    }
    println!("{driver}, {}", if unnamed { "unnamed" } else { "prepared" });
    for pair in [claim, complete, replay, duplicate, release] {
        println!("  {pair}");
    }
    Ok(())
}

fn token() -> ClaimToken {
    ClaimToken::generate(&mut rand::rng())
}

fn id() -> RecordId {
    RecordId::new("bench", token().to_bytes()).expect("short, and not empty")
}

fn terms() -> ClaimTerms {
    ClaimTerms {
        token: token(),
        fingerprint: Fingerprint::of(["POST", "/pay"]),
        lease: HOUR,
        retention: HOUR,
        on_abandoned: OnAbandoned::Refuse,
    }
}
