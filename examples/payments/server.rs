//! The server: it takes payments.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Extension, Path, State},
    http::StatusCode,
    response::Response,
    routing::post,
};
use deadpool_postgres::Pool;
use steadfast::{
    http::respond,
    idempotency::{
        Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, OnAbandoned, PostgresConfig,
        PostgresStore, RedisConfig, RedisStore, SqliteConfig, SqliteStore,
        http::{HttpClaim, IdempotencyLayer},
    },
    store::connect,
};
use steadfast_chaos::process;
use tokio::{net::TcpListener, time::sleep};

use crate::{Failure, bank::BankClient, charge, store::Kind};

/// Before the charge, and again behind it: a crash finds requests in both.
const WORK: Duration = Duration::from_millis(20);
/// A server that was killed holds its keys for so long.
const LEASE: Duration = Duration::from_secs(1);
/// A duplicate of what is under way waits for its receipt: less long than payers are patient.
const WAIT: Duration = Duration::from_millis(200);

/// Where charges are made.
enum Books {
    Bank(Box<BankClient>),
    Sqlite(String, SqliteStore),
    Postgres(Pool),
}

/// Serves until the parent is gone. `args`: the kind of store, whether keys are kept, the port (0
/// for any), where the store is, where the bank is.
pub(crate) async fn serve(args: &[&str]) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let [kind, keys, port, place, bank] = args else {
        return Err("a server needs a store, keys, a port, a place and a bank".into());
    };
    let kind = Kind::of(kind).ok_or("no such store")?;
    let (handle, books) = open(kind, place, bank).await?;
    let mut routes =
        Router::new().route("/payments/{payment}", post(pay)).with_state(Arc::new(books));
    if *keys == "kept" {
        // One client: the payers of this example have no accounts.
        routes = routes.layer(respond(IdempotencyLayer::unscoped(handle)));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    process::announce_ready(listener.local_addr()?.port())?;
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn open(kind: Kind, place: &str, bank: &str) -> Result<(Idempotency, Books), Failure> {
    let config =
        IdempotencyConfig::new().named("payments").lease(LEASE).store_limit(LEASE).wait(WAIT);
    Ok(match kind {
        Kind::Memory => {
            let store = MemoryStore::new(MemoryConfig::new())?;
            (Idempotency::new(config, store)?, Books::Bank(Box::new(BankClient::to(bank)?)))
        }
        Kind::Redis => {
            let store = RedisStore::connect(RedisConfig::new(), place).await?;
            // The handler asks the bank before it charges again.
            let config = config.on_abandoned(OnAbandoned::Takeover);
            (Idempotency::new(config, store)?, Books::Bank(Box::new(BankClient::to(bank)?)))
        }
        Kind::Sqlite => {
            let store = SqliteStore::open(SqliteConfig::new(), place).await?;
            let books = Books::Sqlite(place.to_owned(), store.clone());
            (Idempotency::new(config.transactional(), store)?, books)
        }
        Kind::Postgres => {
            let pool = connect(place).await?;
            let store = PostgresStore::new(PostgresConfig::new(), pool.clone())?;
            store.migrate().await?;
            (Idempotency::new(config.transactional(), store)?, Books::Postgres(pool))
        }
    })
}

/// The claim is there where the layer is, and the request has a key.
async fn pay(
    State(books): State<Arc<Books>>,
    claim: Option<Extension<HttpClaim>>,
    Path(payment): Path<i64>,
) -> Result<Response, (StatusCode, String)> {
    let claim = claim.map(|Extension(claim)| claim);
    sleep(WORK).await;
    let charged = match &*books {
        Books::Bank(bank) => charge::at_bank(bank, claim.as_ref(), payment).await,
        Books::Postgres(pool) => charge::in_postgres(pool, claim.as_ref(), payment).await,
        Books::Sqlite(file, store) => {
            charge::in_sqlite(file.clone(), store.clone(), claim, payment).await
        }
    };
    sleep(WORK).await;
    charged.map_err(|failure| (StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()))
}
