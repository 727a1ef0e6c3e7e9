//! A server that is killed or stands still, ways that lose what is said, and rows that others hold.

use std::task::Context;

use futures::FutureExt;
use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use steadfast_core::Executed;
use steadfast_idempotency::{
    AsBytes, Idempotency, IdempotencyConfig, Refused, Store, StoreError, StoreErrorKind, ViewState,
};
use steadfast_testkit::servers::PostgresServer;
use tokio::time::Instant;

use super::*;
use crate::support::{Failed, refused};

/// A server of the test's own, which it may kill. Tests tell it from a thread that may block.
fn server() -> &'static PostgresServer {
    Box::leak(Box::new(PostgresServer::start()))
}

async fn tell(server: &'static PostgresServer, what: fn(&PostgresServer)) {
    tokio::task::spawn_blocking(move || what(server)).await.unwrap();
}

async fn store_of(server: &PostgresServer, config: PostgresConfig) -> PostgresStore<Pool> {
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    store(config, pool).await
}

fn is_away(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::TimedOut)
}

/// Also where the database loses its last commits otherwise, which it does here.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_the_server_was_killed() {
    let server = server();
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    let run = async |text: &str| {
        let row = pool.clone().run_statement(&Statement::unnamed(text), &[]).await;
        row.map(|row| row.map_or(0, |row| row.int(0).unwrap()))
    };
    run("ALTER SYSTEM SET synchronous_commit = off").await.unwrap();
    run("ALTER SYSTEM SET wal_writer_delay = '10s'").await.unwrap();
    tell(server, PostgresServer::restart).await;
    while run("SELECT 1").await.is_err() {}
    let store = store_of(server, PostgresConfig::new()).await;
    run("CREATE TABLE bare (n int)").await.unwrap();
    for _ in 0..2 {
        let before = run("SELECT count(*) FROM bare").await.unwrap();
        let mut acknowledged = Vec::new();
        for is_done in [true, false].repeat(50) {
            let (id, owner) = (id(), terms());
            let claimed = store.claim(&id, &owner).await.unwrap();
            assert!(matches!(claimed, ClaimReply::Claimed { .. }));
            if is_done {
                let change = store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap();
                assert_eq!(change, Change::Applied);
            }
            acknowledged.push((id, is_done));
        }
        for _ in 0..20 {
            run("INSERT INTO bare VALUES (1)").await.unwrap();
        }
        tell(server, PostgresServer::kill).await;
        tell(server, PostgresServer::restart).await;
        while store.look(&id()).await.is_err() || run("SELECT 1").await.is_err() {}
        for (id, is_done) in acknowledged {
            let view = store.look(&id).await.unwrap().expect("it was acknowledged");
            assert_eq!(view.state == ViewState::Done { reply: "ok".into() }, is_done);
        }
        let kept = run("SELECT count(*) FROM bare").await.unwrap() - before;
        assert!(kept < 20, "{kept}: this test can fail");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_mid_claim_is_an_error_and_the_claim_can_be_made_again() {
    let server = server();
    let store = store_of(server, PostgresConfig::new()).await;
    for _ in 0..3 {
        let claims: Vec<_> = (0..32).map(|_| (id(), terms())).collect();
        let racing = claims.iter().map(|(id, owner)| store.claim(id, owner));
        let racing = futures::future::join_all(racing);
        let (answers, ()) = tokio::join!(racing, async {
            tell(server, PostgresServer::kill).await;
        });
        for error in answers.into_iter().filter_map(Result::err) {
            assert!(is_away(&error), "{error:?}");
        }
        let error = store.claim(&id(), &terms()).await.unwrap_err();
        assert!(is_away(&error), "{error:?}");
        tell(server, PostgresServer::restart).await;
        while store.look(&id()).await.is_err() {}
        for (id, owner) in &claims {
            let claimed = store.claim(id, owner).await.unwrap();
            assert_eq!(claimed, ClaimReply::Claimed { attempt: std::num::NonZeroU32::MIN });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_waited_for_within_the_limit_of_a_call() {
    let server = server();
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    let config = PostgresConfig::new().lock_wait(100 * MS).call_limit(500 * MS);
    let store = PostgresStore::new(config, pool).unwrap();
    store.migrate().await.unwrap();
    let (id, owner) = (id(), terms());
    tell(server, PostgresServer::stop).await;
    for _ in 0..2 {
        let began = Instant::now();
        let error = store.claim(&id, &owner).await.unwrap_err();
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::Maybe));
        assert!(Instant::now() - began < 3000 * MS);
    }
    tell(server, PostgresServer::resume).await;
    let claimed = ClaimReply::Claimed { attempt: std::num::NonZeroU32::MIN };
    // What was asked before it stood still is answered first.
    while store.look(&super::id()).await.is_err() {}
    assert_eq!(store.claim(&id, &owner).await.unwrap(), claimed, "by its token the same claim");
    assert!(matches!(store.claim(&id, &terms()).await.unwrap(), ClaimReply::InFlight { .. }));
}

/// Over a way that lost the answer, after the server has done it.
async fn lose_the_answer<T: Send>(
    call: impl AsyncFn(PostgresStore<Pool>) -> Result<T, StoreError>,
    is_applied: impl AsyncFn() -> bool,
) -> StoreError {
    let upstream = ([127, 0, 0, 1], servers::postgres().port()).into();
    let proxy = FaultProxy::bind(ProxyConfig::new(upstream)).unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let far = PostgresStore::new(PostgresConfig::new(), connected(&url).await).unwrap();
    // Prepared already: what is lost is the answer of the statement itself.
    far.look(&id()).await.unwrap();
    let prepared = (id(), terms());
    far.claim(&prepared.0, &prepared.1).await.unwrap();
    let change = far.complete(&prepared.0, prepared.1.token, "".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    proxy.black_hole(Direction::Downstream);
    let cut = async {
        while !is_applied().await {
            tokio::time::sleep(MS).await;
        }
        proxy.cut().await;
    };
    let (answer, ()) = tokio::join!(call(far), cut);
    let Err(error) = answer else { panic!("its answer was lost") };
    error
}

async fn connected(url: &str) -> Pool {
    steadfast_store::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_though_its_answer_was_lost_can_be_asked_again() {
    let near = store(PostgresConfig::new(), pool().await).await;
    let (id, owner) = (id(), terms());
    let (is_claimed, is_done) = (
        async || near.look(&id).await.unwrap().is_some(),
        async || {
            let view = near.look(&id).await.unwrap();
            matches!(view.unwrap().state, ViewState::Done { .. })
        },
    );
    let claim = async |far: PostgresStore<Pool>| far.claim(&id, &owner).await;
    let error = lose_the_answer(claim, is_claimed).await;
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::Maybe));
    let claimed = near.claim(&id, &owner).await.unwrap();
    assert_eq!(claimed, ClaimReply::Claimed { attempt: std::num::NonZeroU32::MIN });

    let complete =
        async |far: PostgresStore<Pool>| far.complete(&id, owner.token, "first".into(), LONG).await;
    let error = lose_the_answer(complete, is_done).await;
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::Maybe));
    let change = near.complete(&id, owner.token, "second".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    let done = ClaimReply::Done { reply: "first".into() };
    assert_eq!(near.claim(&id, &terms()).await.unwrap(), done);
}

const RUNS: u64 = 500;

/// A handle asks again by itself: the operation runs once, and its reply is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_handle_over_a_way_that_fails_now_and_then_runs_each_operation_once() {
    let near = store(PostgresConfig::new(), pool().await).await;
    let upstream = ([127, 0, 0, 1], servers::postgres().port()).into();
    let proxy = FaultProxy::bind(ProxyConfig::new(upstream)).unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let far = PostgresStore::new(PostgresConfig::new(), connected(&url).await).unwrap();
    let handle = Idempotency::new(IdempotencyConfig::new(), far).unwrap();
    let failing = tokio::spawn(async move {
        loop {
            // Long enough for a connection to be made and used, also on a busy machine: an end that
            // is not told within its lease is an abandoned key.
            tokio::time::sleep(300 * MS).await;
            proxy.cut().await;
            proxy.heal().await;
        }
    });
    let began = Instant::now();
    for _ in 0..RUNS {
        let id = id();
        loop {
            let operation = |_| async { Ok::<_, Failed>("receipt".into()) };
            match handle.run(id.clone(), print(), AsBytes, operation).await {
                Ok(receipt) => break assert_eq!(receipt, "receipt"),
                // It was not claimed, or its end is being told.
                Err(error) => {
                    let refused = refused(Err(error));
                    let took = Instant::now() - began;
                    let is_stuck = refused == Refused::abandoned() || took > 120_000 * MS;
                    assert!(!is_stuck, "{refused:?}");
                    tokio::time::sleep(5 * MS).await;
                }
            }
        }
        let view = near.look(&id).await.unwrap();
        assert!(view.is_some_and(|view| view.attempt.get() == 1));
    }
    failing.abort();
    // The store may be told after the caller was.
    while handle.snapshot().in_flight > 0 {
        tokio::time::sleep(5 * MS).await;
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.ran, snapshot.stored), (RUNS, RUNS), "{snapshot:?}");
}

/// A transaction that has completed a claim and is not committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_meets_a_row_that_a_transaction_holds_is_answered_by_its_wait() {
    let pool = pool().await;
    let config = PostgresConfig::new().lock_wait(200 * MS);
    let store = store(config, pool.clone()).await;
    let (id, owner) = (id(), ClaimTerms { lease: MS, ..terms() });
    store.claim(&id, &owner).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let change = store.complete_in(&mut tx, &id, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    tokio::time::sleep(10 * MS).await;

    let began = Instant::now();
    let meets = store.claim(&id, &taker()).await.unwrap();
    assert_eq!(meets, ClaimReply::InFlight { left: 200 * MS });
    let refused = store.claim(&id, &terms()).await.unwrap();
    assert_eq!(refused, ClaimReply::Abandoned, "one that would not take over does not wait");
    let errors = [
        store.renew(&id, owner.token, LONG, LONG).await.map(drop).unwrap_err(),
        store.complete(&id, owner.token, "late".into(), LONG).await.map(drop).unwrap_err(),
        store.release(&id, owner.token).await.map(drop).unwrap_err(),
        store.abandon(&id, owner.token, LONG).await.map(drop).unwrap_err(),
        store.forget(&id).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::No));
    }
    let waited = Instant::now() - began;
    assert!(waited >= 1200 * MS && waited < 10_000 * MS, "{waited:?}: six waits");
    assert!(store.look(&id).await.unwrap().is_some(), "a look does not wait");
    tx.commit().await.unwrap();
    assert_eq!(store.claim(&id, &taker()).await.unwrap(), ClaimReply::Done { reply: "ok".into() });

    // A claim that is not committed is not seen, and stands in the way all the same.
    let (id, owner) = (super::id(), terms());
    let mut tx = client.transaction().await.unwrap();
    store.claim_in(&mut tx, &id, &owner).await.unwrap();
    let meets = store.claim(&id, &terms()).await.unwrap();
    assert_eq!(meets, ClaimReply::InFlight { left: 200 * MS });
    tx.rollback().await.unwrap();
    assert!(matches!(store.claim(&id, &terms()).await.unwrap(), ClaimReply::Claimed { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_for_a_completion_is_given_its_reply() {
    let pool = pool().await;
    let store = store(PostgresConfig::new().lock_wait(5000 * MS), pool.clone()).await;
    let (id, owner) = (id(), ClaimTerms { lease: MS, ..terms() });
    store.claim(&id, &owner).await.unwrap();
    let mut client = pool.get().await.unwrap();
    let mut tx = client.transaction().await.unwrap();
    let change = store.complete_in(&mut tx, &id, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(change, Change::Applied);
    let taker = taker();
    let claim = store.claim(&id, &taker);
    let commit = async {
        tokio::time::sleep(300 * MS).await;
        tx.commit().await.unwrap();
    };
    let (met, ()) = tokio::join!(claim, commit);
    assert_eq!(met.unwrap(), ClaimReply::Done { reply: "ok".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_connection_has_ended_is_away_and_executes_nothing() {
    let client = client().await;
    let store = store(PostgresConfig::new(), client.clone()).await;
    let end = Statement::unnamed("SELECT pg_terminate_backend(pg_backend_pid())");
    client.clone().run_statement(&end, &[]).await.unwrap_err();
    while !client.client().is_closed() {
        tokio::task::yield_now().await;
    }
    let error = store.claim(&id(), &terms()).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
}

/// A call is dropped after each number of polls that it may have: the next is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_at_any_poll_leaves_a_store_that_works() {
    for polls in 0..8 {
        let store = store(PostgresConfig::new(), pool().await).await;
        let (id, owner) = (id(), terms());
        for call in 0..3 {
            let mut claim = Box::pin(store.claim(&id, &owner));
            let mut complete = Box::pin(store.complete(&id, owner.token, "ok".into(), LONG));
            let mut look = Box::pin(store.look(&id));
            for _ in 0..polls {
                let cx = &mut Context::from_waker(std::task::Waker::noop());
                let is_ready = match call {
                    0 => claim.poll_unpin(cx).is_ready(),
                    1 => complete.poll_unpin(cx).is_ready(),
                    _ => look.poll_unpin(cx).is_ready(),
                };
                if is_ready {
                    break;
                }
                tokio::time::sleep(MS).await;
            }
        }
        let claimed = store.claim(&id, &owner).await.unwrap();
        assert!(matches!(claimed, ClaimReply::Claimed { .. } | ClaimReply::Done { .. }));
        let change = store.complete(&id, owner.token, "ok".into(), LONG).await.unwrap();
        assert_eq!(change, Change::Applied);
    }
}
