//! What a holder is told while the store is away, slow, wrong, or lies.

use std::{future::pending, time::Duration};

use steadfast_core::{BootClock, BootInstant, ManualBootClock};
use steadfast_lease::{
    AcquireError, LeaseClient, LeaseLost, LeaseRequest, Loss, RenewReply, Status,
};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::{
    Fault, Faulty, MS, SEC, TTL, VALID, client, config, is_free, name, numbered, settle, tasks,
    validity,
};

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_loses_the_lease_exactly_at_its_deadline() {
    let store = Faulty::new();
    let (client, start) = (client(&store), Instant::now());
    let lease = client.try_acquire(&name()).await.unwrap();
    store.silence(&name());
    assert_eq!(lease.remaining(), VALID);
    assert_eq!(lease.lost().await, Some(Loss::Unanswered));
    assert_eq!(Instant::now() - start, VALID);
    assert!(!lease.is_valid() && lease.remaining().is_zero());
    // Tried to the end: each time a sixth, and a twelfth of pause.
    assert!(store.calls("renew") >= 3, "{}", store.calls("renew"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_valid_until_the_last_nanosecond_and_not_at_its_deadline() {
    let manual = ManualBootClock::new(BootInstant::from_nanos(1000));
    let client = LeaseClient::new(config().clock(manual.clock()), Faulty::new()).unwrap();
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    manual.advance(VALID - Duration::from_nanos(1));
    assert!(lease.is_valid() && lease.remaining() == Duration::from_nanos(1));
    manual.advance(Duration::from_nanos(1));
    assert!(!lease.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_suspended_finds_its_lease_lost_at_the_first_look() {
    let manual = ManualBootClock::new(BootInstant::from_nanos(1000));
    let store = Faulty::new();
    let client = LeaseClient::new(config().clock(manual.clock()), store.clone()).unwrap();
    let lease = client.try_acquire(&name()).await.unwrap();
    // A renewal is on its way, and is answered after the night.
    store.next("renew", Fault::SlowBack(SEC), 1);
    manual.advance(TTL / 3);
    settle().await;
    manual.advance(8 * 3600 * SEC);
    assert!(!lease.is_valid());
    sleep(2 * SEC).await;
    assert_eq!(lease.status(), Status::Lost(Loss::Unanswered));
    assert_eq!(lease.lost().await, Some(Loss::Unanswered));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_finds_its_lease_lost_and_no_reply_revives_it() {
    for stopped in [VALID, TTL, 10 * TTL] {
        let store = Faulty::new();
        let client = client(&store);
        let lease = client.try_acquire(&name()).await.unwrap();
        store.next("renew", Fault::SlowBack(MS), 1);
        sleep(TTL / 3).await;
        // As after SIGSTOP: time has passed, and no task has run.
        advance(stopped).await;
        assert!(!lease.is_valid());
        settle().await;
        sleep(SEC).await;
        assert_eq!(lease.status(), Status::Lost(Loss::Unanswered));
        assert_eq!(client.snapshot().lost, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_was_seen_is_final_though_the_reply_is_good_by_its_own_send() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    sleep(VALID - SEC).await;
    store.next("renew", Fault::SlowBack(1500 * MS), 1);
    let (renewed, ()) = tokio::join!(lease.renew(), async {
        sleep(SEC).await;
        assert!(!lease.is_valid());
    });
    // The call has only as long as the lease.
    assert!(renewed.is_err());
    assert_eq!(lease.status(), Status::Lost(Loss::NotRenewed));
}

#[tokio::test(start_paused = true)]
async fn a_reply_counts_from_its_own_send() {
    let store = Faulty::new();
    store.next("acquire", Fault::SlowBack(SEC), 1);
    let (client, start) = (client(&store), Instant::now());
    let lease = client.try_acquire(&name()).await.unwrap();
    assert_eq!(Instant::now() - start, SEC);
    assert_eq!(lease.remaining(), VALID - SEC);
    store.next("renew", Fault::SlowThere(SEC), 1);
    sleep(4 * SEC).await;
    settle().await;
    let renewed_at = lease.remaining();
    sleep(SEC).await;
    // Sent within a tenth of a third before 4 s: it counts from then.
    assert!(lease.remaining() <= VALID - SEC && renewed_at <= VALID);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_it_is_held() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    for _ in 0..1000 {
        sleep(SEC).await;
        assert_eq!(lease.status(), Status::Granted);
        assert!(!is_free(&store, &name()).await);
    }
    let snapshot = client.snapshot();
    assert_eq!((snapshot.failed_renewals, snapshot.lost, snapshot.held), (0, 0, 1));
    assert!((250..280).contains(&snapshot.renewed), "{snapshot:?}");
    assert!(snapshot.lateness <= 2 * MS, "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_do_not_lose_a_lease() {
    for fault in [Fault::Unreached, Fault::AnswerLost, Fault::Panic] {
        let store = Faulty::new();
        let client = client(&store);
        let lease = client.try_acquire(&name()).await.unwrap();
        store.next("renew", fault, 5);
        for _ in 0..30 {
            sleep(SEC).await;
            assert!(lease.is_valid());
        }
        assert_eq!(client.snapshot().failed_renewals, 5);
        assert_eq!(lease.status(), Status::Granted);
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_that_hangs_does_not_lose_a_lease() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::Silence, 1);
    sleep(TTL / 2 + 100 * MS).await;
    assert_eq!(lease.status(), Status::AtRisk);
    assert!(lease.is_at_risk());
    sleep(2 * SEC).await;
    assert_eq!(lease.status(), Status::Granted);
}

#[tokio::test(start_paused = true)]
async fn the_stores_word_that_it_is_anothers_ends_a_lease_at_once() {
    for (reply, loss) in [(RenewReply::Taken, Loss::Taken), (RenewReply::Gone, Loss::Revoked)] {
        let store = Faulty::new();
        let client = client(&store);
        let lease = client.try_acquire(&name()).await.unwrap();
        store.next("renew", Fault::Renewed(reply), 1);
        let start = Instant::now();
        assert_eq!(lease.lost().await, Some(loss));
        assert!(Instant::now() - start <= TTL / 3);
        sleep(2 * TTL).await;
        assert_eq!((store.calls("renew"), store.calls("release")), (1, 0), "nothing more is said");
        assert_eq!((lease.status(), client.snapshot().lost), (Status::Lost(loss), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_of_garbage_keep_the_deadline() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    for ttl in [Duration::ZERO, Duration::MAX] {
        store.next("renew", Fault::Renewed(RenewReply::Renewed { ttl }), 200);
    }
    assert_eq!(lease.lost().await, Some(Loss::Unanswered));
    let snapshot = client.snapshot();
    assert!(snapshot.failed_renewals > 3 && snapshot.renewed == 0, "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_is_given_back_and_frees_no_successor() {
    let store = Faulty::new();
    let (first, second) = (client(&store), client(&store));
    let lost = first.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::Unreached, 100);
    lost.lost().await;
    settle().await;
    // Between the holder's deadline and the store's: the grant was given back.
    let successor = second.try_acquire(&name()).await.unwrap();
    assert!(successor.token() > lost.token());
    assert!(!lost.release().await.unwrap());
    drop(lost);
    sleep(SEC).await;
    assert!(successor.is_valid() && !is_free(&store, &name()).await);
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_counted_once_though_its_holder_drops_the_lease_before_the_task_has_looked() {
    for is_dropped in [false, true] {
        let manual = ManualBootClock::new(BootInstant::from_nanos(1000));
        let config = config().clock(manual.clock());
        let client = LeaseClient::new(config, Faulty::new()).unwrap();
        let lease = client.try_acquire(&name()).await.unwrap();
        settle().await;
        manual.advance(TTL);
        assert!(!lease.is_valid());
        if is_dropped {
            drop(lease);
        }
        settle().await;
        sleep(SEC).await;
        let seen = client.snapshot();
        assert_eq!((seen.lost, seen.held), (1, 0), "{is_dropped}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_stops_renewals_first_and_frees_the_lease() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    // A renewal is under way when the lease is released.
    store.next("renew", Fault::SlowThere(SEC), 1);
    sleep(TTL / 3).await;
    let release = lease.release();
    assert!(!lease.is_valid(), "from the call on, polled or not");
    assert!(release.await.unwrap());
    assert_eq!((lease.status(), lease.lost().await), (Status::Released, None));
    assert!(is_free(&store, &name()).await);
    let renewals = store.calls("renew");
    sleep(10 * TTL).await;
    assert_eq!((store.calls("renew"), tasks()), (renewals, 0));
    assert_eq!(lease.status(), Status::Released);
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_leases_in_one_task_two_hundred_hang_and_eight_hundred_are_unharmed() {
    let store = Faulty::new();
    let client = client(&store);
    let start = Instant::now();
    let mut leases = vec![];
    for n in 0..1000 {
        leases.push(client.try_acquire(&numbered(n)).await.unwrap());
    }
    settle().await;
    assert_eq!((tasks(), client.snapshot().held), (1, 1000));
    for n in 0..200 {
        store.silence(&numbered(n * 5));
    }
    for (n, lease) in leases.iter().enumerate() {
        if n % 5 == 0 {
            assert_eq!(lease.lost().await, Some(Loss::Unanswered));
            assert_eq!(Instant::now() - start, VALID, "{n}");
        }
    }
    for _ in 0..5 {
        sleep(TTL).await;
        let valid = leases.iter().filter(|lease| lease.is_valid()).count();
        assert_eq!((valid, client.snapshot().held), (800, 800));
    }
    drop(leases);
    sleep(2 * TTL).await;
    assert_eq!((tasks(), client.snapshot().held), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_by_hand_lasts_as_long_as_it_is_renewed() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    for _ in 0..5 {
        sleep(10 * SEC).await;
        assert_eq!(lease.renew().await.unwrap().unwrap(), VALID);
    }
    store.next("renew", Fault::Unreached, 1);
    sleep(10 * SEC).await;
    assert!(lease.renew().await.is_err());
    assert!(lease.is_valid(), "a renewal that failed changes nothing");
    assert_eq!(lease.lost().await, Some(Loss::NotRenewed));
    let lost = lease.renew().await.unwrap().unwrap_err();
    assert_eq!(lost.status, Status::Lost(Loss::NotRenewed));
    assert_eq!(store.calls("renew"), 6, "a lease that is lost is not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_held_beyond_its_longest_hold() {
    let store = Faulty::new();
    let client = LeaseClient::new(config().max_hold(60 * SEC), store.clone()).unwrap();
    let (lease, start) = (client.try_acquire(&name()).await.unwrap(), Instant::now());
    assert_eq!(lease.lost().await, Some(Loss::NotRenewed));
    let held = Instant::now() - start;
    assert!(held > 50 * SEC && held <= 60 * SEC + VALID, "{held:?}");
    settle().await;
    assert!(is_free(&store, &name()).await);
}

#[tokio::test(start_paused = true)]
async fn the_granted_ttl_counts_and_not_the_one_that_was_asked_for() {
    let store = Faulty::new();
    let client = client(&store);
    let reply =
        steadfast_lease::AcquireReply::Granted { token: 7_u64.try_into().unwrap(), ttl: 2 * TTL };
    store.next("acquire", Fault::Acquired(reply), 1);
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    assert_eq!((lease.remaining(), lease.token().get()), (validity(2 * TTL), 7));
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_a_grace_before_the_deadline_and_renewals_put_that_off() {
    let store = Faulty::new();
    let client = LeaseClient::new(config().grace(SEC), store.clone()).unwrap();
    let lease = client.try_acquire(&name()).await.unwrap();
    let run = lease.run(async {
        sleep(100 * SEC).await;
        Ok::<_, steadfast_lease::LeaseLost>(5)
    });
    assert_eq!(run.await, Ok(5), "it outlives eight TTLs");
    store.silence(&name());
    let ends_at = Instant::now() + lease.remaining();
    let lost: steadfast_lease::LeaseLost = lease.run(pending::<Result<(), _>>()).await.unwrap_err();
    assert_eq!(ends_at - Instant::now(), SEC);
    assert_eq!(lost.status, Status::AtRisk);
    assert!(lease.is_valid(), "there is time for a last word");
    let grounds = steadfast_core::Refusal::grounds(&lost);
    assert_eq!(grounds.executed, steadfast_core::Executed::Maybe);
    // Begun in the grace, it is not polled at all.
    let never: Result<(), steadfast_lease::LeaseLost> =
        lease.run(async { panic!("it is polled") }).await;
    assert_eq!(never.unwrap_err().grounds.executed, steadfast_core::Executed::No);
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_at_once_when_the_lease_is_taken_or_released() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::Renewed(RenewReply::Taken), 1);
    let lost: steadfast_lease::LeaseLost = lease.run(pending::<Result<(), _>>()).await.unwrap_err();
    assert_eq!(lost.status, Status::Lost(Loss::Taken));
    let store = Faulty::new();
    let lease = self::client(&store).try_acquire(&name()).await.unwrap();
    let run = tokio::spawn(lease.run(pending::<Result<(), steadfast_lease::LeaseLost>>()));
    settle().await;
    assert!(lease.release().await.unwrap());
    assert_eq!(run.await.unwrap().unwrap_err().status, Status::Released);
}

#[tokio::test(start_paused = true)]
async fn work_that_was_stopped_past_the_deadline_does_not_take_a_step_more() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    let (steps, counted) = std::sync::mpsc::channel();
    let run = tokio::spawn(lease.run(async move {
        loop {
            sleep(SEC).await;
            let _ = steps.send(());
        }
        #[expect(unreachable_code, reason = "it says what the type is")]
        Ok::<(), steadfast_lease::LeaseLost>(())
    }));
    settle().await;
    sleep(2500 * MS).await;
    advance(10 * TTL).await;
    assert!(run.await.unwrap().is_err());
    assert_eq!(counted.iter().count(), 2, "its timer rang too, and was not heard");
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_lease_lasts_is_refused_before_it_begins() {
    let client = client(&Faulty::new());
    let lease = client.try_acquire(LeaseRequest::new(name()).by_hand()).await.unwrap();
    assert_eq!(lease.ensure(VALID), Ok(()));
    let refused = lease.ensure(VALID + MS).unwrap_err();
    assert_eq!((refused.status, refused.token), (Status::Granted, lease.token()));
    sleep(VALID).await;
    assert!(lease.ensure(Duration::ZERO).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_loss_may_be_dropped_and_needs_no_keep_alive_task() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    assert!(timeout(SEC, lease.lost()).await.is_err());
    store.silence(&name());
    assert_eq!(lease.lost().await, Some(Loss::Unanswered));
}

#[test]
fn the_next_runtime_takes_over_the_leases_of_one_that_has_ended() {
    let store = Faulty::new();
    let start = std::sync::OnceLock::new();
    let run = |part: &dyn Fn(&LeaseClient)| {
        let client = start.get_or_init(|| {
            LeaseClient::new(config().clock(BootClock::system()).ttl(600 * MS), real(&store))
                .unwrap()
        });
        part(client);
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = std::sync::Mutex::new(None);
    run(&|client| {
        let lease = runtime().block_on(client.try_acquire(&name())).unwrap();
        *held.lock().unwrap() = Some(lease);
    });
    run(&|client| {
        runtime().block_on(async {
            let other = client.try_acquire(&numbered(1)).await.unwrap();
            sleep(1500 * MS).await;
            assert!(held.lock().unwrap().as_ref().unwrap().is_valid() && other.is_valid());
            drop((held.lock().unwrap().take(), other));
            assert!(client.shutdown(SEC).await);
        });
    });
}

/// The store in real time.
fn real(_: &Faulty) -> steadfast_lease::MemoryStore {
    steadfast_lease::MemoryStore::new(steadfast_lease::MemoryConfig::new()).unwrap()
}

/// What it was granted before still counts, and no deadline moves.
#[tokio::test(start_paused = true)]
async fn a_store_that_renews_for_less_than_is_left_is_not_asked_in_a_tight_loop() {
    let store = Faulty::new();
    let client = client(&store);
    let lease = client.try_acquire(&name()).await.unwrap();
    store.next("renew", Fault::Renewed(RenewReply::Renewed { ttl: SEC }), 1000);
    sleep(VALID - MS).await;
    assert!(lease.is_valid());
    // From a third on, a twelfth after each other.
    assert!((2..=12).contains(&store.calls("renew")), "{}", store.calls("renew"));
}

/// Nothing could be run under it.
#[tokio::test(start_paused = true)]
async fn a_request_whose_ttl_is_within_the_grace_is_unacceptable() {
    let client = LeaseClient::new(config().grace(2 * SEC), Faulty::new()).unwrap();
    let short = |ttl| LeaseRequest::new(name()).ttl(ttl);
    let error = client.try_acquire(short(4 * SEC)).await.unwrap_err();
    assert!(matches!(error, AcquireError::Unacceptable(error) if error.field == "ttl"));
    let lease = client.try_acquire(short(4 * SEC + MS)).await.unwrap();
    lease.run(async { Ok::<_, LeaseLost>(()) }).await.unwrap();
}
