//! Effect and response in one transaction, in a file of SQLite.

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
use bytes::Bytes;
use rusqlite::{Connection, TransactionBehavior::Immediate};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    ClaimReply, CompleteError, Fingerprint, Idempotency, IdempotencyConfig, SqliteConfig,
    SqliteStore, Store,
    http::{HttpClaim, IdempotencyLayer},
};
use tokio::{sync::Notify, task::spawn_blocking};

use super::support::{Got, pay, send};
use crate::{
    rivals::taker,
    sqlite::{Directory, connect},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// It does not come to its completion.
    Before,
    /// It completes, and does not commit.
    Uncommitted,
    /// It panics in between.
    Panic,
    /// It commits, and does not hear of it.
    Unheard,
    /// It takes a commit that went through for a failure, and tries all of it again.
    Twice,
    /// Another process has the key by then.
    Overtaken,
    /// The receipt is longer than is kept.
    Long,
}

#[derive(Clone)]
struct Bank {
    directory: Arc<Directory>,
    handle: Idempotency,
    store: SqliteStore,
    /// What goes wrong in the first run.
    trouble: Trouble,
    runs: Arc<AtomicU32>,
    /// The first run has completed, and commits when it is told to.
    pause: Option<Arc<(Notify, Notify)>>,
}

const KEY: &str = "payment-1";

impl Bank {
    async fn open(trouble: Trouble) -> Self {
        Self::with(IdempotencyConfig::new().transactional(), trouble).await
    }

    async fn with(config: IdempotencyConfig, trouble: Trouble) -> Self {
        let directory = Arc::new(Directory::new());
        let store = SqliteStore::open(SqliteConfig::new(), directory.file()).await.unwrap();
        connect(&directory).execute_batch("CREATE TABLE receipts (run INTEGER)").unwrap();
        let handle = Idempotency::new(config.most_reply_bytes(4096), store.clone()).unwrap();
        Self { directory, handle, store, trouble, runs: Arc::default(), pause: None }
    }

    /// What a handler does, where it may block.
    fn charge(&self, claim: &HttpClaim) -> Result<http::Response<Bytes>, BoxError> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        let trouble = if run == 1 { self.trouble } else { Trouble::None };
        let mut db = connect(&self.directory);
        if trouble == Trouble::Overtaken {
            self.take();
        }
        let tx = db.transaction_with_behavior(Immediate)?;
        tx.execute("INSERT INTO receipts VALUES (?1)", [run])?;
        if trouble == Trouble::Before {
            return Err("before".into());
        }
        let text = if trouble == Trouble::Long { "x".repeat(9000) } else { format!("run {run}") };
        let receipt = Response::builder().status(201).header("location", "/receipts/1");
        let receipt = receipt.header("set-cookie", "a=b").body(text.into())?;
        let reply = claim.complete_blocking(&self.store, &tx, receipt)?;
        if let Some(pause) = self.pause.as_ref().filter(|_| run == 1) {
            pause.0.notify_one();
            tokio::runtime::Handle::current().block_on(pause.1.notified());
        }
        match trouble {
            Trouble::Uncommitted => return Err("uncommitted".into()),
            Trouble::Panic => panic!("between completion and commit"),
            _ => tx.commit()?,
        }
        match trouble {
            Trouble::Unheard => Err("unheard".into()),
            Trouble::Twice => self.charge(claim),
            _ => Ok(reply),
        }
    }

    /// Takes the key over, as another process would after the lease.
    fn take(&self) {
        let runtime = tokio::runtime::Handle::current();
        let id = steadfast_idempotency::RecordId::new("", KEY).unwrap();
        let mut terms = taker();
        terms.fingerprint = Fingerprint::of(["POST", "/pay", "5 euros"]);
        assert!(runtime.block_on(self.store.forget(&id)).unwrap());
        let claimed = runtime.block_on(self.store.claim(&id, &terms)).unwrap();
        assert!(matches!(claimed, ClaimReply::Claimed { .. }));
    }

    async fn pay(&self) -> Got {
        let layer = IdempotencyLayer::unscoped(self.handle.clone());
        let router = Router::new().route("/pay", post(handler)).with_state(self.clone());
        send(&router.layer(respond(layer)), pay("/pay", KEY, "5 euros")).await
    }

    /// Runs, and the runs whose receipts are in the books.
    fn counts(&self) -> (u32, Vec<u32>) {
        let db: Connection = connect(&self.directory);
        let mut booked = db.prepare("SELECT run FROM receipts").unwrap();
        let booked = booked.query_map([], |row| row.get(0)).unwrap();
        (self.runs.load(Ordering::Relaxed), booked.map(Result::unwrap).collect())
    }
}

async fn handler(State(bank): State<Bank>, claim: HttpClaim) -> Response {
    let (at, trouble) = (bank.clone(), bank.trouble);
    match spawn_blocking(move || at.charge(&claim)).await {
        Ok(Ok(reply)) => reply.map(Body::from),
        Ok(Err(error)) => {
            let is_lost = matches!(error.downcast_ref(), Some(CompleteError::Lost));
            let may_be_lost = matches!(trouble, Trouble::Overtaken | Trouble::Twice);
            assert_eq!(is_lost, may_be_lost, "{error}");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
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
    assert_eq!(bank.counts(), (1, vec![1]));
    let snapshot = bank.handle.snapshot();
    assert_eq!((snapshot.stored, snapshot.replayed, snapshot.not_kept), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_rolled_back_frees_the_key_and_the_next_request_pays() {
    for trouble in [Trouble::Before, Trouble::Uncommitted, Trouble::Panic] {
        let bank = Bank::open(trouble).await;
        let failed = bank.pay().await;
        assert_eq!((failed.status.as_u16(), failed.is_replayed()), (500, false), "{trouble:?}");
        assert_eq!(bank.counts(), (1, vec![]), "{trouble:?}");
        is_receipt(&bank.pay().await, "run 2", false);
        is_receipt(&bank.pay().await, "run 2", true);
        assert_eq!(bank.counts(), (2, vec![2]), "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_not_heard_of_is_answered_with_what_it_stored() {
    let bank = Bank::open(Trouble::Unheard).await;
    is_receipt(&bank.pay().await, "run 1", true);
    is_receipt(&bank.pay().await, "run 1", true);
    assert_eq!(bank.counts(), (1, vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_transaction_after_a_commit_that_was_not_heard_of_rolls_back() {
    let bank = Bank::open(Trouble::Twice).await;
    is_receipt(&bank.pay().await, "run 1", true);
    assert_eq!(bank.counts(), (2, vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_has_lost_its_claim_rolls_back() {
    let bank = Bank::open(Trouble::Overtaken).await;
    assert_eq!(bank.pay().await.refused(), (409, Some("1")));
    assert_eq!(bank.counts(), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_too_long_is_the_first_callers_and_the_payment_counts() {
    let bank = Bank::open(Trouble::Long).await;
    let first = bank.pay().await;
    assert_eq!((first.status.as_u16(), first.text.len()), (201, 9000));
    assert_eq!(bank.pay().await.refused(), (409, None));
    assert_eq!(bank.counts(), (1, vec![1]));
    assert_eq!(bank.handle.snapshot().not_kept, 1);
}

/// The thread that blocks is not cancelled with the handler: its transaction decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_outlives_its_handler_is_found_by_the_next_request() {
    let mut bank = Bank::open(Trouble::None).await;
    let pause: Arc<(Notify, Notify)> = Arc::default();
    bank.pause = Some(Arc::clone(&pause));
    let paying = tokio::spawn({
        let bank = bank.clone();
        async move { bank.pay().await }
    });
    pause.0.notified().await;
    let shutdown = tokio::spawn({
        let handle = bank.handle.clone();
        async move { handle.shutdown(Duration::ZERO).await }
    });
    // The handler is cancelled, and its key not released while the transaction has the file.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bank.counts(), (1, vec![]));
    pause.1.notify_one();
    shutdown.await.unwrap();
    is_receipt(&paying.await.unwrap(), "run 1", true);
    let other = IdempotencyConfig::new().transactional();
    bank.handle = Idempotency::new(other, bank.store.clone()).unwrap();
    is_receipt(&bank.pay().await, "run 1", true);
    assert_eq!(bank.counts(), (1, vec![1]));
}

/// Its key was released, and it comes to its transaction late.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_begins_after_its_handler_was_cancelled_rolls_back() {
    let bank = Bank::open(Trouble::None).await;
    let (claims, mut of_handler) = tokio::sync::mpsc::unbounded_channel();
    let hangs = post(move |claim: HttpClaim| async move {
        claims.send(claim).unwrap();
        std::future::pending::<()>().await;
    });
    let layer = IdempotencyLayer::unscoped(bank.handle.clone());
    let router = Router::new().route("/pay", hangs).layer(respond(layer));
    let paying = tokio::spawn(async move { send(&router, pay("/pay", KEY, "5 euros")).await });
    let claim: HttpClaim = of_handler.recv().await.unwrap();
    bank.handle.shutdown(Duration::ZERO).await;
    assert_eq!(paying.await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    let late = spawn_blocking({
        let bank = bank.clone();
        move || bank.charge(&claim).map(drop)
    });
    let lost = late.await.unwrap().unwrap_err();
    assert!(matches!(lost.downcast_ref(), Some(CompleteError::Lost)), "{lost}");
    assert_eq!(bank.counts(), (1, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_transactional_handle_completes_in_a_transaction() {
    let bank = Bank::with(IdempotencyConfig::new(), Trouble::None).await;
    let failed = bank.pay().await;
    assert_eq!((failed.status.as_u16(), bank.counts().1), (500, vec![]));
}
