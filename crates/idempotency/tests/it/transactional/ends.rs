//! How operations end that have not committed.

use futures::FutureExt;
use tokio::sync::Notify;

use super::*;

/// An operation that completes its claim and then hangs, until it is told to go on.
fn hanging(
    id: &RecordId,
    go_on: &Arc<Notify>,
    at: &Arc<Notify>,
) -> impl FnOnce(Claim, Pool) -> futures::future::BoxFuture<'static, Result<Bytes, Failed>>
+ Send
+ 'static {
    let (id, go_on, at) = (id.clone(), Arc::clone(go_on), Arc::clone(at));
    move |claim, pool| {
        async move {
            let mut client = pool.get().await.map_err(service)?;
            let mut tx = client.transaction().await.map_err(service)?;
            charge(&mut tx, &id).await?;
            let reply = claim.complete(&mut tx, receipt(&claim)).await?;
            at.notify_one();
            go_on.notified().await;
            assert!(!claim.is_lost(), "its transaction holds the record");
            tx.commit().await.map_err(service)?;
            Ok(reply)
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_after_the_completion_rolls_back_and_frees_the_key() {
    let (bank, id) = (Bank::open().await, id());
    let of = id.clone();
    let paid = bank.pay(&id, move |claim, pool| async move {
        let mut client = pool.get().await.map_err(service)?;
        let mut tx = client.transaction().await.map_err(service)?;
        charge(&mut tx, &of).await?;
        claim.complete(&mut tx, receipt(&claim)).await?;
        if true {
            panic!("before the commit");
        }
        Ok(Bytes::new())
    });
    assert!(std::panic::AssertUnwindSafe(paid).catch_unwind().await.is_err());
    assert_eq!((bank.effects(&id).await, bank.state(&id).await), (0, None));
    let of = id.clone();
    let paid = bank.pay(&id, |claim, pool| book(claim, pool, of)).await;
    assert_eq!((paid.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_after_the_commit_keeps_the_reply() {
    let (bank, id) = (Bank::open().await, id());
    let of = id.clone();
    let paid = bank.pay(&id, move |claim, pool| async move {
        book(claim, pool, of).await?;
        panic!("after the commit");
    });
    assert!(std::panic::AssertUnwindSafe(paid).catch_unwind().await.is_err());
    let again = bank.pay(&id, |_, _| async { unreachable!("it is done") }).await;
    assert_eq!((again.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
    let snapshot = bank.payments.snapshot();
    assert_eq!((snapshot.panicked, snapshot.stored, snapshot.lost), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_a_shutdown_cancels_rolls_back_and_frees_the_key() {
    let (bank, id) = (Bank::open().await, id());
    let (go_on, at) = (Arc::default(), Arc::default());
    let (paying, operation) = (bank.clone(), hanging(&id, &go_on, &at));
    let of = id.clone();
    let paid = tokio::spawn(async move { paying.pay(&of, operation).await });
    at.notified().await;
    bank.payments.shutdown(Duration::ZERO).await;
    assert_eq!(reason(paid.await.unwrap()), Reason::ShutDown);
    assert_eq!((bank.effects(&id).await, bank.state(&id).await), (0, None));
    let of = id.clone();
    let paid = bank.beside().pay(&id, |claim, pool| book(claim, pool, of)).await;
    assert_eq!((paid.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
}

/// Its transaction holds the record: duplicates are told that the key is in flight, and renewals
/// that do not get through lose nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_is_not_committed_holds_its_key_beyond_the_lease() {
    let lease = 2500 * MS;
    let bank = Bank::with(config().lease(lease).store_limit(lease)).await;
    let id = id();
    let (go_on, at) = (Arc::default(), Arc::default());
    let (paying, operation) = (bank.clone(), hanging(&id, &go_on, &at));
    let of = id.clone();
    let paid = tokio::spawn(async move { paying.pay(&of, operation).await });
    at.notified().await;
    tokio::time::sleep(lease * 2).await;
    let other = bank.beside();
    for _ in 0..3 {
        let began = tokio::time::Instant::now();
        let taken = other.pay(&id, |_, _| async { unreachable!("it is in flight") }).await;
        assert_eq!(reason(taken), Reason::InFlight);
        let waited = tokio::time::Instant::now() - began;
        assert!(waited > 250 * MS && waited < 3000 * MS, "{waited:?}: the wait for the row");
    }
    go_on.notify_one();
    assert_eq!(paid.await.unwrap().unwrap(), "receipt of run 1");
    let again = other.pay(&id, |_, _| async { unreachable!("it is done") }).await;
    assert_eq!((again.unwrap(), bank.effects(&id).await), ("receipt of run 1".into(), 1));
    assert_eq!(bank.payments.snapshot().lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taken_over_and_done_answers_its_first_owner_too() {
    let (bank, id) = (Bank::open().await, id());
    let (of, other) = (id.clone(), bank.beside());
    let paid = bank.pay(&id, move |claim, pool| async move {
        // Its lease ends, and another process pays.
        other.store.forget(&of).await.unwrap();
        let paid = other.pay(&of, {
            let of = of.clone();
            |claim, pool| book(claim, pool, of)
        });
        paid.await?;
        book(claim, pool, of).await
    });
    assert_eq!(paid.await.unwrap(), "receipt of run 1");
    assert_eq!(bank.effects(&id).await, 1);
    let snapshot = bank.payments.snapshot();
    assert_eq!((snapshot.ran, snapshot.replayed, snapshot.stored), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_a_transaction_is_stored_like_any_other() {
    let (bank, id) = (Bank::open().await, id());
    for _ in 0..2 {
        let declined = bank.pay(&id, |_, _| async { Ok("declined".into()) });
        assert_eq!(declined.await.unwrap(), "declined");
    }
    assert_eq!(bank.payments.snapshot().ran, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_too_long_is_a_tombstone_that_stands_with_its_effect() {
    let bank = Bank::with(config().most_reply_bytes(4)).await;
    let id = id();
    let of = id.clone();
    let paid = bank.pay(&id, |claim, pool| book(claim, pool, of)).await;
    assert_eq!(paid.unwrap(), "receipt of run 1", "whole to its caller");
    let again = bank.beside().pay(&id, |_, _| async { unreachable!("it is done") }).await;
    assert_eq!((reason(again), bank.effects(&id).await), (Reason::NotKept, 1));
    assert_eq!(bank.payments.snapshot().not_kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_transactional_handle_completes_in_a_transaction() {
    let bank = Bank::with(IdempotencyConfig::new()).await;
    let id = id();
    let of = id.clone();
    let paid = bank.pay(&id, |claim, pool| book(claim, pool, of)).await;
    let Err(Error::Refused(refusal)) = paid else { panic!("{paid:?}") };
    let refusal: Box<dyn std::error::Error> = refusal;
    let error = refusal.downcast::<CompleteError>().unwrap();
    assert!(matches!(*error, CompleteError::NotTransactional), "{error}");
    assert_eq!(error.grounds().executed, steadfast_core::Executed::Maybe);
    assert_eq!(bank.effects(&id).await, 0);

    let memory = MemoryStore::new(MemoryConfig::new()).unwrap();
    let error = Idempotency::new(config(), memory).unwrap_err();
    assert_eq!(error.field, "transactional");
}

/// A renewal of the claim changes the record that the transaction has a view of.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_transaction_that_a_renewal_has_overtaken_rolls_back_and_frees_the_key() {
    let lease = 1200 * MS;
    let bank = Bank::with(config().lease(lease).store_limit(lease)).await;
    for (level, pause, effects) in [
        ("REPEATABLE READ", 800 * MS, 0),
        ("SERIALIZABLE", 800 * MS, 0),
        ("REPEATABLE READ", Duration::ZERO, 1),
        ("SERIALIZABLE", Duration::ZERO, 1),
    ] {
        let of = id();
        let booked = of.clone();
        let paid = bank.pay(&of, move |claim, pool| async move {
            let mut client = pool.get().await.map_err(service)?;
            let mut tx = client.transaction().await.map_err(service)?;
            let set = format!("SET TRANSACTION ISOLATION LEVEL {level}");
            tx.execute(&set, &[]).await.map_err(service)?;
            charge(&mut tx, &booked).await?;
            tokio::time::sleep(pause).await;
            let reply = claim.complete(&mut tx, receipt(&claim)).await?;
            tx.commit().await.map_err(service)?;
            Ok(reply)
        });
        let paid = paid.await;
        assert_eq!(paid.is_ok(), effects == 1, "{level}, {pause:?}: {paid:?}");
        assert_eq!(bank.effects(&of).await, effects, "{level}, {pause:?}");
        assert_eq!(bank.state(&of).await.is_some(), effects == 1, "{level}, {pause:?}");
    }
}
