//! The store in a file: the contract, several processes, and what goes wrong.

use std::{
    env, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rusqlite::Connection;
use steadfast_core::Executed;
use steadfast_idempotency::{
    Change, ClaimReply, ClaimTerms, SqliteConfig, SqliteStore, Store, StoreErrorKind, Synchronous,
    ViewState,
};

mod corrupt;
mod processes;
mod transactions;

use crate::rivals::{LONG, run_once_each, some_id, taker, terms};

/// The contract of stores.
mod contract {
    use super::*;

    mod full {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || open(SqliteConfig::new(), &shared()).await
        }
    }

    mod normal_with_one_connection {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || open(
                SqliteConfig::new()
                    .table("of_one")
                    .synchronous(Synchronous::Normal)
                    .connections(NonZeroUsize::MIN),
                &shared(),
            ).await
        }
    }
}

/// A directory that goes with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("steadfast-sqlite-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("keys.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program's own connection.
pub(crate) fn connect(directory: &Directory) -> Connection {
    let db = Connection::open(directory.file()).unwrap();
    db.busy_timeout(Duration::from_secs(20)).unwrap();
    db
}

/// A file that the tests of this process share: in the directory that cargo keeps for them, where
/// the next run finds it and begins anew.
fn shared() -> PathBuf {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract.db");
    ONCE.call_once(|| {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", file.display()));
        }
    });
    file
}

/// A busy machine is no broken promise.
pub(crate) async fn open(config: SqliteConfig, file: &Path) -> SqliteStore {
    let config = config.call_limit(Duration::from_secs(30)).lock_wait(Duration::from_secs(20));
    SqliteStore::open(config, file).await.unwrap()
}

fn claimed(attempt: u32) -> ClaimReply {
    ClaimReply::Claimed { attempt: attempt.try_into().unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_in_two_hundred_rounds_run_once_each() {
    let directory = Directory::new();
    run_once_each(open(SqliteConfig::new(), &directory.file()).await).await;
}

#[tokio::test]
async fn what_was_done_is_there_when_the_file_is_opened_again() {
    let directory = Directory::new();
    let (id, terms) = (some_id(), terms());
    let store = open(SqliteConfig::new(), &directory.file()).await;
    assert_eq!(store.claim(&id, &terms).await.unwrap(), claimed(1));
    drop(store);
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let change = store.complete(&id, terms.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    drop(store);
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let found = store.claim(&id, &taker()).await.unwrap();
    assert_eq!(found, ClaimReply::Done { reply: "ok".into() });
}

/// As they are by default; a file that is not in write-ahead mode was another program's.
#[tokio::test]
async fn the_file_is_set_up_to_outlive_a_loss_of_power() {
    let directory = Directory::new();
    let other = Connection::open(directory.file()).unwrap();
    other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    assert_eq!(store.claim(&some_id(), &terms()).await.unwrap(), claimed(1));
    drop(other);
    let other = Connection::open(directory.file()).unwrap();
    let mode: String = other.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let kept: i64 = other.query_row("SELECT a FROM theirs", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn what_cannot_be_a_store_is_refused() {
    let directory = Directory::new();
    let misconfigured = async |config: SqliteConfig, path: &Path| {
        let error = SqliteStore::open(config, path).await.unwrap_err();
        let found = (error.kind(), error.executed());
        assert_eq!(found, (StoreErrorKind::Misconfigured, Executed::No), "{error:?}");
    };
    for path in [":memory:", "", "/nowhere/keys.db", "/"] {
        misconfigured(SqliteConfig::new(), Path::new(path)).await;
    }
    misconfigured(SqliteConfig::new().table("not a name"), &directory.file()).await;
    // A table of that name, and it is another.
    let other = Connection::open(directory.file()).unwrap();
    other.execute_batch("CREATE TABLE theirs (id BLOB PRIMARY KEY)").unwrap();
    misconfigured(SqliteConfig::new().table("theirs"), &directory.file()).await;
    other.execute_batch("CREATE TABLE gone (expires_at)").unwrap();
    let store = open(SqliteConfig::new().table("gone"), &directory.file()).await;
    let error = store.claim(&some_id(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Misconfigured, Executed::No));
}

#[tokio::test]
async fn a_writer_that_holds_the_file_is_waited_for_and_not_for_ever() {
    let directory = Directory::new();
    let config = SqliteConfig::new().lock_wait(Duration::from_millis(100));
    let store = SqliteStore::open(config, directory.file()).await.unwrap();
    let (id, owner) = (some_id(), terms());
    assert_eq!(store.claim(&id, &owner).await.unwrap(), claimed(1));
    let mut other = Connection::open(directory.file()).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    for error in [
        store.claim(&some_id(), &terms()).await.unwrap_err(),
        store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap_err(),
        store.purge_expired(9).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::No));
    }
    // Duplicates and operators only read.
    let duplicate = store.claim(&id, &terms()).await.unwrap();
    assert!(matches!(duplicate, ClaimReply::InFlight { .. }));
    assert!(store.look(&id).await.unwrap().is_some());
    held.commit().unwrap();
    let change = store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
}

/// However many wait: they leave a connection to those that only read.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_wait_to_write_hold_up_none_that_reads() {
    let directory = Directory::new();
    let wait = Duration::from_secs(3);
    let config = SqliteConfig::new().lock_wait(wait).call_limit(20 * wait);
    let store = SqliteStore::open(config, directory.file()).await.unwrap();
    let (id, owner) = (some_id(), terms());
    assert_eq!(store.claim(&id, &owner).await.unwrap(), claimed(1));
    let change = store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    let mut other = Connection::open(directory.file()).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let waiting: Vec<_> = (0..12)
        .map(|n| {
            let (store, id) = (store.clone(), if n % 3 == 0 { id.clone() } else { some_id() });
            tokio::spawn(async move {
                match n % 3 {
                    0 => store.forget(&id).await.map(drop),
                    1 => store.claim(&id, &terms()).await.map(drop),
                    _ => store.purge_expired(9).await.map(drop),
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = tokio::time::Instant::now();
    let replayed = store.claim(&id, &terms()).await.unwrap();
    assert_eq!(replayed, ClaimReply::Done { reply: "ok".into() });
    assert!(store.look(&id).await.unwrap().is_some() && store.census().await.unwrap().is_some());
    let took = tokio::time::Instant::now() - began;
    assert!(took < wait / 3, "{took:?}");
    drop(held);
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}

/// It goes on by itself, and its connection comes back.
#[tokio::test]
async fn a_call_that_is_dropped_costs_no_connection() {
    let directory = Directory::new();
    let one = SqliteConfig::new().connections(NonZeroUsize::MIN);
    let store = open(one, &directory.file()).await;
    for polls in 0..40_u32 {
        let (id, terms) = (some_id(), terms());
        let mut call = Box::pin(store.claim(&id, &terms));
        for _ in 0..polls % 4 {
            let _ = futures::poll!(&mut call);
        }
        drop(call);
        // Applied or not, and the same claim.
        assert_eq!(store.claim(&id, &terms).await.unwrap(), claimed(1));
    }
}

#[tokio::test]
async fn only_what_has_expired_is_purged_and_no_more_than_wanted() {
    let directory = Directory::new();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let short = Duration::from_millis(1);
    let expired = || ClaimTerms { lease: short, retention: short, ..terms() };
    for _ in 0..600 {
        store.claim(&some_id(), &expired()).await.unwrap();
    }
    let kept = some_id();
    store.claim(&kept, &terms()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.purge_expired(0).await.unwrap(), 0);
    assert_eq!(store.purge_expired(300).await.unwrap(), 300);
    let reaper = store.reap(Duration::from_millis(10));
    let waited = tokio::time::timeout(Duration::from_millis(300), reaper).await;
    assert!(waited.is_err(), "it goes on for ever");
    let left = count(&directory.file());
    assert!(left == 1 && store.look(&kept).await.unwrap().is_some(), "{left}");
}

fn count(file: &Path) -> i64 {
    let db = Connection::open(file).unwrap();
    db.query_row("SELECT count(*) FROM idempotency_records", [], |row| row.get(0)).unwrap()
}

/// The first look reads beside the writer; what it has read may have changed since.
#[tokio::test]
async fn a_duplicate_writes_nothing() {
    let directory = Directory::new();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let (done, held) = ((some_id(), terms()), (some_id(), terms()));
    for (id, terms) in [&done, &held] {
        store.claim(id, terms).await.unwrap();
    }
    let change = store.complete(&done.0, done.1.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    let version = |db: &Connection| -> i64 {
        db.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap()
    };
    let beside = Connection::open(directory.file()).unwrap();
    let before = version(&beside);
    assert_eq!(
        store.claim(&done.0, &terms()).await.unwrap(),
        ClaimReply::Done { reply: "ok".into() }
    );
    assert!(matches!(store.claim(&held.0, &taker()).await.unwrap(), ClaimReply::InFlight { .. }));
    assert!(store.look(&held.0).await.unwrap().is_some());
    assert_eq!(version(&beside), before);
    store.claim(&some_id(), &terms()).await.unwrap();
    assert_ne!(version(&beside), before, "what is written is seen");
}

#[tokio::test]
async fn a_census_counts_what_is_not_done() {
    let directory = Directory::new();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let nothing = store.census().await.unwrap().unwrap();
    assert_eq!((nothing.in_flight, nothing.abandoned, nothing.oldest), (0, 0, None));
    let short = Duration::from_millis(1);
    let claims = [
        terms(),
        terms(),
        ClaimTerms { lease: short, ..terms() },
        ClaimTerms { lease: short, retention: short, ..terms() },
        terms(),
        terms(),
    ];
    let ids: Vec<_> = claims.iter().map(|_| some_id()).collect();
    for (id, terms) in ids.iter().zip(&claims) {
        store.claim(id, terms).await.unwrap();
    }
    let abandoned = store.abandon(&ids[4], claims[4].token, LONG).await.unwrap();
    assert_eq!(abandoned, Change::Applied);
    let done = store.complete(&ids[5], claims[5].token, "ok".into(), LONG).await.unwrap();
    assert_eq!(done, Change::Applied);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let census = store.census().await.unwrap().unwrap();
    assert_eq!((census.in_flight, census.abandoned), (2, 2));
    let oldest = census.oldest.unwrap();
    assert!(oldest >= Duration::from_millis(50) && oldest < Duration::from_secs(60), "{oldest:?}");
}

#[tokio::test]
async fn a_full_disk_is_full_and_nothing_was_done() {
    let directory = Directory::new();
    let store = open(SqliteConfig::new().connections(NonZeroUsize::MIN), &directory.file()).await;
    let (id, owner) = (some_id(), terms());
    store.claim(&id, &owner).await.unwrap();
    // SQLite keeps to a file of so many pages. It is a setting of the connection, so a trigger of
    // the file does it for that of the store.
    let db = Connection::open(directory.file()).unwrap();
    db.execute_batch(
        "CREATE TABLE ballast (x); CREATE TRIGGER full BEFORE UPDATE ON idempotency_records \
         WHEN length(NEW.reply) > 1000 BEGIN INSERT INTO ballast VALUES (zeroblob(2000000000)); END",
    )
    .unwrap();
    let error = store.complete(&id, owner.token, vec![7; 1001].into(), LONG).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Full, Executed::No));
    let view = store.look(&id).await.unwrap().unwrap();
    assert!(matches!(view.state, ViewState::InFlight { .. }));
    let change = store.complete(&id, owner.token, "short".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
}
