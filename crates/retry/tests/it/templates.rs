//! Which instance makes which attempt, and how long it lives.

use std::{
    cell::Cell,
    io,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use futures::future::{Ready, ready};
use steadfast_core::Verdict;
use steadfast_retry::{Retry, RetryConfig, RetryLayer};
use tower::{Layer, Service, ServiceExt, buffer::Buffer, service_fn};

use crate::support::{Script, ample, attempts, steadily};

/// Counts its clones. Each instance also counts its own calls, and writes down where and as which
/// of them a call arrived.
struct Counted {
    host: &'static str,
    own_calls: usize,
    fails_at: Arc<Vec<usize>>,
    shared: Arc<Log>,
}

#[derive(Default)]
struct Log {
    clones: AtomicUsize,
    alive: AtomicUsize,
    calls: Mutex<Vec<(&'static str, usize)>>,
}

impl Log {
    fn clones(&self) -> usize {
        self.clones.load(Ordering::Relaxed)
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    fn calls(&self) -> Vec<(&'static str, usize)> {
        self.calls.lock().unwrap().clone()
    }
}

impl Counted {
    /// The calls at `fails_at`, counted over all instances, are refused.
    fn new(fails_at: impl IntoIterator<Item = usize>) -> (Self, Arc<Log>) {
        let shared = Arc::new(Log { alive: 1.into(), ..Log::default() });
        let log = Arc::clone(&shared);
        (
            Self {
                host: "old",
                own_calls: 0,
                fails_at: Arc::new(fails_at.into_iter().collect()),
                shared,
            },
            log,
        )
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.shared.clones.fetch_add(1, Ordering::Relaxed);
        self.shared.alive.fetch_add(1, Ordering::Relaxed);
        Self { fails_at: Arc::clone(&self.fails_at), shared: Arc::clone(&self.shared), ..*self }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service<u32> for Counted {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u32) -> Self::Future {
        self.own_calls += 1;
        let mut calls = self.shared.calls.lock().unwrap();
        calls.push((self.host, self.own_calls));
        let fails = self.fails_at.contains(&calls.len());
        ready(if fails { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(n) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_of_which_one_fails_clone_the_service_twice() {
    let (counted, log) = Counted::new([50]);
    let mut service = steadily().layer(counted);
    for n in 0..99 {
        service.ready().await.unwrap().call(n).await.unwrap();
    }
    // The template at the first call, and the second attempt of the one that failed.
    assert_eq!((log.calls().len(), log.clones()), (100, 2));
    // The handle and the template; the instance of the second attempt is gone.
    assert_eq!(log.alive(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_learns_stays_with_the_handle() {
    let (counted, log) = Counted::new([50, 51]);
    let mut service = steadily().layer(counted);
    for n in 0..51 {
        service.ready().await.unwrap().call(n).await.unwrap();
    }
    let calls: Vec<_> = log.calls().into_iter().map(|(_, own)| own).collect();
    // Both further attempts come from the template, which has made no call.
    assert_eq!(calls[47..], [48, 49, 50, 1, 1, 51]);
}

#[tokio::test(start_paused = true)]
async fn applying_the_layer_makes_no_lane_and_a_clone_of_the_service_copies_none() {
    struct Judge(Arc<AtomicUsize>);
    impl Clone for Judge {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::Relaxed);
            Self(Arc::clone(&self.0))
        }
    }
    impl steadfast_core::Classify<u32, io::Error> for Judge {
        fn classify(&self, _: Result<&u32, &io::Error>) -> Verdict {
            Verdict::Success
        }
    }
    let judged = Arc::default();
    let layer = steadily().classify(Judge(Arc::clone(&judged)));
    let (counted, log) = Counted::new([]);
    let mut service = layer.layer(counted);
    assert_eq!(
        (log.clones(), judged.load(Ordering::Relaxed)),
        (0, 1),
        "the layer itself, for the service"
    );
    let mut clone = service.clone();
    assert_eq!((log.clones(), judged.load(Ordering::Relaxed)), (1, 1));
    service.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!((log.clones(), judged.load(Ordering::Relaxed)), (2, 2), "the lane of this thread");
    clone.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!((log.clones(), judged.load(Ordering::Relaxed)), (2, 2), "clones share their lanes");
}

#[tokio::test(start_paused = true)]
async fn a_clone_made_before_any_call_retries_as_well() {
    let (counted, log) = Counted::new([1, 3]);
    let mut first = steadily().layer(counted);
    let mut second = first.clone();
    assert_eq!(first.ready().await.unwrap().call(1).await.unwrap(), 1);
    drop(first);
    assert_eq!(second.ready().await.unwrap().call(2).await.unwrap(), 2);
    assert_eq!(log.calls().len(), 4);
}

#[test]
fn each_thread_has_a_template_of_its_own_at_most() {
    let (counted, log) = Counted::new([]);
    let service = steadily().layer(counted);
    thread::scope(|scope| {
        for _ in 0..8 {
            let mut service = service.clone();
            scope.spawn(move || {
                for n in 0..10 {
                    futures::executor::block_on(async {
                        service.ready().await.unwrap().call(n).await.unwrap()
                    });
                }
            });
        }
    });
    let templates = log.clones() - 8;
    assert!((1..=8).contains(&templates), "{templates}");
    assert_eq!(log.calls().len(), 80);
    drop(service);
    assert_eq!(log.alive(), 0, "the templates go with the last handle");
}

#[tokio::test(start_paused = true)]
async fn after_get_mut_no_attempt_goes_to_the_old_host() {
    let (counted, log) = Counted::new([2, 4, 6]);
    let mut service = steadily().layer(counted);
    service.ready().await.unwrap().call(1).await.unwrap();
    let mut clone = service.clone();
    // A call under way keeps to what it began with.
    let under_way = service.ready().await.unwrap().call(2);
    service.get_mut().host = "new";
    under_way.await.unwrap();
    service.ready().await.unwrap().call(3).await.unwrap();
    clone.ready().await.unwrap().call(4).await.unwrap();
    let hosts: Vec<_> = log.calls().into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["old", "old", "old", "new", "new", "old", "old"]);
    assert_eq!((service.get_ref().host, service.into_inner().host), ("new", "new"));
}

#[tokio::test(start_paused = true)]
async fn a_buffers_worker_ends_with_the_last_handle() {
    struct Worker(Script, Arc<AtomicBool>);
    impl Drop for Worker {
        fn drop(&mut self) {
            self.1.store(true, Ordering::Relaxed);
        }
    }
    impl Service<u32> for Worker {
        type Response = u32;
        type Error = io::Error;
        type Future = <Script as Service<u32>>::Future;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_ready(cx)
        }
        fn call(&mut self, n: u32) -> Self::Future {
            self.0.call(n)
        }
    }
    let ended = Arc::new(AtomicBool::new(false));
    let has_ended = async || {
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        ended.load(Ordering::Relaxed)
    };
    let refused = Err(io::ErrorKind::ConnectionRefused);
    let script = Script::new([Ok(1), refused, Ok(2)]);
    let mut service = steadily().layer(Buffer::new(Worker(script, Arc::clone(&ended)), 4));
    service.ready().await.unwrap().call(1).await.unwrap();
    let mut clone = service.clone();
    let call = service.ready().await.unwrap().call(1);
    drop(service);
    assert!(!has_ended().await, "a clone lives, and a call");
    let last = clone.ready().await.unwrap().call(1);
    drop(clone);
    assert!(!has_ended().await, "two calls are under way");
    call.await.unwrap();
    last.await.unwrap();
    assert!(has_ended().await);
}

#[tokio::test(start_paused = true)]
async fn a_handle_goes_on_after_a_panic_in_call() {
    let panics = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |n: u32| match panics.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("in the first call"),
        1 => ready(Err(io::Error::from(io::ErrorKind::ConnectionRefused))),
        _ => ready(Ok(n)),
    });
    let mut service = steadily().layer(service);
    catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).unwrap_err();
    assert_eq!(service.ready().await.unwrap().call(2).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_clone_leaves_the_template_whole() {
    struct Fragile(Script, Arc<AtomicBool>);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert!(!self.1.swap(false, Ordering::Relaxed), "in clone");
            Self(self.0.clone(), Arc::clone(&self.1))
        }
    }
    impl Service<u32> for Fragile {
        type Response = u32;
        type Error = io::Error;
        type Future = <Script as Service<u32>>::Future;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_ready(cx)
        }
        fn call(&mut self, n: u32) -> Self::Future {
            self.0.call(n)
        }
    }
    let refused = Err(io::ErrorKind::ConnectionRefused);
    let (breaks, script) =
        (Arc::new(AtomicBool::new(true)), Script::new([refused, refused, refused, Ok(7)]));
    let mut service = steadily().layer(Fragile(script, Arc::clone(&breaks)));
    // While the template is made, and while an attempt takes its clone of it.
    catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).unwrap_err();
    let call = service.ready().await.unwrap().call(1);
    breaks.store(true, Ordering::Relaxed);
    let mut call = tokio_test::task::spawn(call);
    catch_unwind(AssertUnwindSafe(|| drop(call.poll()))).unwrap_err();
    drop(call);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_send_retries_on_a_local_set() {
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    let service = service_fn(move |n: u32| {
        count.set(count.get() + 1);
        let refused = count.get() < 3;
        async move {
            if refused { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) } else { Ok(n) }
        }
    });
    let mut service = steadily().layer(service);
    let local = tokio::task::LocalSet::new();
    let answer = local.run_until(async move {
        let call = service.ready().await.unwrap().call(7);
        tokio::task::spawn_local(call).await.unwrap()
    });
    assert_eq!((answer.await.unwrap(), calls.get()), (7, 3));
}

#[tokio::test(start_paused = true)]
async fn a_future_outlives_its_handle_and_the_last_instance_dies_with_it() {
    let (counted, log) = Counted::new([1]);
    let mut service = steadily().layer(counted);
    let call = service.ready().await.unwrap().call(7);
    drop(service);
    assert_eq!(log.alive(), 1, "the template");
    assert_eq!(call.await.unwrap(), 7);
    assert_eq!(log.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_makes_one_attempt_calls_the_instance_at_hand() {
    let (counted, log) = Counted::new([1]);
    let layer = RetryLayer::new(RetryConfig::new().attempts(attempts(1))).budget(ample());
    layer.layer(counted).oneshot(7).await.unwrap_err();
    assert_eq!((log.calls(), log.alive()), (vec![("old", 1)], 0));
}

/// Whether a type is `Send`: the inherent constant is there only if it is, and goes before that of
/// the trait.
struct Is<T>(PhantomData<T>);

impl<T: Send> Is<T> {
    const SEND: bool = true;
}

trait OrElse {
    const SEND: bool = false;
}

impl<T> OrElse for Is<T> {}

#[test]
fn the_future_is_send_if_and_only_if_the_service_is() {
    #[derive(Clone)]
    struct Holds<T>(PhantomData<T>);
    impl<T> Service<u32> for Holds<T> {
        type Response = u32;
        type Error = io::Error;
        type Future = Ready<io::Result<u32>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, n: u32) -> Self::Future {
            ready(Ok(n))
        }
    }
    type Call<T> = <Retry<Holds<T>, RetryLayer> as Service<u32>>::Future;
    // A cell is `Send`, not `Sync`.
    const { assert!(Is::<Call<Cell<u8>>>::SEND && Is::<Retry<Holds<Cell<u8>>, RetryLayer>>::SEND) };
    const { assert!(!Is::<Call<Rc<u8>>>::SEND && !Is::<Retry<Holds<Rc<u8>>, RetryLayer>>::SEND) };
}
