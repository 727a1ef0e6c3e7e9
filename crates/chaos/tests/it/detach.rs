//! Requests that go on after their caller has gone.

use std::{task::Poll, time::Duration};

use steadfast_chaos::{Fault, FaultLayer, Faults};
use steadfast_core::{Detach, DetachConfig};
use steadfast_testkit::{Control, Reply};
use tokio::time::{advance, sleep};

use crate::support::{ALL, DELAY, SECOND, Subject, always, call, counts, it, once, settled, under};

fn detached(faults: &Faults, config: DetachConfig) -> (Detach, Control, impl Subject + use<>) {
    let detach = Detach::new(config).unwrap();
    let layer = FaultLayer::new(faults.clone())
        .cloning()
        .byzantine(|reply: u32, _: &steadfast_chaos::Strike| reply + 1000)
        .detach(detach.clone());
    let (probe, service) = under(&layer);
    (detach, probe, service)
}

const GO_ON: [Fault; 5] = [
    Fault::Queued(DELAY),
    Fault::Busy(DELAY),
    Fault::ReplyLost,
    Fault::ReplyLate(DELAY),
    Fault::Duplicated,
];

#[tokio::test(start_paused = true)]
async fn a_request_goes_on_without_its_caller_and_is_executed() {
    for fault in GO_ON {
        let faults = always(fault);
        let (detach, probe, mut service) = detached(&faults, DetachConfig::new());
        probe.always(Reply::echo().after(SECOND));
        let mut struck = call(&mut service, 1);
        assert!(struck.poll().is_pending());
        drop((struck, service));
        assert_eq!(detach.snapshot().in_flight, 1, "{fault:?}");
        detach.shutdown().await;
        let seen = probe.counts();
        let copies = if fault == Fault::Duplicated { 2 } else { 1 };
        assert_eq!((seen.calls, seen.completed, seen.cancelled), (copies, copies, 0), "{fault:?}");
        assert_eq!((seen.live_futures, seen.live_handles), (0, 0), "{fault:?}");
        assert_eq!((counts(&faults), detach.snapshot().finished), ((1, 0), 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stays_hears_what_it_would_have_heard() {
    for fault in ALL {
        let (detach, probe, mut service) = detached(&always(fault), DetachConfig::new());
        let mut struck = call(&mut service, 1);
        let mut outcome = struck.poll();
        for _ in 0..3 {
            if outcome.is_pending() {
                sleep(SECOND).await;
                outcome = struck.poll();
            }
        }
        match fault {
            Fault::RequestLost | Fault::ReplyLost => assert!(outcome.is_pending()),
            Fault::CrashedBefore | Fault::Error => assert!(matches!(outcome, Poll::Ready(Err(_)))),
            Fault::Byzantine => assert!(matches!(outcome, Poll::Ready(Ok(1001)))),
            _ => assert!(matches!(outcome, Poll::Ready(Ok(1))), "{fault:?}"),
        }
        let is_carried = GO_ON.contains(&fault);
        assert_eq!(detach.snapshot().finished, u64::from(is_carried), "{fault:?}");
        assert_eq!(probe.counts().live_futures, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_polled_was_never_sent() {
    for fault in GO_ON {
        let (detach, probe, mut service) = detached(&always(fault), DetachConfig::new());
        drop(call(&mut service, 1));
        detach.shutdown().await;
        assert_eq!((detach.snapshot().finished, probe.counts().completed), (0, 0));
        assert_eq!(probe.counts().live_futures, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_place_a_request_goes_on_with_its_caller() {
    let faults = always(Fault::ReplyLate(DELAY));
    let (detach, probe, mut service) = detached(&faults, DetachConfig::new());
    detach.shutdown().await;
    let mut struck = call(&mut service, 1);
    assert!(struck.poll().is_pending());
    advance(SECOND).await;
    assert!(matches!(settled(&mut struck).await, Poll::Ready(Ok(1))));
    assert_eq!((detach.snapshot().refused, counts(&faults)), (1, (1, 0)));
    let mut left = call(&mut service, 2);
    assert!(left.poll().is_pending());
    drop(left);
    assert_eq!(probe.counts().live_futures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_ended_is_a_server_that_crashed_at_work() {
    for reply in [Reply::panic(), Reply::echo().after(Duration::from_secs(3600))] {
        let faults = once(Fault::Busy(DELAY));
        let (detach, probe, mut service) = detached(&faults, DetachConfig::new().limit(SECOND));
        probe.script([reply]);
        let mut struck = call(&mut service, 1);
        assert!(struck.poll().is_pending());
        sleep(2 * SECOND).await;
        assert!(struck.poll().is_pending(), "it hears nothing");
        let ended = detach.snapshot();
        assert_eq!((ended.in_flight, ended.broken + ended.timed_out), (0, 1));
        assert_eq!((probe.counts().live_futures, it(&faults).skipped), (0, 1));
        assert!(matches!(call(&mut service, 2).poll(), Poll::Ready(Ok(2))));
    }
}

/// Of each fault, a caller that leaves after so many polls, and what goes on without it.
#[tokio::test(start_paused = true)]
async fn a_detached_call_that_is_dropped_at_any_point_leaves_nothing_behind() {
    for fault in ALL {
        for polls in 0..9 {
            let faults = always(fault);
            let detach = Detach::new(DetachConfig::new()).unwrap();
            let layer = FaultLayer::new(faults.clone()).cloning().detach(detach.clone());
            let (probe, mut service) = under(&layer);
            probe.always(Reply::echo().held());
            let mut struck = call(&mut service, 1);
            let mut pending = true;
            for poll in 0..polls {
                match poll % 3 {
                    0 => {}
                    1 => probe.release_all(),
                    _ => advance(SECOND).await,
                }
                tokio::task::yield_now().await;
                pending = pending && struck.poll().is_pending();
            }
            drop((struck, service));
            probe.always(Reply::echo());
            let ended = async {
                while detach.snapshot().in_flight > 0 {
                    probe.release_all();
                    tokio::time::sleep(SECOND).await;
                }
            };
            tokio::time::timeout(60 * SECOND, ended).await.expect("it ends");
            let left = probe.counts();
            assert_eq!((left.live_futures, left.live_handles), (0, 0), "{fault:?} {polls}");
            let (rule, detached) = (it(&faults), detach.snapshot());
            assert_eq!(rule.struck + rule.skipped, 1, "{fault:?} after {polls} polls");
            assert_eq!((detached.reserved, detached.broken), (0, 0));
        }
    }
}

/// A runtime that ends while requests are under way in it.
#[test]
fn a_runtime_that_ends_leaves_its_callers_silent_and_the_books_complete() {
    for fault in [Fault::Busy(DELAY), Fault::Queued(DELAY)] {
        let faults = always(fault);
        let detach = Detach::new(DetachConfig::new()).unwrap();
        let layer = FaultLayer::new(faults.clone()).detach(detach.clone());
        let (probe, mut service) = under(&layer);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut struck = {
            let _inside = runtime.enter();
            call(&mut service, 1)
        };
        runtime.block_on(async {
            assert!(struck.poll().is_pending());
            tokio::task::yield_now().await;
        });
        drop(runtime);
        assert!(struck.is_woken() && struck.poll().is_pending(), "it hears nothing");
        let rule = it(&faults);
        assert_eq!((rule.struck + rule.skipped, detach.snapshot().broken), (1, 1), "{fault:?}");
        drop((struck, service));
        assert_eq!((probe.counts().live_futures, probe.counts().live_handles), (0, 0));
    }
}
