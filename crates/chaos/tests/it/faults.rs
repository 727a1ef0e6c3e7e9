//! Each fault, seen from the far side: what the service executed, and when.

use std::{task::Poll, time::Duration};

use steadfast_chaos::{Delay, Fault, FaultKind, FaultLayer, Injected, Plan, Rule};
use steadfast_testkit::{ProbeError, Readiness, Reply};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer};

use crate::support::{DELAY, SECOND, able, always, call, counts, on, once, settled, under};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_never_delivered_and_its_caller_hears_nothing() {
    let faults = always(Fault::RequestLost);
    let (probe, mut service) = under(&able(&faults));
    let mut lost = call(&mut service, 1);
    assert!(lost.poll().is_pending());
    advance(HOUR).await;
    assert!(lost.poll().is_pending() && !lost.is_woken());
    assert_eq!(probe.counts().calls, 0);
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queued_request_is_delivered_late_by_an_instance_made_ready_then() {
    let faults = always(Fault::Queued(DELAY));
    let (probe, mut service) = under(&able(&faults));
    let mut queued = call(&mut service, 1);
    assert!(queued.poll().is_pending());
    assert_eq!(counts(&faults), (1, 0));
    advance(SECOND - Duration::from_millis(1)).await;
    assert!(settled(&mut queued).await.is_pending());
    assert_eq!((probe.counts().calls, probe.counts().ready_polls), (0, 1));
    advance(Duration::from_millis(1)).await;
    assert!(matches!(settled(&mut queued).await, Poll::Ready(Ok(1))));
    let seen = probe.counts();
    assert_eq!((seen.calls, seen.unready_calls, seen.ready_polls), (1, 0, 2));
}

/// The time in the queue goes by while the caller does not look.
#[tokio::test(start_paused = true)]
async fn a_queued_request_waits_from_its_call_on() {
    let (probe, mut service) = under(&able(&always(Fault::Queued(DELAY))));
    let mut queued = call(&mut service, 1);
    advance(SECOND).await;
    assert!(matches!(queued.poll(), Poll::Ready(Ok(1))));
    assert_eq!(probe.counts().completed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_queued_request_meets_a_service_that_fails_its_readiness() {
    let (probe, mut service) = under(&able(&always(Fault::Queued(DELAY))));
    let mut queued = call(&mut service, 1);
    assert!(queued.poll().is_pending());
    probe.script_readiness([Readiness::Pending]);
    advance(SECOND).await;
    assert!(settled(&mut queued).await.is_pending());
    probe.release_readiness();
    assert!(queued.is_woken());
    probe.script_readiness([Readiness::Error]);
    let Poll::Ready(Err(error)) = queued.poll() else { panic!("not the service's error") };
    assert_eq!(error.downcast_ref::<ProbeError>(), Some(&ProbeError::Readiness));
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_is_an_error_at_once_and_nothing_is_executed() {
    for fault in [Fault::CrashedBefore, Fault::Error] {
        let faults = always(fault);
        let (probe, mut service) = under(&able(&faults));
        let error = service.ready().await.unwrap().call(1).await.unwrap_err();
        assert_eq!(error.downcast_ref::<Injected>(), Some(&Injected::new(fault.kind())));
        assert_eq!((probe.counts().calls, counts(&faults)), (0, (1, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn busy_and_late_execute_at_once_and_answer_a_delay_after_the_end() {
    for fault in [Fault::Busy(DELAY), Fault::ReplyLate(DELAY)] {
        let faults = always(fault);
        let (probe, mut service) = under(&able(&faults));
        probe.script([Reply::echo().after(2 * SECOND)]);
        let mut held = call(&mut service, 1);
        assert!(held.poll().is_pending());
        assert_eq!((probe.counts().calls, counts(&faults)), (1, (0, 0)));
        advance(2 * SECOND).await;
        assert!(settled(&mut held).await.is_pending());
        assert_eq!((probe.counts().completed, counts(&faults)), (1, (1, 0)));
        advance(SECOND - Duration::from_millis(1)).await;
        assert!(settled(&mut held).await.is_pending());
        advance(Duration::from_millis(1)).await;
        assert!(matches!(settled(&mut held).await, Poll::Ready(Ok(1))));
        assert_eq!(probe.counts().polls_when_done, 0);
    }
}

/// What tells the two apart on the far side.
#[tokio::test(start_paused = true)]
async fn a_busy_server_keeps_its_place_and_one_whose_reply_is_late_does_not() {
    for (fault, is_free) in [(Fault::Busy(DELAY), false), (Fault::ReplyLate(DELAY), true)] {
        let (probe, mut service) = {
            let probe = steadfast_testkit::Probe::new();
            let control = probe.control();
            let limited = ConcurrencyLimitLayer::new(1).layer(probe);
            (control, able_over(fault).layer(limited))
        };
        let mut held = tokio_test::task::spawn(service.ready().await.unwrap().call(1));
        assert!(held.poll().is_pending());
        assert_eq!(probe.counts().completed, 1, "executed");
        let mut next = tokio_test::task::spawn(service.clone().oneshot(2));
        assert_eq!(next.poll().is_ready(), is_free, "{fault:?}");
        assert_eq!(probe.counts().calls, if is_free { 2 } else { 1 });
        advance(SECOND).await;
        assert!(matches!(held.poll(), Poll::Ready(Ok(1))));
    }
}

fn able_over(fault: Fault) -> FaultLayer {
    FaultLayer::new(once(fault))
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_was_executed_and_its_caller_hears_nothing() {
    for reply in [Reply::echo(), Reply::error()] {
        let faults = always(Fault::ReplyLost);
        let (probe, mut service) = under(&able(&faults));
        probe.script([reply.held()]);
        let mut lost = call(&mut service, 1);
        assert!(lost.poll().is_pending());
        assert_eq!(counts(&faults), (0, 0), "there is no reply yet");
        probe.release_all();
        assert!(lost.is_woken() && lost.poll().is_pending());
        advance(HOUR).await;
        assert!(lost.poll().is_pending());
        let seen = probe.counts();
        assert_eq!((seen.calls, seen.completed, seen.live_futures), (1, 1, 0));
        assert_eq!((seen.polls_when_done, counts(&faults)), (0, (1, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_executed_beside_the_first_and_its_reply_dropped() {
    let faults = always(Fault::Duplicated);
    let (probe, mut service) = under(&able(&faults));
    probe.script([Reply::value(10).held(), Reply::value(20).held()]);
    let mut both = call(&mut service, 1);
    assert!(both.poll().is_pending());
    assert_eq!((probe.counts().calls, probe.counts().unready_calls), (2, 0), "side by side");
    assert!(probe.release(0) && both.poll().is_pending(), "the second is under way");
    assert!(probe.release(1) && both.is_woken());
    assert!(matches!(both.poll(), Poll::Ready(Ok(10))));
    let seen = probe.counts();
    assert_eq!((seen.completed, seen.live_futures, seen.polls_when_done), (2, 0, 0));
    assert_eq!(counts(&faults), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_second_copy_that_ends_first_waits_for_the_first() {
    let (probe, mut service) = under(&able(&always(Fault::Duplicated)));
    probe.script([Reply::error().held(), Reply::value(20)]);
    let mut both = call(&mut service, 1);
    assert!(both.poll().is_pending());
    assert!(probe.release(0));
    let Poll::Ready(Err(error)) = both.poll() else { panic!("not the first one's outcome") };
    assert_eq!(error.downcast_ref::<ProbeError>(), Some(&ProbeError::Call(0)));
    assert_eq!(probe.counts().polls_when_done, 0);
}

/// Were the first one's future kept until the second has ended, neither would.
#[tokio::test(start_paused = true)]
async fn duplicates_and_queued_requests_need_no_second_place_under_a_limit() {
    for fault in [Fault::Duplicated, Fault::Queued(DELAY)] {
        let probe = steadfast_testkit::Probe::new();
        let control = probe.control();
        let limited = ConcurrencyLimitLayer::new(1).layer(probe);
        let mut service = FaultLayer::new(always(fault)).cloning().layer(limited);
        for request in 0..3 {
            let answer = service.ready().await.unwrap().call(request);
            let answer = tokio::time::timeout(HOUR, answer).await;
            assert_eq!(answer.expect("it waits for itself").unwrap(), request);
        }
        let twice = fault == Fault::Duplicated;
        assert_eq!(control.counts().calls, if twice { 6 } else { 3 });
    }
}

/// A handle that was made ready for a request that is never delivered.
#[tokio::test(start_paused = true)]
async fn what_is_not_delivered_gives_back_the_permit_that_was_taken_for_it() {
    for fault in [Fault::RequestLost, Fault::CrashedBefore, Fault::Error, Fault::Queued(DELAY)] {
        let limited = ConcurrencyLimitLayer::new(1).layer(steadfast_testkit::Probe::new());
        let layer = FaultLayer::new(once(fault));
        let mut service = layer.layer(limited);
        let struck = service.ready().await.unwrap().call(1);
        let answer = tokio::time::timeout(SECOND / 2, service.clone().oneshot(2)).await;
        assert_eq!(answer.expect("a permit is taken").unwrap(), 2, "{fault:?}");
        drop(struck);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_delivered_is_skipped_and_the_first_answers() {
    let faults = always(Fault::Duplicated);
    let (probe, mut service) = under(&able(&faults));
    probe.script_readiness([Readiness::Ready, Readiness::Error]);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
    assert_eq!((probe.counts().calls, counts(&faults)), (1, (0, 1)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_skipped_and_the_request_passes() {
    let cases = [
        Fault::Duplicated,
        Fault::BitFlipped,
        Fault::BodyCut,
        Fault::SlowBody(DELAY),
        Fault::Byzantine,
    ];
    for fault in cases {
        let faults = always(fault);
        let (probe, mut service) = under(&FaultLayer::new(faults.clone()));
        assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
        assert_eq!((probe.counts().calls, counts(&faults)), (1, (0, 1)), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_byzantine_reply_takes_the_place_of_the_right_one() {
    let faults = always(Fault::Byzantine);
    let (probe, mut service) = under(&able(&faults));
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1001);
    probe.script([Reply::error()]);
    assert!(service.ready().await.unwrap().call(2).await.is_err(), "no reply to replace");
    assert_eq!((probe.counts().completed, counts(&faults)), (2, (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_what_the_user_says() {
    let faults = always(Fault::Error);
    let layer = FaultLayer::new(faults.clone())
        .answer_with(|strike| Ok::<_, steadfast_testkit::BoxError>(400 + strike.number as u32));
    let (probe, mut service) = under(&layer);
    for expected in [400, 401] {
        assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), expected);
    }
    assert_eq!((probe.counts().calls, counts(&faults)), (0, (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_delay_without_end_is_a_silence_and_no_panic() {
    for fault in [
        Fault::Queued(Delay::of(Duration::MAX)),
        Fault::Busy(Delay::of(Duration::MAX).jitter(Duration::MAX)),
        Fault::ReplyLate(Delay::of(Duration::MAX)),
    ] {
        let (_, mut service) = under(&able(&always(fault)));
        let mut silent = call(&mut service, 1);
        assert!(silent.poll().is_pending());
        advance(HOUR).await;
        assert!(silent.poll().is_pending());
    }
}

/// What was injected is what was seen: every fault at once, and the books agree.
#[tokio::test(start_paused = true)]
async fn the_snapshot_says_what_the_far_side_saw() {
    const REQUESTS: u32 = 10_000;
    let kinds = [
        Fault::RequestLost,
        Fault::Queued(DELAY),
        Fault::CrashedBefore,
        Fault::Busy(DELAY),
        Fault::ReplyLost,
        Fault::ReplyLate(DELAY),
        Fault::Duplicated,
        Fault::Error,
        Fault::Byzantine,
    ];
    let plan = kinds.into_iter().fold(Plan::new(11), |plan, fault| {
        plan.rule(Rule::new(fault.kind().name(), fault).probability(0.05))
    });
    let faults = on(plan);
    let (probe, mut service) = under(&able(&faults));
    let (mut right, mut wrong, mut failed, mut silent) = (0_u64, 0, 0, 0);
    for request in 0..REQUESTS {
        let answer = service.ready().await.unwrap().call(request % 1000);
        match tokio::time::timeout(HOUR, answer).await {
            Ok(Ok(reply)) if reply < 1000 => right += 1,
            Ok(Ok(_)) => wrong += 1,
            Ok(Err(_)) => failed += 1,
            Err(_) => silent += 1,
        }
    }
    let snapshot = faults.snapshot();
    let struck = |kind| snapshot.struck(kind);
    assert_eq!(snapshot.requests, u64::from(REQUESTS));
    assert!(
        snapshot.rules.iter().all(|rule| rule.struck > 200 && rule.skipped == 0),
        "{snapshot:?}"
    );
    let undelivered = struck(FaultKind::RequestLost)
        + struck(FaultKind::CrashedBefore)
        + struck(FaultKind::Error);
    let seen = probe.counts();
    assert_eq!(seen.calls, snapshot.requests - undelivered + struck(FaultKind::Duplicated));
    assert_eq!(seen.completed, seen.calls);
    assert_eq!(silent, struck(FaultKind::RequestLost) + struck(FaultKind::ReplyLost));
    assert_eq!(failed, struck(FaultKind::CrashedBefore) + struck(FaultKind::Error));
    assert_eq!(wrong, struck(FaultKind::Byzantine));
    assert_eq!(right + wrong + failed + silent, snapshot.requests);
}
