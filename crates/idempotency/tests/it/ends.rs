//! How operations end, and what that means for their keys.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use steadfast_core::{Error, Grounds, Refusal, RefusalKind};
use steadfast_idempotency::{
    AsBytes, Claim, Codec, IdempotencyConfig, OnAbandoned, Outcome, Reason, Refused, Store,
    ViewState,
};
use tokio::time::{advance, sleep};

use crate::support::{Failed, Fault, Faulty, LEASE, MS, Process, id, print, refused};

fn process(store: &Faulty) -> Process {
    Process::new(IdempotencyConfig::new(), store)
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("turned away further in")]
struct TurnedAway(#[source] Grounds);

impl Refusal for TurnedAway {
    fn grounds(&self) -> Grounds {
        self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_frees_its_key_only_where_its_grounds_promise_that_nothing_was_executed() {
    let grounds = |executed| match executed {
        false => Grounds::not_executed(RefusalKind::Unavailable),
        true => Grounds::maybe_executed(RefusalKind::TimedOut),
    };
    for (error, is_free) in [
        (Failed::from(TurnedAway(grounds(false))), true),
        (Failed::from(TurnedAway(grounds(true))), false),
        (Error::Service(std::io::Error::other("broken pipe")), false),
    ] {
        let process = process(&Faulty::new());
        let fails = |_: Claim| async { Err::<Bytes, _>(error) };
        let failed = process.handle.run(id(), print(1), AsBytes, fails).await;
        assert!(failed.is_err(), "the caller gets its own error");
        let again = process.pay().await;
        match is_free {
            true => assert_eq!(again.unwrap(), "1"),
            false => assert_eq!(refused(again), Refused::abandoned()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_its_handle_to_logs_and_not_in_its_detail() {
    let process = Process::new(IdempotencyConfig::new().named("vault"), &Faulty::new());
    process.handle.shutdown(MS).await;
    let refused = refused(process.pay().await);
    assert_eq!(refused.to_string(), "idempotency \"vault\": shut down");
    assert_eq!(refused.detail(), "shut down");
}

#[tokio::test(start_paused = true)]
async fn a_panic_settles_the_key_and_goes_on_to_the_caller() {
    let store = Faulty::new();
    let process = process(&store);
    struct PanicsAtDrop;
    impl Drop for PanicsAtDrop {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("at the drop");
            }
        }
    }
    let panics = process.handle.execute(id(), print(1), |_: Claim| async {
        sleep(MS).await;
        if true {
            panic!("in the operation");
        }
        ((), Outcome::Release)
    });
    let panic = std::panic::AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"in the operation"));
    assert_eq!(process.snapshot().panicked, 1);
    assert_eq!(store.calls("abandon"), 1);
    assert_eq!(refused(process.pay().await), Refused::abandoned());
    assert!(process.handle.forget(&id()).await.unwrap());

    let early = |_: Claim| -> std::future::Ready<((), Outcome)> { panic!("before its future") };
    let panics = process.handle.execute(id(), print(1), early);
    assert!(std::panic::AssertUnwindSafe(panics).catch_unwind().await.is_err());
    assert_eq!(store.calls("abandon"), 2);
    assert!(process.handle.forget(&id()).await.unwrap());

    // In what it leaves behind: whether its result counts is not known.
    let guard = PanicsAtDrop;
    let panics = process.handle.execute(id(), print(1), move |_: Claim| async move {
        let _guard = guard;
        ((), Outcome::Store("ok".into()))
    });
    let panic = std::panic::AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"at the drop"));
    assert_eq!(store.calls("abandon"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_too_long_goes_to_its_first_caller_and_refuses_duplicates() {
    let config = IdempotencyConfig::new().most_reply_bytes(4);
    let process = Process::new(config, &Faulty::new());
    let reply = |reply: &'static str| {
        process.handle.run(id(), print(1), AsBytes, move |_| async move {
            Ok::<_, Failed>(Bytes::from(reply))
        })
    };
    assert_eq!(reply("five!").await.unwrap(), "five!");
    assert_eq!(refused(reply("five!").await), Refused::not_kept());
    assert!(process.handle.forget(&id()).await.unwrap());
    assert_eq!(reply("four").await.unwrap(), "four");
    assert_eq!(reply("other").await.unwrap(), "four");
}

/// Writes even numbers and reads none.
struct Even;

impl Codec<u32> for Even {
    fn encode(&self, result: &u32) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        if result.is_multiple_of(2) { Ok(Bytes::from(vec![0; 4])) } else { Err("odd".into()) }
    }

    fn decode(&self, _reply: Bytes) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
        Err("unreadable".into())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_codec_cannot_write_or_read_is_not_run_again() {
    for (result, duplicate) in [(1, Refused::not_kept()), (2, Refused::unreadable())] {
        let process = process(&Faulty::new());
        let run = || {
            process.handle.run(
                id(),
                print(1),
                Even,
                move |_| async move { Ok::<_, Failed>(result) },
            )
        };
        assert_eq!(run().await.unwrap(), result);
        let again = run().await.map(|_| Bytes::new());
        assert_eq!(refused(again), duplicate);
    }
}

/// Of a claim that another process makes.
fn terms() -> steadfast_idempotency::ClaimTerms {
    steadfast_idempotency::ClaimTerms {
        token: steadfast_idempotency::ClaimToken::from_bytes([7; 16]),
        fingerprint: print(1),
        lease: LEASE,
        retention: LEASE,
        on_abandoned: OnAbandoned::Refuse,
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_no_reply_is_refused_and_not_run_again() {
    let store = Faulty::new();
    let process = process(&store);
    let terms = terms();
    store.claim(&id(), &terms).await.unwrap();
    let change = store.complete(&id(), terms.token, "{}".into(), LEASE).await.unwrap();
    assert_eq!(change, steadfast_idempotency::Change::Applied);
    assert_eq!(refused(process.pay().await), Refused::unreadable());
    assert_eq!(process.runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_renewed_for_as_long_as_its_operation_takes() {
    let store = Faulty::new();
    let config = IdempotencyConfig::new().wait(MS).on_abandoned(OnAbandoned::Takeover);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    let slow = here.clone();
    let slow = tokio::spawn(async move { slow.pay_for(LEASE * 20, 1).await });
    for _ in 0..19 {
        sleep(LEASE).await;
        assert_eq!(refused(there.pay().await).reason, Reason::InFlight);
    }
    assert_eq!(slow.await.unwrap().unwrap(), "1");
    assert!((57..=60).contains(&store.calls("renew")), "{}", store.calls("renew"));
    assert_eq!((there.pay().await.unwrap(), there.runs()), ("1".into(), 0));
}

#[tokio::test(start_paused = true)]
async fn an_operation_whose_claim_was_taken_over_is_told_and_its_reply_does_not_count() {
    let store = Faulty::new();
    let config = IdempotencyConfig::new().on_abandoned(OnAbandoned::Takeover);
    let (here, there) = (Process::new(config.clone(), &store), Process::new(config, &store));
    // Its renewals do not get through, until after its lease has ended.
    store.next("renew", Fault::Unreached, 9);
    let (told, reply) = (Arc::new(tokio::sync::Notify::new()), "zombie");
    let notify = Arc::clone(&told);
    let zombie = here.handle.clone();
    let zombie = tokio::spawn(async move {
        let operation = move |claim: Claim| async move {
            assert!(!claim.is_lost());
            claim.lost().await;
            assert!(claim.is_lost());
            notify.notify_one();
            sleep(LEASE * 2).await;
            ((), Outcome::Store(reply.into()))
        };
        zombie.execute(id(), print(1), operation).await
    });
    told.notified().await;
    let taken = there.pay().await;
    assert_eq!(taken.unwrap(), "1");
    assert_eq!(zombie.await.unwrap(), Err(Refused::lost(Duration::from_secs(1))));
    assert_eq!(here.pay().await.unwrap(), "1", "the reply that counts");
    assert!(here.snapshot().lost >= 1);
}

#[tokio::test(start_paused = true)]
async fn without_an_operation_the_lease_ends_and_the_key_is_abandoned() {
    let store = Faulty::new();
    let process = process(&store);
    let terms = terms();
    // A process that claimed, and died.
    store.claim(&id(), &terms).await.unwrap();
    advance(LEASE).await;
    assert_eq!(refused(process.pay().await), Refused::abandoned());
    let view = process.handle.look(&id()).await.unwrap().unwrap();
    assert_eq!(view.state, ViewState::Abandoned);
}
