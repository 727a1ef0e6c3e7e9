//! Dropping the future at every await point, and panics.

use std::{
    future::{Future, pending},
    io,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::future::ready;
use steadfast_core::{Classify, Deadline, Executed, Refusal, Verdict};
use steadfast_retry::RetryLayer;
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};

use crate::support::{BROKEN, REFUSED, Script, attempts, exactly, steadily, steady};

/// Ready as long as its switch says so.
#[derive(Clone)]
struct Gated {
    inner: Script,
    is_open: Arc<AtomicBool>,
}

impl Gated {
    fn new(inner: Script) -> Self {
        Self { inner, is_open: Arc::new(AtomicBool::new(true)) }
    }
}

impl Service<u32> for Gated {
    type Response = u32;
    type Error = io::Error;
    type Future = <Script as Service<u32>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_open.load(Ordering::Relaxed) { self.inner.poll_ready(cx) } else { Poll::Pending }
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.inner.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_in_the_first_attempt_nothing_was_charged() {
    let budget = exactly(0, 10);
    let service =
        steadily().budget(budget.clone()).layer(service_fn(|_: u32| pending::<io::Result<u32>>()));
    let mut call = tokio_test::task::spawn(service.oneshot(1));
    assert!(call.poll().is_pending());
    drop(call);
    assert_eq!(budget.snapshot().withdrawn, 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_charged_when_its_wait_begins_and_refunded_when_it_is_dropped_there() {
    let budget = exactly(0, 10);
    let script = Script::new([REFUSED]);
    let mut call =
        tokio_test::task::spawn(steadily().budget(budget.clone()).layer(script.clone()).oneshot(1));
    assert!(call.poll().is_pending());
    assert_eq!(budget.snapshot().withdrawn, 1);
    drop(call);
    assert_eq!((budget.snapshot().withdrawn, script.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_waits_for_readiness_the_retry_is_refunded() {
    let budget = exactly(0, 10);
    let gated = Gated::new(Script::new([REFUSED]));
    let mut call =
        tokio_test::task::spawn(steadily().budget(budget.clone()).layer(gated.clone()).oneshot(1));
    assert!(call.poll().is_pending());
    gated.is_open.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    assert!(call.poll().is_pending());
    assert_eq!(budget.snapshot().withdrawn, 1);
    drop(call);
    assert_eq!((budget.snapshot().withdrawn, gated.inner.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_in_the_second_attempt_the_retry_stays_charged() {
    let budget = exactly(0, 10);
    let sent = Arc::new(AtomicBool::new(false));
    let service = service_fn(move |_: u32| {
        let is_second = sent.swap(true, Ordering::Relaxed);
        async move {
            if is_second {
                pending().await
            } else {
                Err::<u32, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
            }
        }
    });
    let mut call =
        tokio_test::task::spawn(steadily().budget(budget.clone()).layer(service).oneshot(1));
    assert!(call.poll().is_pending());
    advance(Duration::from_secs(2)).await;
    assert!(call.poll().is_pending());
    drop(call);
    assert_eq!(budget.snapshot().withdrawn, 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_wait_for_readiness_with_the_last_failure() {
    let budget = exactly(0, 10);
    let gated = Gated::new(Script::new([BROKEN]));
    let deadline = Deadline::after(Instant::now().into_std(), Duration::from_secs(5));
    let layer = RetryLayer::new(steady())
        .idempotent()
        .budget(budget.clone())
        .context(move |_: &u32| Some(deadline));
    let mut call = tokio_test::task::spawn(layer.layer(gated.clone()).oneshot(1));
    assert!(call.poll().is_pending());
    gated.is_open.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    assert!(call.poll().is_pending());
    advance(Duration::from_secs(3)).await;
    assert!(call.is_woken(), "the timer wakes a call whose service is not ready");
    let Poll::Ready(outcome) = call.poll() else { panic!("past its deadline") };
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!((budget.snapshot().withdrawn, gated.inner.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_became_ready_too_late_is_not_called() {
    let gated = Gated::new(Script::new([REFUSED]));
    let deadline = Deadline::after(Instant::now().into_std(), Duration::from_secs(5));
    let layer = steadily().context(move |_: &u32| Some(deadline));
    let mut call = tokio_test::task::spawn(layer.layer(gated.clone()).oneshot(1));
    assert!(call.poll().is_pending());
    gated.is_open.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    assert!(call.poll().is_pending());
    advance(Duration::from_secs(3)).await;
    gated.is_open.store(true, Ordering::Relaxed);
    let Poll::Ready(outcome) = call.poll() else { panic!("past its deadline") };
    assert_eq!(
        (outcome.unwrap_err().kind(), gated.inner.calls()),
        (io::ErrorKind::ConnectionRefused, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_leaks_nothing() {
    let budget = exactly(0, 10);
    let panics_in_call =
        service_fn(|_: u32| -> futures::future::Ready<io::Result<u32>> { panic!("in call") });
    let panics_in_future = service_fn(|_: u32| async { panic!("in the future") });
    let layer = steadily().budget(budget.clone());
    let mut first = layer.layer(panics_in_call);
    catch_unwind(AssertUnwindSafe(|| drop(first.call(1)))).unwrap_err();
    let mut second = layer.layer(panics_in_future);
    let future: futures::future::BoxFuture<'_, io::Result<u32>> = Box::pin(second.call(1));
    let mut call = tokio_test::task::spawn(future);
    catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).unwrap_err();
    drop(call);
    // Neither handle is broken for it.
    second.ready().await.unwrap();
    assert_eq!(budget.snapshot().withdrawn, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_second_attempt_keeps_it_charged_and_leaks_nothing() {
    let budget = exactly(0, 10);
    let sent = Arc::new(AtomicBool::new(false));
    let service = service_fn(move |_: u32| {
        assert!(!sent.swap(true, Ordering::Relaxed), "the second call panics");
        ready(Err::<u32, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
    });
    let mut call =
        tokio_test::task::spawn(steadily().budget(budget.clone()).layer(service).oneshot(1));
    assert!(call.poll().is_pending());
    advance(Duration::from_secs(2)).await;
    catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).unwrap_err();
    drop(call);
    assert_eq!(budget.snapshot().withdrawn, 1);
}

/// A response that does what it is told when it is dropped.
struct Dropped<F: FnMut()>(F);

impl<F: FnMut()> Drop for Dropped<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_that_panics_when_it_is_dropped_leaks_nothing() {
    for limit in [None, Some(Duration::from_secs(30))] {
        let deadline = limit.map(|limit| Deadline::after(Instant::now().into_std(), limit));
        let (budget, panics) = (exactly(0, 10), Arc::new(AtomicBool::new(true)));
        let will_panic = Arc::clone(&panics);
        let service = service_fn(move |_: u32| {
            let panics = Arc::clone(&will_panic);
            ready(Ok::<_, io::Error>(Dropped(move || {
                assert!(!panics.swap(false, Ordering::Relaxed), "in drop");
            })))
        });
        let layer = steadily()
            .budget(budget.clone())
            .idempotent()
            .classify(|_: Result<&_, &io::Error>| Verdict::transient(Executed::Maybe))
            .context(move |_: &u32| deadline);
        let mut service = layer.layer(service);
        let mut call = tokio_test::task::spawn(service.call(1));
        catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).unwrap_err();
        assert_eq!(budget.snapshot().withdrawn, 0, "before the future is dropped, {limit:?}");
        drop(call);
        // The handle is not broken for it: a second and a third attempt follow.
        assert!(service.ready().await.unwrap().call(2).await.is_ok());
        assert_eq!(budget.snapshot().withdrawn, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_may_use_the_handle_and_the_budget_when_it_is_dropped() {
    type Answer = Dropped<Box<dyn FnMut() + Send>>;
    type Call = futures::future::BoxFuture<'static, io::Result<Answer>>;
    let (budget, handle) = (exactly(0, 10), Arc::new(Mutex::new(None)));
    let (its_budget, its_handle) = (budget.clone(), Arc::clone(&handle));
    let service = service_fn(move |request: u32| {
        let (budget, handle) = (its_budget.clone(), Arc::clone(&its_handle));
        let again = move || {
            drop(budget.try_withdraw(NonZeroU32::MIN));
            let handle: Option<BoxCloneService<u32, Answer, io::Error>> =
                handle.lock().unwrap().clone();
            if let Some(mut handle) = handle
                && request > 0
            {
                let mut call: Call = Box::pin(handle.call(0));
                assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        };
        ready(Ok::<_, io::Error>(Dropped(Box::new(again) as Box<dyn FnMut() + Send>)))
    });
    let layer = steadily()
        .budget(budget.clone())
        .idempotent()
        .classify(|_: Result<&Answer, &io::Error>| Verdict::transient(Executed::Maybe));
    let mut service = BoxCloneService::new(layer.layer(service));
    *handle.lock().unwrap() = Some(service.clone());
    let answer = service.ready().await.unwrap().call(1).await.unwrap();
    handle.lock().unwrap().take();
    drop(answer);
    let snapshot = budget.snapshot();
    assert_eq!((snapshot.requests, snapshot.withdrawn), (3, 2), "its own, and two of its drops");
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_when_it_is_to_refuse_leaks_nothing() {
    #[derive(Clone)]
    struct Panics;
    impl Classify<u32, io::Error> for Panics {
        fn classify(&self, _: Result<&u32, &io::Error>) -> Verdict {
            Verdict::transient(Executed::Maybe)
        }
        fn refused<R: Refusal>(&self, _: R) -> Option<io::Error> {
            panic!("in refused")
        }
    }
    let (budget, gated) = (exactly(0, 10), Gated::new(Script::new([Ok(503)])));
    let deadline = Deadline::after(Instant::now().into_std(), Duration::from_secs(5));
    let layer = steadily().budget(budget.clone()).idempotent().classify(Panics);
    let service = layer.context(move |_: &u32| Some(deadline)).layer(gated.clone());
    let mut call = tokio_test::task::spawn(service.oneshot(1));
    assert!(call.poll().is_pending());
    gated.is_open.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    assert!(call.poll().is_pending());
    advance(Duration::from_secs(4)).await;
    catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).unwrap_err();
    drop(call);
    assert_eq!((budget.snapshot().withdrawn, gated.inner.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_ends_the_call_with_it() {
    #[derive(Clone)]
    struct Dying(Script);
    impl Service<u32> for Dying {
        type Response = u32;
        type Error = io::Error;
        type Future = <Script as Service<u32>>::Future;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0.calls() == 0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
        fn call(&mut self, request: u32) -> Self::Future {
            self.0.call(request)
        }
    }
    let budget = exactly(0, 10);
    let mut service = RetryLayer::new(steady().attempts(attempts(9)))
        .budget(budget.clone())
        .layer(Dying(Script::new([REFUSED])));
    // Held beyond its end, as a `select!` over a reference does.
    let mut call = pin!(service.ready().await.unwrap().call(1));
    assert_eq!(call.as_mut().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(budget.snapshot().withdrawn, 0, "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_service_and_its_layer() {
    let script = Script::new([REFUSED, Ok(7)]);
    let call = {
        let layer = steadily();
        let mut service = layer.layer(script.clone());
        service.ready().await.unwrap().call(1)
    };
    assert_eq!(call.await.unwrap(), 7);
}

fn is_send<T: Send>(_: &T) {}

fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}

#[tokio::test(start_paused = true)]
async fn the_future_is_send_and_small_and_the_service_can_be_mounted_anywhere() {
    let mut service = steadily().layer(Script::new([Ok(7)]));
    is_shared(&service);
    let call = service.call(1);
    is_send(&call);
    assert!(size_of_val(&call) <= 256, "{} bytes", size_of_val(&call));
    let _: &dyn Future<Output = io::Result<u32>> = &call;
}
