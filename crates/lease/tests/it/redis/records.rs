//! What is kept, for how long, and what costs nothing.

use steadfast_lease::{AcquireTerms, RenewReply, Store};

use super::*;
use crate::servers::{LONG, granted, is_held, some_name, terms, token};

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// When the server forgets the record by itself.
async fn forgotten_in(server: &RedisServer, name: &LeaseName) -> Duration {
    Duration::from_millis(say(server, &["PTTL", &key(name)]).await)
}

#[tokio::test]
async fn a_record_outlives_its_grant_and_its_release_by_the_retention() {
    let server = servers::redis();
    let (store, name, owner) = (connect(server).await, some_name(), terms());
    let agree = async |expected: Duration| {
        let left = forgotten_in(server, &name).await;
        // In whole milliseconds, rounded up.
        let most = expected + Duration::from_millis(1);
        assert!(left <= most && left + LONG / 60 > expected, "{left:?} of {expected:?}");
    };
    granted(&store, &name, &owner).await;
    agree(LONG + WEEK).await;
    // The last token is kept for as long whatever becomes of the grant.
    store.renew(&name, owner.nonce).await.unwrap();
    agree(LONG + WEEK).await;
    assert!(store.release(&name, owner.nonce).await.unwrap());
    agree(WEEK).await;
    let short = RedisStore::connect(config().retention(LONG), &server.url()).await.unwrap();
    granted(&short, &name, &owner).await;
    agree(LONG + LONG).await;
}

/// Its token, made by a clock that was ahead, would come again from one that is not.
#[tokio::test]
async fn a_token_of_a_clock_that_was_ahead_is_kept_over_the_release_and_surpassed() {
    let (store, name, owner) = (connect(servers::redis()).await, some_name(), terms());
    let ahead = token(7_000_000_000_000_000);
    let above = granted(&store, &name, &AcquireTerms { floor: Some(ahead), ..owner.clone() }).await;
    assert_eq!(above.get(), ahead.get() + 1);
    assert!(store.release(&name, owner.nonce).await.unwrap());
    assert_eq!(granted(&store, &name, &terms()).await.get(), ahead.get() + 2);
}

#[tokio::test]
async fn a_token_is_the_microseconds_of_the_servers_clock() {
    let (store, name) = (connect(servers::redis()).await, some_name());
    let clock: Vec<String> = say(servers::redis(), &["TIME"]).await;
    let micros = format!("{}{:0>6}", clock[0], clock[1]).parse::<u64>().unwrap();
    let token = granted(&store, &name, &terms()).await.get();
    assert!((micros..micros + 60_000_000).contains(&token), "{token} at {micros}");
}

/// Doubles would take two tokens for one.
#[tokio::test]
async fn no_token_is_given_out_that_a_double_cannot_hold() {
    let (store, name) = (connect(servers::redis()).await, some_name());
    let end = 1_u64 << 53;
    let above = |floor| AcquireTerms { floor: Some(token(floor)), ..terms() };
    let last = above(end - 2);
    assert_eq!(granted(&store, &name, &last).await.get(), end - 1);
    assert!(store.release(&name, last.nonce).await.unwrap());
    for terms in [terms(), above(end - 1), above(end), above(i64::MAX as u64)] {
        let refused = store.acquire(&name, &terms).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Full, "{terms:?}");
    }
    assert_eq!(store.observe(&name, None).await.unwrap().token, Some(token(end - 1)));
}

#[tokio::test]
async fn an_acquisition_that_is_not_granted_writes_nothing() {
    let server = RedisServer::start(&[]);
    let (store, name, owner) = (connect(&server).await, some_name(), terms());
    granted(&store, &name, &owner).await;
    let changes = told(&server, "rdb_changes_since_last_save").await;
    for _ in 0..10 {
        assert!(is_held(&store, &name).await);
        assert_eq!(store.renew(&name, terms().nonce).await.unwrap(), RenewReply::Taken);
        assert!(!store.release(&name, terms().nonce).await.unwrap());
        store.observe(&name, None).await.unwrap();
    }
    assert_eq!(told(&server, "rdb_changes_since_last_save").await, changes);
    assert!(matches!(store.renew(&name, owner.nonce).await, Ok(RenewReply::Renewed { .. })));
    assert!(told(&server, "rdb_changes_since_last_save").await > changes, "a change is counted");
}

#[tokio::test]
async fn a_server_that_is_full_grants_nothing_and_still_renews_and_releases() {
    let server = RedisServer::start(&[]);
    let (store, name, owner) = (connect(&server).await, some_name(), terms());
    granted(&store, &name, &owner).await;
    say::<()>(&server, &["CONFIG", "SET", "maxmemory", "1mb"]).await;
    let full = store.acquire(&some_name(), &terms()).await.unwrap_err();
    assert_eq!(full.kind(), StoreErrorKind::Full, "{full:?}");
    assert!(matches!(store.renew(&name, owner.nonce).await, Ok(RenewReply::Renewed { .. })));
    assert!(store.observe(&name, None).await.unwrap().held.is_some());
    assert!(store.release(&name, owner.nonce).await.unwrap());
    assert!(store.observe(&name, None).await.unwrap().held.is_none());
}

#[tokio::test]
async fn scripts_that_are_gone_are_sent_again() {
    let server = RedisServer::start(&[]);
    let (store, name, owner) = (connect(&server).await, some_name(), terms());
    let flush = || say::<()>(&server, &["SCRIPT", "FLUSH"]);
    flush().await;
    granted(&store, &name, &owner).await;
    flush().await;
    assert!(matches!(store.renew(&name, owner.nonce).await, Ok(RenewReply::Renewed { .. })));
    flush().await;
    assert!(store.observe(&name, None).await.unwrap().held.is_some());
    flush().await;
    assert!(store.release(&name, owner.nonce).await.unwrap());
}
