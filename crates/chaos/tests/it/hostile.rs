//! Callers, services and closures that do what they should not.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use steadfast_chaos::{
    Describe, Fault, FaultLayer, Faults, Injected, Mode, Plan, Protocol, Rule, Strike,
};
use steadfast_testkit::{BoxError, Readiness, Reply};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{ALL, SECOND, able, always, call, counts, it, on, under};

#[tokio::test(start_paused = true)]
async fn a_copy_that_could_not_be_delivered_stays_skipped_while_the_first_is_under_way() {
    let faults = always(Fault::Duplicated);
    let (probe, mut service) = under(&able(&faults));
    probe.script([Reply::echo().held()]);
    let mut both = call(&mut service, 1);
    probe.script_readiness([Readiness::Error]);
    for _ in 0..3 {
        assert!(both.poll().is_pending());
    }
    probe.release_all();
    assert!(matches!(both.poll(), Poll::Ready(Ok(1))));
    drop(both);
    assert_eq!((probe.counts().calls, counts(&faults)), (1, (0, 1)));
}

/// An instance whose clone panics when it is told to.
struct Fragile(Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.0.load(Ordering::Relaxed), "no clone");
        Self(Arc::clone(&self.0))
    }
}

impl Service<u32> for Fragile {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        std::future::ready(Ok(request))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_clone_panics_leaves_the_verdict_and_the_service_whole() {
    for fault in ALL {
        let faults = always(fault);
        let panics = Arc::new(AtomicBool::new(false));
        let mut service =
            FaultLayer::new(faults.clone()).cloning().layer(Fragile(Arc::clone(&panics)));
        panics.store(true, Ordering::Relaxed);
        let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(service.call(1));
        }));
        let rule = it(&faults);
        assert_eq!(rule.struck + rule.skipped, 1, "{fault:?}");
        assert!(called.is_ok() || rule.skipped == 1, "{fault:?}");
        panics.store(false, Ordering::Relaxed);
        faults.turn_off();
        assert_eq!(service.ready().await.unwrap().call(2).await.unwrap(), 2);
    }
}

/// All that the user writes, and each of it changes the plan that it is asked for.
#[tokio::test(start_paused = true)]
async fn closures_that_call_back_into_the_handle_do_not_hang() {
    struct Loud(Faults);

    impl Drop for Loud {
        fn drop(&mut self) {
            meddle(&self.0);
        }
    }

    impl Clone for Loud {
        fn clone(&self) -> Self {
            meddle(&self.0);
            Self(self.0.clone())
        }
    }

    fn meddle(faults: &Faults) {
        let _ = faults.snapshot();
        let _ = faults.set_probability("it", 1.0);
        faults.turn_on();
        faults.dry_run();
        faults.turn_on();
    }

    for fault in ALL {
        let faults = always(fault);
        let seen = [0; 4].map(|_| faults.clone());
        let [tag, key, answer, other] = seen;
        let of_service = faults.clone();
        let layer = FaultLayer::new(faults.clone())
            .tag(move |_: &Loud| {
                meddle(&tag);
                Some("tag")
            })
            .key(move |_: &Loud| {
                meddle(&key);
                Some(7)
            })
            .cloning()
            .answer_with(move |_| {
                meddle(&answer);
                Ok::<_, BoxError>(1)
            })
            .byzantine(move |reply: u32, _| {
                meddle(&other);
                reply
            });
        let mut service = layer.layer(service_fn(move |request: Loud| {
            meddle(&of_service);
            async move {
                meddle(&request.0);
                Ok::<_, BoxError>(1)
            }
        }));
        let answer = service.ready().await.unwrap().call(Loud(faults.clone()));
        let _ = tokio::time::timeout(10 * SECOND, answer).await;
        assert_eq!((faults.mode(), faults.snapshot().requests), (Mode::On, 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_answered_may_be_polled_again_without_a_panic() {
    for fault in ALL {
        let (probe, mut service) = under(&able(&always(fault)));
        probe.always(Reply::echo());
        let future = service.ready().await.unwrap().call(1);
        let mut task = tokio_test::task::spawn(Box::pin(future));
        let mut ended = false;
        for _ in 0..4 {
            ended |= task.poll().is_ready();
            advance(SECOND).await;
            tokio::task::yield_now().await;
        }
        let is_silent = matches!(fault, Fault::RequestLost | Fault::ReplyLost);
        assert_eq!(ended, !is_silent, "{fault:?}");
        assert_eq!(probe.counts().polls_when_done, 0, "{fault:?}");
    }
}

/// A future that moves from task to task wakes the last one that polled it.
#[tokio::test(start_paused = true)]
async fn the_last_waker_is_woken() {
    for fault in ALL {
        if matches!(fault, Fault::RequestLost | Fault::ReplyLost | Fault::CrashedBefore) {
            continue;
        }
        let (probe, mut service) = under(&able(&always(fault)));
        probe.always(Reply::echo().after(SECOND));
        let mut future = Box::pin(service.ready().await.unwrap().call(1));
        let mut tasks = [tokio_test::task::spawn(()), tokio_test::task::spawn(())];
        let mut steps = 0;
        'ended: loop {
            for task in &mut tasks {
                let polled = task.enter(|cx, _| future.as_mut().poll(cx));
                if polled.is_ready() {
                    break 'ended;
                }
            }
            tokio::time::sleep(SECOND).await;
            assert!(tasks[1].is_woken(), "{fault:?}");
            steps += 1;
            assert!(steps < 8, "{fault:?}");
        }
    }
}

#[test]
fn a_service_of_one_thread_is_struck_on_a_local_set() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    for fault in ALL {
        let faults = always(fault);
        let local = tokio::task::LocalSet::new();
        let seen = Rc::new(RefCell::new(Vec::new()));
        local.block_on(&runtime, async {
            let inner = Rc::clone(&seen);
            let service = service_fn(move |request: Rc<u32>| {
                let seen = Rc::clone(&inner);
                async move {
                    seen.borrow_mut().push(*request);
                    tokio::task::yield_now().await;
                    Ok::<_, BoxError>(request)
                }
            });
            let service = FaultLayer::new(faults.clone()).cloning().layer(service);
            let task = tokio::task::spawn_local(service.oneshot(Rc::new(7)));
            let _ = tokio::time::timeout(10 * SECOND, task).await;
        });
        let executed = match fault {
            Fault::RequestLost | Fault::CrashedBefore | Fault::Error => 0,
            Fault::Duplicated => 2,
            _ => 1,
        };
        assert_eq!(seen.borrow().len(), executed, "{fault:?}");
    }
}

/// Faults that are switched, changed and replaced by threads while others call.
#[test]
fn what_threads_inject_is_what_they_count() {
    let plan = || Plan::new(3).rule(Rule::new("it", Fault::CrashedBefore).probability(0.3));
    let faults = on(plan());
    let refused = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let service = FaultLayer::new(faults.clone())
        .layer(service_fn(|request: u32| async move { Ok::<_, BoxError>(request) }));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (mut service, refused) = (service.clone(), &refused);
                scope.spawn(move || {
                    for request in 0..20_000 {
                        let mut call = tokio_test::task::spawn(Box::pin(service.call(request)));
                        let Poll::Ready(outcome) = call.poll() else { panic!("it is pending") };
                        refused.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                faults.turn_off();
                faults.dry_run();
                faults.turn_on();
                faults.set_probability("it", 0.5).unwrap();
                let rule = it(&faults);
                assert_eq!(rule.skipped, 0);
            }
        });
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(it(&faults).struck, refused.load(Ordering::Relaxed));
    assert!(faults.snapshot().requests <= 80_000);
}

/// A description of the user's own stands in the layer.
#[tokio::test]
async fn a_description_of_the_users_own_tells_the_plan_of_a_request() {
    #[derive(Clone)]
    struct Orders;

    impl Describe<&'static str> for Orders {
        fn tag<'a>(&self, request: &'a &'static str) -> Option<&'a str> {
            request.split('/').next()
        }

        fn key(&self, request: &&'static str) -> Option<u64> {
            Some(request.len() as u64)
        }
    }

    let plan = Plan::new(1).rule(Rule::new("it", Fault::CrashedBefore).only("orders"));
    let mut service = FaultLayer::new(on(plan))
        .describe(Orders)
        .layer(service_fn(|request: &'static str| async move { Ok::<_, BoxError>(request.len()) }));
    let mut ask = async |request| service.ready().await.unwrap().call(request).await;
    assert!(ask("orders/1").await.unwrap_err().is::<Injected>());
    assert_eq!(ask("users/1").await.unwrap(), 7);
}

#[derive(Clone)]
struct Panics;

impl Protocol<u32, u32, BoxError> for Panics {
    type Response = u32;

    fn pass(response: u32) -> u32 {
        response
    }

    fn fail(&self, _: Injected, _: &Strike) -> Result<u32, BoxError> {
        panic!("no failure")
    }

    fn duplicate(&self, _: &u32) -> Option<u32> {
        panic!("no copy")
    }

    fn spoil(&self, _: u32, _: steadfast_chaos::Injection) -> u32 {
        panic!("no spoiling")
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_panics_owes_one_verdict_and_leaves_nothing() {
    for fault in ALL {
        let faults = always(fault);
        let (probe, service) = under(&FaultLayer::new(faults.clone()).protocol(Panics));
        let call = service.clone().oneshot(1);
        let ended = tokio::spawn(tokio::time::timeout(10 * SECOND, call)).await;
        let panics = !matches!(
            fault,
            Fault::RequestLost
                | Fault::Queued(_)
                | Fault::Busy(_)
                | Fault::ReplyLost
                | Fault::ReplyLate(_)
        );
        assert_eq!(ended.is_err(), panics, "{fault:?}");
        let rule = it(&faults);
        assert_eq!(rule.struck + rule.skipped, 1, "{fault:?}");
        drop(service);
        let left = probe.counts();
        assert_eq!((left.live_futures, left.live_handles), (0, 0), "{fault:?}");
    }
}

/// A service that calls itself through the layer, from within its own future.
#[tokio::test(start_paused = true)]
async fn a_service_that_calls_itself_through_the_layer_meets_faults_at_each_call() {
    type Boxed = Pin<Box<dyn Future<Output = Result<u32, BoxError>>>>;

    #[derive(Clone)]
    struct Nested(FaultLayer);

    impl Service<u32> for Nested {
        type Response = u32;
        type Error = BoxError;
        type Future = Boxed;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, depth: u32) -> Boxed {
            let layer = self.0.clone();
            Box::pin(async move {
                if depth == 0 {
                    return Ok(0);
                }
                let mut inner = layer.layer(Self(layer.clone()));
                poll_fn(|cx| inner.poll_ready(cx)).await?;
                let future: Boxed = Box::pin(inner.call(depth - 1));
                Ok(future.await? + 1)
            })
        }
    }

    let faults = always(Fault::ReplyLate(crate::support::DELAY));
    let layer = FaultLayer::new(faults.clone());
    let begun = tokio::time::Instant::now();
    assert_eq!(layer.layer(Nested(layer.clone())).oneshot(5).await.unwrap(), 5);
    assert_eq!(tokio::time::Instant::now() - begun, 6 * SECOND);
    assert_eq!(counts(&faults), (6, 0));
}
