//! What needs another boot of the machine, or a look into the file.

use std::fs;

use super::*;
use crate::{HolderName, StoreErrorKind};

const TTL: Duration = Duration::from_millis(400);

fn name() -> LeaseName {
    LeaseName::new("a/B").unwrap()
}

fn terms(nonce: u8, ttl: Duration) -> AcquireTerms {
    let holder = HolderName::new(format!("holder {nonce}")).unwrap();
    AcquireTerms { nonce: Nonce::from_bytes([nonce; 16]), holder, ttl, floor: None }
}

fn on(directory: &Path, boot: u8) -> FileStore {
    FileStore::of(FileConfig::new(), directory.to_owned(), Boot([boot; 16]))
}

async fn granted(store: &FileStore, terms: &AcquireTerms) -> u64 {
    match store.acquire(&name(), terms).await.unwrap() {
        AcquireReply::Granted { token, .. } => token.get(),
        held => panic!("{held:?}"),
    }
}

async fn left(store: &FileStore, terms: &AcquireTerms) -> Duration {
    match store.acquire(&name(), terms).await.unwrap() {
        AcquireReply::Held { left, .. } => left,
        granted => panic!("{granted:?}"),
    }
}

#[tokio::test]
async fn a_lease_from_before_a_restart_is_held_until_it_was_watched_for_a_whole_ttl() {
    let directory = tempfile::tempdir().unwrap();
    let before = on(directory.path(), 1);
    let token = granted(&before, &terms(1, TTL)).await;
    // Its own clock would say that it is over, or that it lasts for days.
    sleep(TTL + TTL / 4).await;
    let after = on(directory.path(), 2);
    let first = left(&after, &terms(2, TTL)).await;
    assert!(first >= TTL && first < TTL * 2, "{first:?}: the TTL and a margin");
    sleep(TTL / 2).await;
    assert!(left(&after, &terms(2, TTL)).await < first);
    // Another process has not watched.
    assert!(left(&on(directory.path(), 2), &terms(2, TTL)).await >= TTL);
    sleep(TTL / 2 + Duration::from_millis(50)).await;
    assert!(granted(&after, &terms(2, TTL)).await > token);
}

/// Whatever its boot, a holder that renews is alive: on a machine that was suspended to disk.
#[tokio::test]
async fn a_renewal_begins_the_watch_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = (on(directory.path(), 1), on(directory.path(), 2));
    granted(&before, &terms(1, TTL)).await;
    left(&after, &terms(2, TTL)).await;
    for _ in 0..4 {
        sleep(TTL / 2).await;
        let renewed = before.renew(&name(), terms(1, TTL).nonce).await.unwrap();
        assert!(matches!(renewed, RenewReply::Renewed { .. }), "{renewed:?}");
        assert!(left(&after, &terms(2, TTL)).await >= TTL);
    }
}

#[tokio::test]
async fn a_record_that_is_half_written_leaves_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = on(directory.path(), 1);
    let first = granted(&store, &terms(1, TTL)).await;
    store.release(&name(), terms(1, TTL).nonce).await.unwrap();
    let second = granted(&store, &terms(2, TTL)).await;
    assert!(second > first);
    let path = place::of(directory.path(), &name());
    let mut bytes = fs::read(&path).unwrap();
    let newer = slots::read(&bytes).unwrap().unwrap();
    bytes[newer.offset() + 300] ^= 1;
    fs::write(&path, bytes).unwrap();
    // The last grant was not confirmed, as far as the file knows; its token comes not again.
    assert!(granted(&store, &terms(3, TTL)).await > second);
}

#[tokio::test]
async fn a_file_that_holds_something_else_grants_nothing_and_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = on(directory.path(), 1);
    let path = place::of(directory.path(), &name());
    for garbage in [b"hello".to_vec(), vec![7; slots::FILE_BYTES], vec![7; 5000]] {
        fs::write(&path, &garbage).unwrap();
        let errors = [
            store.acquire(&name(), &terms(1, TTL)).await.err(),
            store.renew(&name(), terms(1, TTL).nonce).await.err(),
            store.release(&name(), terms(1, TTL).nonce).await.err(),
            store.observe(&name(), None).await.err(),
        ];
        for error in errors {
            let error = error.unwrap();
            assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::No));
        }
        assert_eq!(fs::read(&path).unwrap(), garbage);
    }
}

#[tokio::test]
async fn a_file_that_another_has_locked_times_out_and_holds_up_no_other_name() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig::new().lock_wait(Duration::from_millis(200));
    let store = FileStore::of(config, directory.path().to_owned(), Boot([1; 16]));
    granted(&store, &terms(1, TTL)).await;
    // As one that was stopped in the middle.
    let stopped = locked::open(&place::of(directory.path(), &name()), false).unwrap().unwrap();
    let began = Instant::now();
    let error = store.acquire(&name(), &terms(2, TTL)).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::No));
    let waited = Instant::now() - began;
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(5), "{waited:?}");
    let other = LeaseName::new("other").unwrap();
    store.acquire(&other, &terms(2, TTL)).await.unwrap();
    drop(stopped);
    store.acquire(&name(), &terms(2, TTL)).await.unwrap();
}

/// A copy of the descriptor, as a child has it for a moment, would keep the lock.
#[tokio::test]
async fn a_lock_is_given_back_though_a_copy_of_the_file_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.lease");
    let locked = locked::open(&path, true).unwrap().unwrap();
    let copy = locked.copy();
    assert!(locked::open(&path, true).unwrap().is_none());
    drop(locked);
    assert!(locked::open(&path, true).unwrap().is_some());
    drop(copy);
}

#[tokio::test]
async fn an_operation_that_changes_nothing_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = on(directory.path(), 1);
    granted(&store, &terms(1, Duration::from_secs(60))).await;
    let path = place::of(directory.path(), &name());
    let before = fs::read(&path).unwrap();
    left(&store, &terms(2, TTL)).await;
    assert_eq!(store.renew(&name(), terms(2, TTL).nonce).await.unwrap(), RenewReply::Taken);
    assert!(!store.release(&name(), terms(2, TTL).nonce).await.unwrap());
    store.observe(&name(), None).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    // Nor is a file made for a name that was only looked at.
    let other = LeaseName::new("other").unwrap();
    assert_eq!(store.observe(&other, None).await.unwrap(), View::default());
    assert_eq!(store.renew(&other, terms(2, TTL).nonce).await.unwrap(), RenewReply::Gone);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_config_and_a_directory_that_cannot_work_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for config in [
        FileConfig::new().lock_wait(Duration::ZERO),
        FileConfig::new().look_every(Duration::from_secs(61)),
    ] {
        let error = FileStore::open(config, directory.path()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    }
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = FileStore::open(FileConfig::new(), file.join("in it")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}
