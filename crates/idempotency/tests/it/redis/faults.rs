//! Servers that die, stand still or lose an answer, at each step.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use steadfast_core::Executed;
use steadfast_idempotency::{
    AsBytes, Change, Claim, ClaimReply, ClaimTerms, Idempotency, IdempotencyConfig, OnAbandoned,
    Reason, RecordId, RedisConfig, RedisStore, Store, StoreErrorKind, ViewState,
};
use steadfast_testkit::servers::{self, RedisServer};
use tokio::{sync::Notify, time::sleep};

use super::{connect, say};
use crate::rivals::{Failed, LONG, print, refusal, some_id, taker, terms};

const MS: Duration = Duration::from_millis(1);

fn claimed(attempt: u32) -> ClaimReply {
    ClaimReply::Claimed { attempt: attempt.try_into().unwrap() }
}

/// A store behind a link that can fail.
async fn behind_proxy(server: &RedisServer, config: RedisConfig) -> (FaultProxy, RedisStore) {
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::bind(ProxyConfig::new(upstream)).unwrap();
    let url = format!("redis://{}/", proxy.address());
    (proxy, RedisStore::connect(config, &url).await.unwrap())
}

/// A process whose operations count themselves.
#[derive(Clone)]
struct Process {
    handle: Idempotency,
    runs: Arc<AtomicU32>,
}

impl Process {
    fn new(config: IdempotencyConfig, store: &RedisStore, runs: &Arc<AtomicU32>) -> Self {
        let handle = Idempotency::new(config, store.clone()).unwrap();
        Self { handle, runs: Arc::clone(runs) }
    }

    async fn pay(&self, id: &RecordId) -> Result<Bytes, Failed> {
        self.pay_after(id, async || {}).await
    }

    /// Pays once `before` is done. The reply is the number of the run.
    async fn pay_after<F>(
        &self,
        id: &RecordId,
        before: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Bytes, Failed>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runs = Arc::clone(&self.runs);
        let operation = move |claim: Claim| async move {
            before().await;
            runs.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from(claim.attempt().to_string()))
        };
        self.handle.run(id.clone(), print(), AsBytes, operation).await
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
}

/// By `everysec` it does not: while its disk is busy it acknowledges what is only in its memory.
#[tokio::test]
async fn a_server_that_always_syncs_keeps_all_that_it_has_acknowledged_when_it_is_killed() {
    let server = RedisServer::start(&["--appendfsync", "always"]);
    for round in 0..3 {
        let store = connect(&server).await;
        let records: Vec<_> = (0..500).map(|_| (some_id(), terms())).collect();
        for (n, (id, terms)) in records.iter().enumerate() {
            assert_eq!(store.claim(id, terms).await.unwrap(), claimed(1));
            if n % 2 == 0 {
                let reply = Bytes::from(n.to_string());
                let changed = store.complete(id, terms.token, reply, LONG).await.unwrap();
                assert_eq!(changed, Change::Applied);
            }
        }
        server.restart();
        let store = connect(&server).await;
        for (n, (id, _)) in records.iter().enumerate() {
            let found = store.claim(id, &taker()).await.unwrap();
            match n % 2 {
                0 => assert_eq!(found, ClaimReply::Done { reply: n.to_string().into() }),
                _ => assert!(matches!(found, ClaimReply::InFlight { .. }), "{round} {n} {found:?}"),
            }
        }
    }
}

#[tokio::test]
async fn scripts_that_are_gone_are_sent_again() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    let (id, terms) = (some_id(), terms());
    let flush = || say::<()>(&server, &["SCRIPT", "FLUSH"]);
    flush().await;
    assert_eq!(store.claim(&id, &terms).await.unwrap(), claimed(1));
    flush().await;
    assert_eq!(store.renew(&id, terms.token, LONG, LONG).await.unwrap(), Change::Applied);
    flush().await;
    assert_eq!(store.abandon(&id, terms.token, LONG).await.unwrap(), Change::Applied);
    flush().await;
    let long = Bytes::from(vec![1; 1000]);
    assert_eq!(store.complete(&id, terms.token, long, LONG).await.unwrap(), Change::Applied);
    flush().await;
    assert!(store.look(&id).await.unwrap().is_some());
    flush().await;
    assert_eq!(store.release(&id, terms.token).await.unwrap(), Change::Lost);
    flush().await;
    assert!(store.forget(&id).await.unwrap());
}

/// The server did it, and could not say so: by its token it is the same claim, the same completion.
#[tokio::test]
async fn an_operation_whose_answer_was_lost_is_the_same_operation_when_it_is_repeated() {
    let server = servers::redis();
    let (proxy, store) = behind_proxy(server, RedisConfig::new().call_limit(300 * MS)).await;
    let beside = connect(server).await;
    let (taker, owner) = (taker(), terms());
    // Every other answer is lost: late in a black hole, or with the connection.
    for is_cut in [false, true] {
        let id = some_id();
        let lose = async |state: fn(&ViewState) -> bool| {
            arrived(&beside, &id, state).await;
            if is_cut {
                proxy.cut().await;
            }
        };
        proxy.black_hole(Direction::Downstream);
        let is_in_flight = |state: &ViewState| matches!(state, ViewState::InFlight { .. });
        let (lost, ()) = tokio::join!(store.claim(&id, &owner), lose(is_in_flight));
        assert_eq!(lost.unwrap_err().executed(), Executed::Maybe);
        proxy.heal().await;
        again(|| store.claim(&id, &owner), claimed(1)).await;
        proxy.black_hole(Direction::Downstream);
        let is_done = |state: &ViewState| matches!(state, ViewState::Done { .. });
        let complete = |reply: &'static str| store.complete(&id, owner.token, reply.into(), LONG);
        let (lost, ()) = tokio::join!(complete("ok"), lose(is_done));
        assert_eq!(lost.unwrap_err().executed(), Executed::Maybe);
        proxy.heal().await;
        again(|| complete("other"), Change::Applied).await;
        again(|| store.claim(&id, &taker), ClaimReply::Done { reply: "ok".into() }).await;
    }
}

/// Until the connection is made anew.
async fn again<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    call: impl AsyncFn() -> Result<T, E>,
    expected: T,
) {
    for _ in 0..50 {
        if let Ok(found) = call().await {
            return assert_eq!(found, expected);
        }
        sleep(20 * MS).await;
    }
    panic!("{:?}", call().await);
}

/// Waits until the server has done it.
async fn arrived(store: &RedisStore, id: &RecordId, is: fn(&ViewState) -> bool) {
    for _ in 0..200 {
        match store.look(id).await.unwrap() {
            Some(view) if is(&view.state) => return assert_eq!(view.attempt.get(), 1),
            _ => sleep(10 * MS).await,
        }
    }
    panic!("it never got there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answers_are_lost_for_a_while_still_runs_once() {
    let server = servers::redis();
    let (proxy, store) = behind_proxy(server, RedisConfig::new().call_limit(100 * MS)).await;
    let config = IdempotencyConfig::new().lease(2000 * MS).store_limit(1000 * MS);
    let process = Process::new(config, &store, &Arc::default());
    let (mut answered, mut refused) = (0, 0);
    for n in 0..20 {
        let id = some_id();
        proxy.black_hole(Direction::Downstream);
        let link = proxy.clone();
        let mend = tokio::spawn(async move {
            sleep(20 * MS * (n % 4) * 3).await;
            link.heal().await;
        });
        match process.pay(&id).await {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_eq!(refusal::<()>(Err(error)).reason, Reason::Store);
                refused += 1;
            }
        }
        mend.await.unwrap();
        // The second time the link is sound: it runs if it has not run.
        again(|| process.pay(&id), "1".into()).await;
        assert_eq!(process.runs(), n + 1);
    }
    assert!(answered > 5, "{answered} answered, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_in_mid_claim_refuses_it_and_the_key_is_free_afterwards() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    let config = IdempotencyConfig::new().lease(10_000 * MS).store_limit(200 * MS);
    let process = Process::new(config, &store, &Arc::default());
    let id = some_id();
    process.pay(&some_id()).await.unwrap();
    server.stop();
    let refused = refusal(process.pay(&id).await);
    assert_eq!((refused.reason, process.runs()), (Reason::Store, 1));
    server.resume();
    // The claims that it had received are applied now, and the release behind them.
    for _ in 0..100 {
        if process.handle.snapshot().in_flight == 0 {
            break;
        }
        sleep(50 * MS).await;
    }
    assert_eq!(process.pay(&id).await.unwrap(), "1");
    assert_eq!(process.runs(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_an_operation_runs_takes_its_reply_when_it_is_back() {
    let server = Arc::new(RedisServer::start(&[]));
    let store = connect(&server).await;
    let config = IdempotencyConfig::new().lease(20_000 * MS);
    let process = Process::new(config, &store, &Arc::default());
    let id = some_id();
    let is_down = Arc::new(Notify::new());
    let restart = tokio::spawn({
        let (server, is_down) = (Arc::clone(&server), Arc::clone(&is_down));
        async move {
            is_down.notified().await;
            sleep(300 * MS).await;
            tokio::task::block_in_place(|| server.restart());
        }
    });
    let before = {
        let server = Arc::clone(&server);
        move || async move {
            tokio::task::block_in_place(|| server.kill());
            is_down.notify_one();
        }
    };
    assert_eq!(process.pay_after(&id, before).await.unwrap(), "1");
    restart.await.unwrap();
    assert_eq!(process.pay(&id).await.unwrap(), "1");
    assert_eq!((process.runs(), process.handle.snapshot().stored), (1, 1));
}

/// Its renewals are lost, its lease ends, another process takes over and is told so; what it says
/// afterwards changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_cut_off_past_its_lease_is_a_zombie() {
    let server = servers::redis();
    let (proxy, cut_off) = behind_proxy(server, RedisConfig::new().call_limit(100 * MS)).await;
    let config = IdempotencyConfig::new()
        .lease(500 * MS)
        .store_limit(500 * MS)
        .on_abandoned(OnAbandoned::Takeover);
    let runs = Arc::default();
    let owner = Process::new(config.clone(), &cut_off, &runs);
    let taker = Process::new(config, &connect(server).await, &runs);
    let id = some_id();
    let (was_lost, go_on) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let has_begun = Arc::new(Notify::new());
    let zombie = tokio::spawn({
        let (id, proxy, go_on) = (id.clone(), proxy.clone(), Arc::clone(&go_on));
        let (was_lost, runs) = (Arc::clone(&was_lost), Arc::clone(&owner.runs));
        let has_begun = Arc::clone(&has_begun);
        async move {
            let operation = move |claim: Claim| async move {
                has_begun.notify_one();
                proxy.black_hole(Direction::Upstream);
                claim.lost().await;
                was_lost.store(claim.attempt().get(), Ordering::Relaxed);
                go_on.notified().await;
                runs.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Failed>(Bytes::from("zombie"))
            };
            owner.handle.run(id, print(), AsBytes, operation).await
        }
    });
    has_begun.notified().await;
    // It claims again until the lease has ended.
    assert_eq!(taker.pay(&id).await.unwrap(), "2");
    proxy.heal().await;
    go_on.notify_one();
    assert_eq!(refusal(zombie.await.unwrap()).reason, Reason::Lost);
    assert_eq!(was_lost.load(Ordering::Relaxed), 1);
    assert_eq!(taker.pay(&id).await.unwrap(), "2", "the reply of the second run stays");
}

#[tokio::test]
async fn a_server_that_is_down_is_refused_at_once_and_was_told_nothing() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    server.kill();
    for _ in 0..5 {
        let _ = store.look(&some_id()).await;
    }
    let error = store.claim(&some_id(), &terms()).await.unwrap_err();
    assert_eq!(error.executed(), Executed::No);
    let process = Process::new(IdempotencyConfig::new(), &store, &Arc::default());
    let refused = refusal(process.pay(&some_id()).await);
    assert_eq!((refused.reason, refused.grounds.executed), (Reason::Store, Executed::No));
}

/// After every operation that moves its end: earlier, and a record would be lost that still counts.
#[tokio::test]
async fn the_servers_own_expiry_is_that_of_the_record() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    let id = some_id();
    let agree = async |expected: Duration| {
        let view = store.look(&id).await.unwrap().unwrap();
        let [key] = say::<Vec<String>>(&server, &["KEYS", "*"]).await.try_into().unwrap();
        let left = Duration::from_millis(say(&server, &["PTTL", &key]).await);
        for found in [view.expires_in, left] {
            assert!(found <= expected + 50 * MS && found > expected - 5000 * MS, "{found:?}");
        }
    };
    let owner = ClaimTerms { lease: 10 * MS, retention: LONG, ..taker() };
    store.claim(&id, &owner).await.unwrap();
    agree(LONG).await;
    store.claim(&id, &ClaimTerms { lease: LONG, ..owner }).await.unwrap();
    agree(LONG * 2).await;
    // Of two renewals the longer holds, whichever comes last.
    for (lease, retention) in [(LONG, LONG * 2), (MS, MS)] {
        let renewed = store.renew(&id, owner.token, lease, retention).await.unwrap();
        assert_eq!(renewed, Change::Applied);
        agree(LONG * 3).await;
    }
    let abandoned = store.abandon(&id, owner.token, LONG * 4).await.unwrap();
    assert_eq!(abandoned, Change::Applied);
    agree(LONG * 4).await;
    let completed = store.complete(&id, owner.token, "ok".into(), LONG * 5).await.unwrap();
    assert_eq!(completed, Change::Applied);
    agree(LONG * 5).await;

    assert!(store.forget(&id).await.unwrap());
    store.claim(&id, &owner).await.unwrap();
    sleep(20 * MS).await;
    let taker = ClaimTerms { retention: LONG * 6, lease: MS, ..taker() };
    assert_eq!(store.claim(&id, &taker).await.unwrap(), claimed(2));
    agree(LONG * 6).await;
    assert_eq!(store.release(&id, taker.token).await.unwrap(), Change::Applied);
    agree(LONG * 6).await;
    let completed = store.complete(&id, taker.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(completed, Change::Applied);
    agree(LONG).await;
}

/// And leave nothing behind.
#[tokio::test]
async fn records_vanish_by_themselves() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    let short = ClaimTerms { lease: 300 * MS, retention: 300 * MS, ..terms() };
    let (held, done, released) = (some_id(), some_id(), some_id());
    for id in [&held, &done, &released] {
        store.claim(id, &short).await.unwrap();
    }
    let changed = store.complete(&done, short.token, "ok".into(), 900 * MS).await.unwrap();
    assert_eq!(changed, Change::Applied);
    assert_eq!(store.release(&released, short.token).await.unwrap(), Change::Applied);
    assert_eq!(say::<i64>(&server, &["DBSIZE"]).await, 2);
    let keys: Vec<String> = say(&server, &["KEYS", "*"]).await;
    for key in &keys {
        assert!(key.starts_with("steadfast:idempotency:") && !key.contains("rivals"), "{key}");
        let left: i64 = say(&server, &["PTTL", key]).await;
        assert!((400..=900).contains(&left), "{left}");
    }
    sleep(1000 * MS).await;
    assert_eq!(store.purge_expired(usize::MAX).await.unwrap(), 0);
    for id in [&held, &done] {
        assert!(store.look(id).await.unwrap().is_none());
    }
    assert_eq!(say::<i64>(&server, &["DBSIZE"]).await, 0);
}

/// What a replica has not heard of is not lost: its master may have it.
#[tokio::test]
async fn a_server_that_became_a_replica_is_away_and_says_of_no_claim_that_it_is_lost() {
    let server = RedisServer::start(&[]);
    let store = connect(&server).await;
    let (id, terms) = (some_id(), terms());
    say::<()>(&server, &["REPLICAOF", "127.0.0.1", &server.port().to_string()]).await;
    let is_away = |what: &str, answer: Result<Change, steadfast_idempotency::StoreError>| {
        let error = answer.expect_err(what);
        let said = (error.kind(), error.executed());
        assert_eq!(said, (StoreErrorKind::Unavailable, Executed::No), "{what}");
    };
    // Each on a connection of its own: one that has met a replica is given up.
    let here = async || connect(&server).await;
    let (short, long) = (Bytes::from_static(b"ok"), Bytes::from(vec![7; 1000]));
    is_away("complete", here().await.complete(&id, terms.token, short, LONG).await);
    is_away("complete, long", here().await.complete(&id, terms.token, long.clone(), LONG).await);
    is_away("renew", here().await.renew(&id, terms.token, LONG, LONG).await);
    is_away("release", here().await.release(&id, terms.token).await);
    is_away("abandon", here().await.abandon(&id, terms.token, LONG).await);
    is_away("forget", here().await.forget(&id).await.map(|_| Change::Applied));
    is_away("claim", store.claim(&id, &terms).await.map(|_| Change::Applied));

    say::<()>(&server, &["REPLICAOF", "NO", "ONE"]).await;
    while store.claim(&id, &terms).await.is_err() {}
    assert_eq!(store.complete(&id, terms.token, long, LONG).await.unwrap(), Change::Applied);
}
