//! A server that has reached its memory.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Executed;
use steadfast_idempotency::{
    Change, ClaimReply, ClaimTerms, Idempotency, IdempotencyConfig, Outcome, Reason, RedisStore,
    Store, StoreErrorKind, StoredReply, ViewState,
};
use steadfast_testkit::servers::RedisServer;

use super::{connect, say};
use crate::rivals::{LONG, print, some_id, taker, terms};

async fn server() -> (RedisServer, RedisStore) {
    let server = RedisServer::start(&["--maxmemory", "8mb"]);
    let store = connect(&server).await;
    (server, store)
}

/// Fills the server, and makes sure that it stays full.
async fn fill(server: &RedisServer) {
    let used: String = say(server, &["INFO", "memory"]).await;
    let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let below = used.parse::<u64>().unwrap() - 100_000;
    say::<()>(server, &["CONFIG", "SET", "maxmemory", &below.to_string()]).await;
}

#[tokio::test]
async fn a_full_server_refuses_new_claims_and_long_replies_and_settles_what_it_has() {
    let (server, store) = server().await;
    let mut held: Vec<_> = (0..7).map(|_| (some_id(), terms())).collect();
    // The last one has ended its lease, for a takeover.
    held[6].1 = ClaimTerms { lease: Duration::from_millis(1), ..held[6].1 };
    for (id, terms) in &held {
        store.claim(id, terms).await.unwrap();
    }
    let done = held.pop().unwrap();
    let (renewed, completed) = (&held[0], &held[1]);
    fill(&server).await;
    let full = |error: steadfast_idempotency::StoreError| {
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Full, Executed::No));
    };
    full(store.claim(&some_id(), &terms()).await.unwrap_err());
    full(store.claim(&done.0, &taker()).await.unwrap_err());
    let long = Bytes::from(vec![7; 65]);
    full(store.complete(&completed.0, completed.1.token, long, LONG).await.unwrap_err());

    // Nothing was changed, and what there is can be settled.
    let duplicate = store.claim(&completed.0, &terms()).await.unwrap();
    assert!(matches!(duplicate, ClaimReply::InFlight { .. }));
    let (id, terms) = renewed;
    assert_eq!(store.renew(id, terms.token, LONG * 2, LONG).await.unwrap(), Change::Applied);
    assert_eq!(store.abandon(id, terms.token, LONG).await.unwrap(), Change::Applied);
    let (id, terms) = completed;
    let tombstone = StoredReply::NotKept.encode();
    let changed = store.complete(id, terms.token, tombstone.clone(), LONG).await.unwrap();
    assert_eq!(changed, Change::Applied);
    assert_eq!(store.claim(id, &taker()).await.unwrap(), ClaimReply::Done { reply: tombstone });
    let (id, terms) = &held[2];
    assert_eq!(store.release(id, terms.token).await.unwrap(), Change::Applied);
    assert!(store.look(id).await.unwrap().is_none());
    assert!(store.forget(&held[3].0).await.unwrap());
}

#[tokio::test]
async fn an_operation_whose_reply_finds_no_room_is_kept_as_done_without_it() {
    let (server, store) = server().await;
    let idempotency = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let (id, server) = (some_id(), std::sync::Arc::new(server));
    let run = |reply: &'static str| {
        let server = std::sync::Arc::clone(&server);
        idempotency.execute(id.clone(), print(), move |_| async move {
            fill(&server).await;
            (reply, Outcome::Store(reply.repeat(100).into()))
        })
    };
    run("once").await.unwrap();
    assert_eq!(run("twice").await.unwrap_err().reason, Reason::NotKept);
    let view = store.look(&id).await.unwrap().unwrap();
    assert_eq!(view.state, ViewState::Done { reply: StoredReply::NotKept.encode() });
    // A new key is refused before it runs.
    let refused = idempotency
        .execute(some_id(), print(), |_| async { unreachable!("it has no claim") as ((), _) })
        .await
        .unwrap_err();
    assert_eq!((refused.reason, refused.grounds.executed), (Reason::Store, Executed::No));
}
