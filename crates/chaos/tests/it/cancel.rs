//! Dropping any future at any point leaves nothing behind.

use std::{
    sync::{Arc, Weak},
    task::Poll,
};

use steadfast_chaos::{Fault, FaultLayer};
use steadfast_core::{Detach, DetachConfig};
use steadfast_testkit::{BoxError, Readiness, Reply};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{ALL, DELAY, SECOND, able, always, call, it, under};

/// Polls a struck call so many times, with a step of the world before each, and drops it.
async fn drops_after(fault: Fault, polls: u32, reply: &Reply) -> bool {
    let faults = always(fault);
    let (probe, mut service) = under(&able(&faults));
    probe.always(reply.clone());
    let mut pending = true;
    let mut struck = call(&mut service, 1);
    for poll in 0..polls {
        if !pending {
            break;
        }
        match poll % 3 {
            0 => {}
            1 => probe.release_all(),
            _ => advance(SECOND).await,
        }
        tokio::task::yield_now().await;
        pending = struck.poll().is_pending();
    }
    let lived = probe.counts();
    drop(struck);
    let left = probe.counts();
    assert_eq!(left.live_futures, 0, "{fault:?} after {polls} polls, of {lived:?}");
    assert_eq!(left.live_handles, 1, "{fault:?} after {polls} polls, of {lived:?}");
    assert_eq!(left.polls_when_done, 0);
    let rule = it(&faults);
    assert_eq!(rule.struck + rule.skipped, 1, "{fault:?} after {polls} polls owes a verdict");
    drop(service);
    assert_eq!(probe.counts().live_handles, 0);
    pending
}

#[tokio::test(start_paused = true)]
async fn a_struck_call_that_is_dropped_at_any_point_leaves_nothing_behind() {
    for fault in ALL {
        for reply in [Reply::echo(), Reply::echo().held(), Reply::error().held()] {
            let ended = async |polls| !drops_after(fault, polls, &reply).await;
            let mut ends = false;
            for polls in 0..12 {
                ends |= ended(polls).await;
            }
            let is_silent = matches!(fault, Fault::RequestLost | Fault::ReplyLost);
            assert_eq!(ends, !is_silent, "{fault:?}: every point up to its end was tried");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_its_instance_is_not_ready_leaves_nothing_behind() {
    for fault in [Fault::Queued(DELAY), Fault::Duplicated] {
        let (probe, mut service) = under(&able(&always(fault)));
        let mut struck = call(&mut service, 1);
        probe.script_readiness([Readiness::Pending]);
        assert!(struck.poll().is_pending());
        advance(SECOND).await;
        assert!(struck.poll().is_pending());
        drop(struck);
        let left = probe.counts();
        assert_eq!((left.live_futures, left.live_handles), (0, 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_comes_out_and_the_fault_is_skipped() {
    for reply in [Reply::panic(), Reply::panic_in_call()] {
        for fault in [Fault::Busy(DELAY), Fault::ReplyLost, Fault::Duplicated, Fault::Byzantine] {
            let faults = always(fault);
            let (probe, service) = under(&able(&faults));
            probe.script([reply.clone()]);
            let panicked = tokio::spawn(service.clone().oneshot(1)).await.unwrap_err();
            assert!(panicked.is_panic());
            let left = probe.counts();
            assert_eq!((left.live_futures, left.live_handles), (0, 1), "{fault:?}");
            let rule = it(&faults);
            assert_eq!(rule.struck + rule.skipped, 1);
        }
    }
}

/// What a request holds: gone as soon as nothing can come of it any more.
#[tokio::test(start_paused = true)]
async fn a_lost_request_holds_nothing_and_a_lost_reply_nothing_once_it_is_lost() {
    let service = service_fn(|request: Arc<()>| async move {
        tokio::time::sleep(SECOND).await;
        Ok::<_, BoxError>(request)
    });
    for detached in [false, true] {
        for fault in [Fault::RequestLost, Fault::ReplyLost] {
            let layer = FaultLayer::new(always(fault));
            let request = Arc::new(());
            let held: Weak<()> = Arc::downgrade(&request);
            let detach = Detach::new(DetachConfig::new()).unwrap();
            let poll = |polled: &mut dyn FnMut() -> bool| assert!(polled(), "it hears nothing");
            let lost = fault == Fault::RequestLost;
            if detached {
                let service = layer.detach(detach.clone()).layer(service);
                let mut call = tokio_test::task::spawn(Box::pin(service.oneshot(request)));
                poll(&mut || call.poll().is_pending());
                assert_eq!(held.strong_count(), usize::from(!lost));
                tokio::time::sleep(2 * SECOND).await;
                poll(&mut || call.poll().is_pending());
                assert_eq!(held.strong_count(), 0, "{fault:?}, its caller still there");
            } else {
                let mut service = layer.layer(service);
                let future = service.ready().await.unwrap().call(request);
                let mut call = tokio_test::task::spawn(Box::pin(future));
                assert_eq!(held.strong_count(), usize::from(!lost));
                poll(&mut || call.poll().is_pending());
                tokio::time::sleep(2 * SECOND).await;
                poll(&mut || call.poll().is_pending());
                assert_eq!(held.strong_count(), 0, "{fault:?}, its caller still there");
            }
            assert_eq!(detach.snapshot().in_flight, 0);
        }
    }
}

/// A service's own instance is not kept by a request that is lost.
#[tokio::test(start_paused = true)]
async fn a_lost_request_keeps_no_instance_of_the_service() {
    let (probe, mut service) = under(&able(&always(Fault::RequestLost)));
    let lost: Vec<_> = (0..100).map(|request| call(&mut service, request)).collect();
    assert_eq!(probe.counts().live_handles, 1);
    drop(service);
    assert_eq!(probe.counts().live_handles, 0);
    drop(lost);
}

#[tokio::test(start_paused = true)]
async fn the_future_of_a_request_that_passes_is_hardly_larger_for_all_the_faults() {
    let inner = service_fn(|request: u64| async move {
        tokio::task::yield_now().await;
        Ok::<_, BoxError>(request)
    });
    let mut bare = inner;
    let bare = size_of_val(&bare.call(1));
    let mut service = FaultLayer::new(always(Fault::RequestLost)).cloning().layer(inner);
    let ready = std::future::poll_fn(|cx| Service::<u64>::poll_ready(&mut service, cx)).await;
    assert!(ready.is_ok());
    let future = service.call(1);
    assert!(size_of_val(&future) <= bare + 16, "{} against {bare}", size_of_val(&future));
    let mut task = tokio_test::task::spawn(Box::pin(future));
    assert!(matches!(task.poll(), Poll::Pending));
}

/// The box of what was struck is gone with the reply, and with it all that stood in it.
#[tokio::test(start_paused = true)]
async fn a_silence_holds_not_even_what_the_layer_knows() {
    let known = Arc::new(());
    let captured = Arc::clone(&known);
    let layer = FaultLayer::new(always(Fault::ReplyLost)).answer_with(move |_| {
        let _ = &captured;
        Ok::<u32, BoxError>(7)
    });
    let (_, mut service) = under(&layer);
    let before = Arc::strong_count(&known);
    let mut lost = call(&mut service, 1);
    assert_eq!(Arc::strong_count(&known), before + 1, "the box has the protocol");
    assert!(lost.poll().is_pending());
    assert_eq!(Arc::strong_count(&known), before);
}
