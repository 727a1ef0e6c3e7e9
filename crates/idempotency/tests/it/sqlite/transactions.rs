//! Claims and completions in transactions of the caller's.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, TransactionBehavior::Immediate};
use steadfast_idempotency::{
    AsBytes, Change, Claim, ClaimReply, ClaimTerms, CompleteError, Idempotency, IdempotencyConfig,
    Outcome, SqliteConfig, SqliteStore, Store, StoredReply, ViewState,
};
use tokio::task::block_in_place;

use super::{Directory, claimed, connect, open};
use crate::rivals::{Failed, LONG, print, some_id, taker, terms};

async fn set_up() -> (Directory, SqliteStore, Connection) {
    let directory = Directory::new();
    let store = open(SqliteConfig::new(), &directory.file()).await;
    let db = connect(&directory);
    db.execute_batch("CREATE TABLE effects (n INTEGER)").unwrap();
    (directory, store, db)
}

fn effects(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM effects", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_claimed_worked_off_and_recorded_in_one_transaction_or_not_at_all() {
    let (_directory, store, mut db) = set_up().await;
    let (id, terms) = (some_id(), ClaimTerms::within_transaction(print(), LONG));
    for is_committed in [false, true] {
        let tx = db.transaction_with_behavior(Immediate).unwrap();
        assert_eq!(store.claim_in(&tx, &id, &terms).unwrap(), claimed(1));
        tx.execute("INSERT INTO effects VALUES (1)", []).unwrap();
        let change = store.complete_in(&tx, &id, terms.token, "ok".into(), LONG).unwrap();
        assert_eq!(change, Change::Applied);
        // A second one is another effect.
        let twice = store.complete_in(&tx, &id, terms.token, "ok".into(), LONG).unwrap();
        assert_eq!(twice, Change::Lost);
        if is_committed {
            tx.commit().unwrap();
        } else {
            tx.rollback().unwrap();
            assert_eq!((store.look(&id).await.unwrap(), effects(&db)), (None, 0));
        }
    }
    let tx = db.transaction_with_behavior(Immediate).unwrap();
    let again = store.claim_in(&tx, &id, &ClaimTerms::within_transaction(print(), LONG)).unwrap();
    assert_eq!(again, ClaimReply::Done { reply: "ok".into() });
    drop(tx);
    assert_eq!(effects(&db), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_completes_nothing_in_its_transaction() {
    let (_directory, store, mut db) = set_up().await;
    let (id, zombie) = (some_id(), ClaimTerms { lease: Duration::from_millis(1), ..terms() });
    store.claim(&id, &zombie).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.claim(&id, &taker()).await.unwrap(), claimed(2));
    let tx = db.transaction_with_behavior(Immediate).unwrap();
    tx.execute("INSERT INTO effects VALUES (1)", []).unwrap();
    let change = store.complete_in(&tx, &id, zombie.token, "late".into(), LONG).unwrap();
    assert_eq!(change, Change::Lost);
    tx.rollback().unwrap();
    assert_eq!(effects(&db), 0);
}

/// Of a transactional handle: committed, rolled back, and committed without a word of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_completes_its_claim_with_its_effect() {
    let (directory, store, db) = set_up().await;
    let config = IdempotencyConfig::new().transactional();
    let process = Idempotency::new(config, store.clone()).unwrap();
    let run = |id: &steadfast_idempotency::RecordId, ends: &'static str| {
        let (store, mut db) = (store.clone(), connect(&directory));
        let operation = move |claim: Claim| async move {
            block_in_place(|| {
                let tx = db.transaction_with_behavior(Immediate).unwrap();
                tx.execute("INSERT INTO effects VALUES (1)", []).unwrap();
                let reply = store.complete_claim(&tx, &claim, "receipt".into()).unwrap();
                let failed = Failed::Service(std::io::Error::other("no answer to the commit"));
                match ends {
                    "well" => tx.commit().unwrap(),
                    "unknown" => {
                        tx.commit().unwrap();
                        return Err(failed);
                    }
                    _ => return Err(failed),
                }
                Ok(reply)
            })
        };
        process.run(id.clone(), print(), AsBytes, operation)
    };
    let [well, unknown, rolled_back] = [(); 3].map(|()| some_id());
    let receipt = Bytes::from("receipt");
    assert_eq!(run(&well, "well").await.unwrap(), receipt);
    assert_eq!(run(&well, "well").await.unwrap(), receipt);
    assert_eq!(effects(&db), 1);
    // Its caller gets the reply all the same, for the store has it.
    assert_eq!(run(&unknown, "unknown").await.unwrap(), receipt);
    assert_eq!(effects(&db), 2);
    assert!(run(&rolled_back, "badly").await.is_err());
    assert_eq!((store.look(&rolled_back).await.unwrap(), effects(&db)), (None, 2));
    assert_eq!(run(&rolled_back, "well").await.unwrap(), receipt);
    assert_eq!(effects(&db), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_of_another_handle_cannot_complete_its_claim() {
    let (directory, store, _db) = set_up().await;
    let process = Idempotency::new(IdempotencyConfig::new(), store.clone()).unwrap();
    let mut db = connect(&directory);
    let answer = process.execute(some_id(), print(), move |claim: Claim| async move {
        block_in_place(|| {
            let tx = db.transaction_with_behavior(Immediate).unwrap();
            let error = store.complete_claim(&tx, &claim, "ok".into()).unwrap_err();
            assert!(matches!(error, CompleteError::NotTransactional));
            drop(tx);
            ((), Outcome::Release)
        })
    });
    answer.await.unwrap();
}

/// The store's own operations wait for it, and readers do not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_committed_is_not_seen() {
    let (_directory, store, mut db) = set_up().await;
    let (id, terms) = (some_id(), terms());
    store.claim(&id, &terms).await.unwrap();
    let tx = db.transaction_with_behavior(Immediate).unwrap();
    let reply = StoredReply::Kept("ok".into()).encode();
    let change = store.complete_in(&tx, &id, terms.token, reply.clone(), LONG).unwrap();
    assert_eq!(change, Change::Applied);
    let view = store.look(&id).await.unwrap().unwrap();
    assert!(matches!(view.state, ViewState::InFlight { .. }));
    let release = tokio::spawn({
        let (store, id) = (store.clone(), id.clone());
        async move { store.release(&id, terms.token).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!release.is_finished());
    tx.commit().unwrap();
    assert_eq!(release.await.unwrap().unwrap(), Change::Lost);
    assert_eq!(store.claim(&id, &taker()).await.unwrap(), ClaimReply::Done { reply });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_lost_rolls_back_and_its_caller_is_told() {
    let (directory, store, db) = set_up().await;
    let config = IdempotencyConfig::new().transactional().wait(Duration::ZERO);
    let process = Idempotency::new(config, store.clone()).unwrap();
    let (id, mut own) = (some_id(), connect(&directory));
    let operation = {
        let (store, id) = (store.clone(), id.clone());
        move |claim: Claim| async move {
            assert!(store.forget(&id).await.unwrap());
            block_in_place(|| {
                let tx = own.transaction_with_behavior(Immediate).unwrap();
                tx.execute("INSERT INTO effects VALUES (1)", []).unwrap();
                let lost = store.complete_claim(&tx, &claim, "late".into()).unwrap_err();
                assert!(matches!(lost, CompleteError::Lost));
                Err::<Bytes, _>(Failed::Refused(Box::new(lost)))
            })
        }
    };
    assert!(process.run(id.clone(), print(), AsBytes, operation).await.is_err());
    assert_eq!((effects(&db), store.look(&id).await.unwrap()), (0, None));
}
