//! Commits whose outcome is not known.

use steadfast_chaos::{Direction, FaultProxy, ProxyConfig};
use tokio::sync::Notify;

use super::*;

/// A way to the server that fails where a test wants, for the operation's transaction only.
async fn way() -> (FaultProxy, Pool) {
    let upstream = ([127, 0, 0, 1], servers::postgres().port()).into();
    let proxy = FaultProxy::bind(ProxyConfig::new(upstream)).unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let pool = steadfast_store::connect(&url).await.unwrap();
    (proxy, pool)
}

/// Pays over a way that goes black in `direction` at the commit, and is cut once `until` returns.
async fn pay_over_a_failing_way(
    bank: &Bank,
    id: &RecordId,
    direction: Direction,
    until: impl AsyncFnOnce() + Send + 'static,
) -> Result<Bytes, Failed> {
    let (proxy, pool) = way().await;
    let (of, black, at) = (id.clone(), proxy.clone(), Arc::new(Notify::new()));
    let is_at = Arc::clone(&at);
    let paid = bank.pay(id, move |claim, _| async move {
        let mut client = pool.get().await.map_err(service)?;
        let mut tx = client.transaction().await.map_err(service)?;
        charge(&mut tx, &of).await?;
        let reply = claim.complete(&mut tx, receipt(&claim)).await?;
        black.black_hole(direction);
        is_at.notify_one();
        tx.commit().await.map_err(service)?;
        Ok(reply)
    });
    let cut = async {
        at.notified().await;
        until().await;
        proxy.cut().await;
    };
    tokio::join!(paid, cut).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_answered_with_the_stored_reply() {
    let (bank, id) = (Bank::open().await, id());
    let (seen, of) = (bank.clone(), id.clone());
    let is_committed = async move || {
        while !matches!(seen.state(&of).await, Some(ViewState::Done { .. })) {
            tokio::time::sleep(MS).await;
        }
    };
    let paid = pay_over_a_failing_way(&bank, &id, Direction::Downstream, is_committed).await;
    assert_eq!(paid.unwrap(), "receipt of run 1");
    let again = bank.pay(&id, |_, _| async { unreachable!("it is done") }).await;
    assert_eq!((again.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
    let snapshot = bank.payments.snapshot();
    assert_eq!((snapshot.ran, snapshot.stored, snapshot.lost), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_frees_the_key() {
    let (bank, id) = (Bank::open().await, id());
    let soon = async || tokio::time::sleep(50 * MS).await;
    let paid = pay_over_a_failing_way(&bank, &id, Direction::Upstream, soon).await;
    assert!(matches!(paid, Err(Error::Service(_))), "{paid:?}");
    assert_eq!((bank.effects(&id).await, bank.state(&id).await), (0, None));
    let of = id.clone();
    let paid = bank.pay(&id, |claim, pool| book(claim, pool, of)).await;
    assert_eq!((paid.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
}

/// The operation has given its commit up; the server has not heard of that. A release that waits
/// for less is asked again, and one that waits for longer finds the record as the commit has left
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_arrives_after_its_operation_has_failed_is_found_by_the_release() {
    for wait in [300 * MS, 4000 * MS] {
        let bank = Bank::over(config(), store_config().lock_wait(wait)).await;
        let id = id();
        let (proxy, pool) = way().await;
        let (of, black) = (id.clone(), proxy.clone());
        let paid = bank.pay(&id, move |claim, _| async move {
            let mut client = pool.get().await.map_err(service)?;
            let mut tx = client.transaction().await.map_err(service)?;
            charge(&mut tx, &of).await?;
            claim.complete(&mut tx, receipt(&claim)).await?;
            black.black_hole(Direction::Upstream);
            let commit = tokio::time::timeout(50 * MS, tx.commit()).await;
            // The bytes are on their way. Neither is the connection closed, which would say so.
            std::mem::forget(client);
            Err(service(commit.unwrap_err()))
        });
        let arrives = async {
            tokio::time::sleep(1000 * MS).await;
            proxy.heal().await;
        };
        let (paid, ()) = tokio::join!(paid, arrives);
        assert_eq!(paid.unwrap(), "receipt of run 1");
        assert_eq!(bank.effects(&id).await, 1);
        assert!(matches!(bank.state(&id).await, Some(ViewState::Done { .. })));
    }
}

/// An operation that takes the lost answer for a failure, and tries its transaction again.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_transaction_after_an_unknown_commit_is_refused_and_rolls_back() {
    let (bank, id) = (Bank::open().await, id());
    let (proxy, failing) = way().await;
    let (of, seen) = (id.clone(), bank.clone());
    let paid = bank.pay(&id, move |claim, pool| async move {
        let mut client = failing.get().await.map_err(service)?;
        let mut tx = client.transaction().await.map_err(service)?;
        charge(&mut tx, &of).await?;
        claim.complete(&mut tx, receipt(&claim)).await?;
        proxy.black_hole(Direction::Downstream);
        let cut = async {
            while !matches!(seen.state(&of).await, Some(ViewState::Done { .. })) {
                tokio::time::sleep(MS).await;
            }
            proxy.cut().await;
        };
        let (commit, ()) = tokio::join!(tx.commit(), cut);
        assert!(commit.is_err());
        let again = book(claim, pool, of).await;
        assert!(matches!(&again, Err(Error::Refused(_))), "{again:?}");
        again
    });
    assert_eq!(paid.await.unwrap(), "receipt of run 1", "the caller gets what was committed");
    assert_eq!(bank.effects(&id).await, 1);
}

/// The first transaction is certainly rolled back, so the second counts, and its reply.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_transaction_after_a_roll_back_counts() {
    let (bank, id) = (Bank::open().await, id());
    let of = id.clone();
    let paid = bank.pay(&id, move |claim, pool| async move {
        let mut client = pool.get().await.map_err(service)?;
        let mut tx = client.transaction().await.map_err(service)?;
        charge(&mut tx, &of).await?;
        claim.complete(&mut tx, "first".into()).await?;
        tx.rollback().await.map_err(service)?;
        book(claim, pool, of).await
    });
    assert_eq!(paid.await.unwrap(), "receipt of run 1");
    let again = bank.beside().pay(&id, |_, _| async { unreachable!("it is done") }).await;
    assert_eq!((again.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_at_the_commit_leaves_an_error_and_no_second_effect() {
    let server = servers::PostgresServer::start();
    let pool = steadfast_store::connect(&server.url()).await.unwrap();
    let store = PostgresStore::new(store_config(), pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let ledger = Statement::unnamed("CREATE TABLE ledger (payment bytea NOT NULL)");
    pool.clone().run_statement(&ledger, &[]).await.unwrap();
    let limits = config().lease(1000 * MS).store_limit(400 * MS);
    let payments = Idempotency::new(limits, store.clone()).unwrap();
    let bank = Bank { payments, store, pool };
    let (id, server) = (id(), Arc::new(server));
    let (of, dying) = (id.clone(), Arc::clone(&server));
    let paid = bank.pay(&id, move |claim, pool| async move {
        let mut client = pool.get().await.map_err(service)?;
        let mut tx = client.transaction().await.map_err(service)?;
        charge(&mut tx, &of).await?;
        claim.complete(&mut tx, receipt(&claim)).await?;
        tokio::task::spawn_blocking(move || dying.kill()).await.map_err(service)?;
        tx.commit().await.map_err(service)?;
        Ok(Bytes::new())
    });
    let paid = paid.await;
    assert!(matches!(paid, Err(Error::Service(_))), "{paid:?}: its own error");
    tokio::task::spawn_blocking({
        let server = Arc::clone(&server);
        move || server.restart()
    })
    .await
    .unwrap();
    // The key is in flight until its lease is over, or free if the release was heard.
    let began = tokio::time::Instant::now();
    let paid = loop {
        let of = id.clone();
        match bank.beside().pay(&id, |claim, pool| book(claim, pool, of)).await {
            Ok(paid) => break paid,
            Err(_) if tokio::time::Instant::now() - began < 20_000 * MS => {
                tokio::time::sleep(50 * MS).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(paid.starts_with(b"receipt of run "));
    assert_eq!(bank.effects(&id).await, 1);
}
