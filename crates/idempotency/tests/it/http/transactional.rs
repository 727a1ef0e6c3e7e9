//! Effect and response in one transaction, on a real PostgreSQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    ClaimReply, ClaimTerms, ClaimToken, CompleteError, Fingerprint, Idempotency, IdempotencyConfig,
    PostgresConfig, PostgresStore, RecordId, Store,
    http::{HttpClaim, IdempotencyLayer},
};
use steadfast_store::{Sql, Statement, Value};
use steadfast_testkit::servers;

use super::support::{Got, pay, send};

type Pool = deadpool_postgres::Pool;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// It does not come to its completion.
    Before,
    /// It completes, and does not commit.
    Uncommitted,
    /// It commits, and does not hear of it.
    Unheard,
    /// The same, and its failure comes in parts.
    UnheardInParts,
    /// Another process has the key by then.
    Overtaken,
    /// The receipt is longer than is kept.
    Long,
}

#[derive(Clone)]
struct Bank {
    handle: Idempotency,
    store: PostgresStore<Pool>,
    pool: Pool,
    /// What goes wrong in the first run.
    trouble: Trouble,
    runs: Arc<AtomicU32>,
    key: String,
}

async fn charge(bank: &Bank, claim: HttpClaim) -> Result<Response, BoxError> {
    let run = bank.runs.fetch_add(1, Ordering::Relaxed) + 1;
    let trouble = if run == 1 { bank.trouble } else { Trouble::None };
    let mut client = bank.pool.get().await?;
    let mut tx = client.transaction().await?;
    let book = Statement::named("INSERT INTO receipts VALUES ($1)");
    tx.run_statement(&book, &[Value::Bytes(bank.key.as_bytes())]).await?;
    match trouble {
        Trouble::Before => return Err("before".into()),
        Trouble::Overtaken => bank.take().await?,
        _ => {}
    }
    let text = if trouble == Trouble::Long { "x".repeat(9000) } else { format!("run {run}") };
    let receipt = Response::builder().status(201).header("location", "/receipts/1");
    let receipt = receipt.header("set-cookie", "a=b").body(Body::from(text))?;
    let reply = claim.complete(&mut tx, receipt).await?;
    if trouble == Trouble::Uncommitted {
        return Err("uncommitted".into());
    }
    tx.commit().await?;
    if matches!(trouble, Trouble::Unheard | Trouble::UnheardInParts) {
        return Err("unheard".into());
    }
    Ok(reply.into_response())
}

async fn handler(State(bank): State<Bank>, claim: HttpClaim) -> Response {
    charge(&bank, claim).await.unwrap_or_else(|error| {
        let is_lost = matches!(error.downcast_ref(), Some(CompleteError::Lost));
        assert_eq!(is_lost, bank.trouble == Trouble::Overtaken, "{error}");
        let body = match bank.trouble {
            Trouble::UnheardInParts => Body::from_stream(futures::stream::once(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, std::convert::Infallible>(error.to_string())
            })),
            _ => error.to_string().into(),
        };
        (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
    })
}

impl Bank {
    async fn open(trouble: Trouble) -> Self {
        let pool = steadfast_store::connect(&servers::postgres().url()).await.unwrap();
        let store = PostgresStore::new(PostgresConfig::new(), pool.clone()).unwrap();
        store.migrate().await.unwrap();
        let receipts = "DO $$ BEGIN
            PERFORM pg_advisory_xact_lock(2);
            CREATE TABLE IF NOT EXISTS receipts (payment bytea NOT NULL);
        END $$";
        pool.clone().run_statement(&Statement::unnamed(receipts), &[]).await.unwrap();
        let config = IdempotencyConfig::new().transactional().most_reply_bytes(4096);
        let handle = Idempotency::new(config, store.clone()).unwrap();
        let token = ClaimToken::generate(&mut rand::rng()).to_bytes();
        let key = token.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { handle, store, pool, trouble, runs: Arc::default(), key }
    }

    fn id(&self) -> RecordId {
        RecordId::new("", &self.key).unwrap()
    }

    /// Takes the key over, as another process would after the lease.
    async fn take(&self) -> Result<(), BoxError> {
        assert!(self.store.forget(&self.id()).await?);
        let print = Fingerprint::of(["POST", "/pay", "5 euros"]);
        let mut terms = ClaimTerms::within_transaction(print, Duration::from_secs(60));
        terms.lease = Duration::from_secs(60);
        let claimed = self.store.claim(&self.id(), &terms).await?;
        assert!(matches!(claimed, ClaimReply::Claimed { .. }));
        Ok(())
    }

    async fn pay(&self) -> Got {
        let layer = IdempotencyLayer::unscoped(self.handle.clone());
        let router = Router::new().route("/pay", post(handler)).with_state(self.clone());
        send(&router.layer(respond(layer)), pay("/pay", &self.key, "5 euros")).await
    }

    /// Runs, and how often the payment was booked.
    async fn counts(&self) -> (u32, i64) {
        let count = Statement::named("SELECT count(*) FROM receipts WHERE payment = $1");
        let payment = [Value::Bytes(self.key.as_bytes())];
        let row = self.pool.clone().run_statement(&count, &payment).await.unwrap().unwrap();
        (self.runs.load(Ordering::Relaxed), row.int(0).unwrap())
    }
}

fn is_receipt(got: &Got, text: &str, is_replayed: bool) {
    assert_eq!((got.status.as_u16(), &*got.text), (201, text));
    assert_eq!(got.headers["location"], "/receipts/1");
    assert_eq!(got.is_replayed(), is_replayed);
    assert_eq!(got.headers.contains_key("set-cookie"), !is_replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_and_its_response_are_one() {
    let bank = Bank::open(Trouble::None).await;
    is_receipt(&bank.pay().await, "run 1", false);
    is_receipt(&bank.pay().await, "run 1", true);
    assert_eq!(bank.counts().await, (1, 1));
    assert_eq!((bank.handle.snapshot().stored, bank.handle.snapshot().replayed), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_rolled_back_frees_the_key_and_the_next_request_pays() {
    for trouble in [Trouble::Before, Trouble::Uncommitted] {
        let bank = Bank::open(trouble).await;
        let failed = bank.pay().await;
        assert_eq!((failed.status.as_u16(), failed.is_replayed()), (500, false), "{trouble:?}");
        assert_eq!(bank.counts().await, (1, 0), "{trouble:?}");
        is_receipt(&bank.pay().await, "run 2", false);
        is_receipt(&bank.pay().await, "run 2", true);
        assert_eq!(bank.counts().await, (2, 1), "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_not_heard_of_is_answered_with_what_it_stored() {
    for trouble in [Trouble::Unheard, Trouble::UnheardInParts] {
        let bank = Bank::open(trouble).await;
        is_receipt(&bank.pay().await, "run 1", true);
        is_receipt(&bank.pay().await, "run 1", true);
        assert_eq!(bank.counts().await, (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_has_lost_its_claim_rolls_back() {
    let bank = Bank::open(Trouble::Overtaken).await;
    assert_eq!(bank.pay().await.refused(), (409, Some("1")));
    assert_eq!(bank.counts().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_too_long_is_the_first_callers_and_the_payment_counts() {
    let bank = Bank::open(Trouble::Long).await;
    let first = bank.pay().await;
    assert_eq!((first.status.as_u16(), first.text.len()), (201, 9000));
    assert_eq!(bank.pay().await.refused(), (409, None));
    assert_eq!(bank.counts().await, (1, 1));
}

/// A handler that completes nothing has its response judged as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_was_not_completed_is_stored_unless_it_is_a_failure() {
    let bank = Bank::open(Trouble::None).await;
    let runs = Arc::clone(&bank.runs);
    let declined = post(move || {
        runs.fetch_add(1, Ordering::Relaxed);
        async { (StatusCode::PAYMENT_REQUIRED, "declined") }
    });
    let layer = IdempotencyLayer::unscoped(bank.handle.clone());
    let router = Router::new().route("/pay", declined).layer(respond(layer));
    for is_replayed in [false, true] {
        let got = send(&router, pay("/pay", &bank.key, "")).await;
        assert_eq!((got.status.as_u16(), got.is_replayed()), (402, is_replayed));
    }
    assert_eq!(bank.counts().await, (1, 0));
}
