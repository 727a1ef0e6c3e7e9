//! The same operation on each driver.

use std::num::NonZeroU32;

use steadfast_idempotency::{Change, ClaimReply};

use super::*;

/// The operation as a program writes it, for a pool of each driver: but for what begins the
/// transaction, not a word is another.
macro_rules! on_each_driver {
    ($($driver:ident: |$db:ident| $open:expr, $begin:expr;)+) => { $(
        mod $driver {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn an_effect_and_its_reply_are_one() {
                let (bank, id) = (Bank::open().await, id());
                let pay = async || {
                    let of = id.clone();
                    bank.pay(&id, move |claim, _| async move {
                        let mut $db = $open;
                        let mut tx = $begin;
                        charge(&mut tx, &of).await?;
                        let reply = claim.complete(&mut tx, receipt(&claim)).await?;
                        tx.commit().await.map_err(service)?;
                        Ok(reply)
                    })
                    .await
                };
                for _ in 0..2 {
                    assert_eq!(pay().await.unwrap(), "receipt of run 1");
                    assert_eq!(bank.effects(&id).await, 1);
                }
                let snapshot = bank.payments.snapshot();
                assert_eq!((snapshot.ran, snapshot.stored, snapshot.replayed), (1, 1, 1));
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn an_owner_whose_claim_was_taken_over_rolls_back() {
                let (bank, id) = (Bank::open().await, id());
                let (of, taker) = (id.clone(), bank.clone());
                let paid = bank.pay(&id, move |claim, _| async move {
                    let mut $db = $open;
                    let mut tx = $begin;
                    charge(&mut tx, &of).await?;
                    taker.take(&of).await;
                    let lost = claim.complete(&mut tx, receipt(&claim)).await.unwrap_err();
                    assert!(matches!(lost, CompleteError::Lost));
                    Err(lost.into())
                });
                assert_eq!(reason(paid.await), Reason::Lost);
                assert_eq!(bank.effects(&id).await, 0);
                assert!(matches!(bank.state(&id).await, Some(ViewState::InFlight { .. })));
                assert_eq!(bank.payments.snapshot().lost, 1);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_transaction_that_is_not_committed_frees_the_key() {
                let (bank, id) = (Bank::open().await, id());
                for run in 1..=2 {
                    let of = id.clone();
                    let paid = bank.pay(&id, move |claim, _| async move {
                        let mut $db = $open;
                        let mut tx = $begin;
                        charge(&mut tx, &of).await?;
                        let reply = claim.complete(&mut tx, receipt(&claim)).await?;
                        if run == 1 {
                            return Err(broken());
                        }
                        tx.commit().await.map_err(service)?;
                        Ok(reply)
                    });
                    match run {
                        1 => assert!(matches!(paid.await, Err(Error::Service(_)))),
                        _ => assert_eq!(paid.await.unwrap(), "receipt of run 1"),
                    }
                    assert_eq!(bank.effects(&id).await, run - 1);
                }
                assert_eq!(bank.payments.snapshot().released, 1);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_consumer_claims_and_completes_in_its_transaction() {
                let (bank, id) = (Bank::open().await, id());
                let consume = async |commit: bool| {
                    let mut $db = $open;
                    let mut tx = $begin;
                    let minute = Duration::from_secs(60);
                    let terms = ClaimTerms::within_transaction(print(), minute);
                    let claim = bank.store.claim_in(&mut tx, &id, &terms).await.unwrap();
                    if matches!(claim, ClaimReply::Claimed { .. }) {
                        charge(&mut tx, &id).await?;
                        let reply = "done".into();
                        let store = &bank.store;
                        let change =
                            store.complete_in(&mut tx, &id, terms.token, reply, minute).await;
                        assert_eq!(change.unwrap(), Change::Applied);
                    }
                    if commit {
                        tx.commit().await.map_err(service)?;
                    }
                    Ok::<_, Failed>(claim)
                };
                let claimed = ClaimReply::Claimed { attempt: NonZeroU32::MIN };
                assert_eq!(consume(false).await.unwrap(), claimed);
                assert_eq!(bank.state(&id).await, None, "rolled back with its effect");
                let (one, other) = tokio::join!(consume(true), consume(true));
                let (one, other) = (one.unwrap(), other.unwrap());
                let done = ClaimReply::Done { reply: "done".into() };
                assert!([(&claimed, &done), (&done, &claimed)].contains(&(&one, &other)));
                assert_eq!(bank.effects(&id).await, 1);
            }
        }
    )+ };
}

on_each_driver! {
    tokio_postgres: |db| client().await, db.transaction().await.map_err(service)?;
    deadpool: |db| pool().await.get().await.map_err(service)?, db.transaction().await.map_err(service)?;
    sqlx: |db| sqlx_pool().await.acquire().await.map_err(service)?,
        ::sqlx::Connection::begin(&mut *db).await.map_err(service)?;
}

async fn client() -> ::tokio_postgres::Client {
    let url = servers::postgres().url();
    let connected = ::tokio_postgres::connect(&url, ::tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

async fn pool() -> Pool {
    steadfast_store::connect(&servers::postgres().url()).await.unwrap()
}

async fn sqlx_pool() -> ::sqlx::PgPool {
    ::sqlx::PgPool::connect(&servers::postgres().url()).await.unwrap()
}
