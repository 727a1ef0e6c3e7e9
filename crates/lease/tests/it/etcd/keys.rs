//! What is in the server, and what is left there.

use steadfast_core::Executed;
use steadfast_lease::{AcquireTerms, RenewReply, StoreError};
use tokio::time::sleep;

use super::*;
use crate::servers::{granted, is_held, some_name, terms, token};

#[test]
fn the_gateway_is_spoken_to_in_base_64() {
    for (bytes, text) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
    {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}

async fn errors(store: &EtcdStore, name: &LeaseName) -> Vec<StoreError> {
    let other = terms();
    let errors = [
        store.acquire(name, &other).await.err(),
        store.renew(name, other.nonce).await.err(),
        store.release(name, other.nonce).await.err(),
        store.observe(name, None).await.err(),
    ];
    errors.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_holds_no_record_is_corrupt_to_every_operation_and_left_alone() {
    let server = servers::etcd();
    let store = connect(&server.url()).await;
    for value in [&b""[..], b"garbage", &[1; 24], &[2; 40], &[0xff; 400]] {
        let name = some_name();
        let (key, value) = (key(&name), base64(value));
        say(server, "kv/put", &format!(r#"{{"key":"{key}","value":"{value}"}}"#));
        let errors = errors(&store, &name).await;
        assert_eq!(errors.len(), 4, "{value}: {errors:?}");
        for error in errors {
            let found = (error.kind(), error.executed());
            assert_eq!(found, (StoreErrorKind::Corrupt, Executed::No), "{value}: {error:?}");
        }
        let kept = say(server, "kv/range", &format!(r#"{{"key":"{key}"}}"#));
        assert!(kept.contains(r#""version":"1""#), "{kept}");
    }
}

/// By hand, or by a tool: it would never expire.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_put_again_without_its_lease_is_corrupt() {
    let server = servers::etcd();
    let (store, name) = (connect(&server.url()).await, some_name());
    granted(&store, &name, &terms()).await;
    let key = key(&name);
    let kept = say(server, "kv/range", &format!(r#"{{"key":"{key}"}}"#));
    let value = told(&kept, "value")[0].to_owned();
    say(server, "kv/put", &format!(r#"{{"key":"{key}","value":"{value}"}}"#));
    assert_eq!(errors(&store, &name).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_no_number_is_corrupt_and_grants_nothing() {
    let server = EtcdServer::start(&[]);
    let (store, name) = (connect(&server.url()).await, some_name());
    let base = base64(format!("{PREFIX}base").as_bytes());
    let garbage = base64(b"garbage");
    say(&server, "kv/put", &format!(r#"{{"key":"{base}","value":"{garbage}"}}"#));
    let error = store.acquire(&name, &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::No));
    let error = EtcdStore::connect(config(), &server.url()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    // Removed, it is made anew, and not below what it was.
    say(&server, "kv/deleterange", &format!(r#"{{"key":"{base}"}}"#));
    let first = granted(&store, &name, &terms()).await;
    say(&server, "kv/deleterange", &format!(r#"{{"key":"{base}"}}"#));
    let other = some_name();
    assert!(granted(&store, &other, &terms()).await > first);
}

/// The loser's lease is kept for its next try, and revoked when none comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_leaves_one_lease_for_the_next_try_and_then_none() {
    let server = EtcdServer::start(&[]);
    let (holder, loser) = (connect(&server.url()).await, connect(&server.url()).await);
    let (name, owner) = (some_name(), terms());
    granted(&holder, &name, &owner).await;
    assert_eq!(leases(&server), 1);
    for _ in 0..20 {
        assert!(is_held(&loser, &name).await);
    }
    assert_eq!(leases(&server), 2);
    // It is used by the next that is granted.
    let (free, next) = (some_name(), terms());
    granted(&loser, &free, &next).await;
    assert_eq!(leases(&server), 2);
    // What is released is to spare as well.
    assert!(loser.release(&free, next.nonce).await.unwrap());
    granted(&loser, &some_name(), &terms()).await;
    assert_eq!(leases(&server), 2);
    assert!(is_held(&loser, &name).await);
    sleep(8 * SEC).await;
    assert_eq!(leases(&server), 2, "those that are held");
    assert!(is_held(&holder, &name).await);
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_a_revision_above_the_clock_and_survives_a_move_between_stores() {
    let name = some_name();
    let before = redis_token(&name).await;
    let server = EtcdServer::start(&[]);
    let (store, owner) = (connect(&server.url()).await, terms());
    let within = granted(&store, &name, &owner).await;
    let now = steadfast_core::WallClock::now(&steadfast_core::SystemWallClock);
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(since.as_micros()).unwrap();
    assert!(before < within && within.get() < now + 1_000, "{before} {within} {now}");
    // By another process it is of the same base.
    assert!(store.release(&name, owner.nonce).await.unwrap());
    let other = connect(&server.url()).await;
    let second = granted(&other, &name, &terms()).await;
    assert!(second.get() > within.get() && second.get() < within.get() + 10, "{second}");
    // And back.
    assert!(redis_token(&name).await > second);
}

/// A lease that is released at once.
#[cfg(feature = "redis")]
async fn redis_token(name: &LeaseName) -> steadfast_lease::FencingToken {
    let (config, url) = (steadfast_lease::RedisConfig::new(), servers::redis().url());
    let store = steadfast_lease::RedisStore::connect(config, &url).await.unwrap();
    let owner = terms();
    let token = granted(&store, name, &owner).await;
    assert!(store.release(name, owner.nonce).await.unwrap());
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_raises_the_tokens_of_its_name_alone_for_all_that_come_after() {
    let server = servers::etcd();
    let (store, name, other) = (connect(&server.url()).await, some_name(), some_name());
    let first = terms();
    let low = granted(&store, &name, &first).await;
    assert!(store.release(&name, first.nonce).await.unwrap());
    let ahead = token(low.get() + 3_600_000_000);
    let healed = AcquireTerms { floor: Some(ahead), ..terms() };
    let high = granted(&store, &name, &healed).await;
    assert!(high > ahead && high.get() < ahead.get() + 1_000_000, "{high} above {ahead}");
    assert_eq!(granted(&store, &name, &healed).await, high, "by its nonce it is the same grant");
    assert!(store.release(&name, healed.nonce).await.unwrap());
    // Without a floor, by another process.
    let beside = connect(&server.url()).await;
    let (next, of_other) = (terms(), terms());
    let higher = granted(&beside, &name, &next).await;
    assert!(higher > high);
    assert!(granted(&beside, &other, &of_other).await < ahead, "of another name");
    assert!(beside.release(&name, next.nonce).await.unwrap());
    // A floor that is below anyway raises nothing.
    let same = AcquireTerms { floor: Some(higher), ..terms() };
    let last = granted(&beside, &name, &same).await;
    assert!(last > higher && last.get() < higher.get() + 1_000, "{last} {higher}");
    assert!(beside.release(&name, same.nonce).await.unwrap());
    let end = AcquireTerms { floor: Some(steadfast_lease::FencingToken::MAX), ..terms() };
    let error = beside.acquire(&name, &end).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Full, Executed::No));
    assert!(!is_held(&beside, &name).await, "nothing was granted");
}

/// Its key has gone with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_revoked_by_hand_or_whose_key_is_removed_is_revoked_for_its_holder() {
    let server = servers::etcd();
    let client = client(&server.url(), 2 * SEC).await;
    let names = [some_name(), some_name(), some_name()];
    let revoked = client.try_acquire(&names[0]).await.unwrap();
    let removed = client.try_acquire(&names[1]).await.unwrap();
    let kept = client.try_acquire(&names[2]).await.unwrap();
    let key_of = |n: usize| format!(r#"{{"key":"{}"}}"#, key(&names[n]));
    let found = say(server, "kv/range", &key_of(0));
    let id = told(&found, "lease")[0];
    say(server, "lease/revoke", &format!(r#"{{"ID":"{id}"}}"#));
    // Its lease lives on, and is kept alive: that proves nothing.
    say(server, "kv/deleterange", &key_of(1));
    for lease in [&revoked, &removed] {
        let lost = tokio::time::timeout(2 * SEC, lease.lost()).await.unwrap();
        assert_eq!(lost, Some(steadfast_lease::Loss::Revoked));
        assert!(!lease.is_valid());
    }
    sleep(2 * SEC).await;
    assert!(kept.is_valid());
    assert!(kept.release().await.unwrap());
}

/// A store that was restarted, or another process that is told the nonce.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_renewed_and_released_by_its_nonce_in_a_process_that_did_not_acquire_it() {
    let server = servers::etcd();
    let (store, beside) = (connect(&server.url()).await, connect(&server.url()).await);
    let (name, owner) = (some_name(), terms());
    granted(&store, &name, &owner).await;
    assert!(matches!(
        beside.renew(&name, owner.nonce).await.unwrap(),
        RenewReply::Renewed { ttl } if ttl == owner.ttl
    ));
    assert!(beside.release(&name, owner.nonce).await.unwrap());
    assert_eq!(store.renew(&name, owner.nonce).await.unwrap(), RenewReply::Gone);
    assert!(!store.release(&name, owner.nonce).await.unwrap());
}
