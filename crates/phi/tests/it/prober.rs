//! Probes that fill the silence of a peer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use steadfast_core::Ratio;
use steadfast_phi::{
    Detector, DetectorConfig, HeartbeatLayer, Peer, Prober, ProberConfig, Status, SuspectLayer,
};
use steadfast_testkit::{Probe, Readiness, Reply};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{
    BoxError, Layer, Service, ServiceExt, buffer::Buffer, service_fn, util::BoxCloneService,
};

use crate::{MS, peer};

const INTERVAL: Duration = Duration::from_secs(1);

fn config() -> ProberConfig {
    ProberConfig::new(INTERVAL).jitter(Ratio::ZERO).seed(7)
}

fn run<S>(config: ProberConfig, peer: &Peer, service: S) -> (Prober, JoinHandle<()>)
where
    S: Service<u32, Response = u32, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    let prober = Prober::new(config, peer.clone()).unwrap();
    let task = tokio::spawn(prober.run(service, || 7));
    (prober, task)
}

async fn ends(task: JoinHandle<()>) {
    timeout(MS, task).await.expect("at once").expect("without a panic");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_probed_once_in_each_interval_and_is_trusted() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let (prober, task) = run(config(), &peer, HeartbeatLayer::new(peer.clone()).layer(probe));
    sleep(1000 * INTERVAL).await;
    let calls = control.counts().calls;
    assert!((999..=1001).contains(&calls), "{calls}");
    assert_eq!(peer.snapshot().heartbeats, calls, "each answer is one heartbeat");
    assert_eq!(peer.status(), Status::Trusted);
    drop(prober);
    ends(task).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_heard_is_not_probed() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let (prober, task) = run(config(), &peer, HeartbeatLayer::new(peer.clone()).layer(probe));
    sleep(2 * INTERVAL).await;
    let before = control.counts().calls;
    for _ in 0..1000 {
        peer.heartbeat();
        sleep(INTERVAL - 2 * MS).await;
    }
    assert_eq!(control.counts().calls, before);
    sleep(INTERVAL).await;
    assert_eq!(control.counts().calls, before + 1);
    drop(prober);
    ends(task).await;
}

#[tokio::test(start_paused = true)]
async fn chance_takes_from_the_interval_and_never_adds_to_it() {
    let (peer, times) = (peer(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&times);
    let service = service_fn(move |n: u32| {
        noted.lock().unwrap().push(Instant::now());
        async move { Ok::<_, BoxError>(n) }
    });
    let config = config().jitter(Ratio::HALF);
    let (prober, task) = run(config, &peer, HeartbeatLayer::new(peer.clone()).layer(service));
    sleep(500 * INTERVAL).await;
    let times = times.lock().unwrap().clone();
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*least >= INTERVAL / 2 && *least < INTERVAL * 55 / 100, "{least:?}");
    // tokio rounds a timer up to a millisecond.
    assert!(*most <= INTERVAL + MS && *most > INTERVAL * 95 / 100, "{most:?}");
    drop(prober);
    ends(task).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_given_up_and_never_overlaps_the_next() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    control.always(Reply::echo().held());
    let (prober, task) =
        run(config().timeout(300 * MS), &peer, HeartbeatLayer::new(peer.clone()).layer(probe));
    let mut seen = 0;
    for _ in 0..200 {
        sleep(50 * MS).await;
        let counts = control.counts();
        assert!(counts.live_futures <= 1);
        seen = counts.cancelled;
    }
    assert!((9..=10).contains(&seen), "{seen} of ten seconds were given up");
    // One whose limit is longer than the interval is waited for as well.
    task.abort();
    let (slow_prober, slow) = run(
        config().timeout(5 * INTERVAL),
        &peer,
        SuspectLayer::new(peer.clone()).layer(Probe::new()),
    );
    sleep(INTERVAL).await;
    slow.abort();
    drop((prober, slow_prober));
}

#[tokio::test(start_paused = true)]
async fn readiness_stands_inside_the_limit() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    control.always_ready(Readiness::Pending);
    let (prober, task) =
        run(config().timeout(100 * MS), &peer, HeartbeatLayer::new(peer.clone()).layer(probe));
    sleep(5 * INTERVAL).await;
    let counts = control.counts();
    assert!(counts.ready_polls >= 4 && counts.calls == 0, "{counts:?}");
    assert!(counts.live_handles <= 2, "the original is gone, and a clone lives for one probe");
    control.release_readiness();
    sleep(2 * INTERVAL).await;
    assert!(peer.snapshot().heartbeats >= 1);
    drop(prober);
    ends(task).await;
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_user_code_do_not_end_it() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    control.script([Reply::error(), Reply::panic(), Reply::panic_in_call()]);
    control.script_readiness([Readiness::Ready, Readiness::Error, Readiness::Panic]);
    let made = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&made);
    let make = move || {
        assert_ne!(count.fetch_add(1, Ordering::Relaxed), 2, "the maker panics as told");
        7
    };
    let service = HeartbeatLayer::new(peer.clone()).layer(probe);
    let prober = Prober::new(config(), peer.clone()).unwrap();
    let task = tokio::spawn(prober.run(service, make));
    sleep(20 * INTERVAL).await;
    assert!(peer.snapshot().heartbeats >= 12, "{:?} {:?}", peer.snapshot(), control.counts());
    assert_eq!(control.counts().live_futures, 0);
    drop(prober);
    ends(task).await;
    assert_eq!(control.counts().live_handles, 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_as_it_is_given_up_does_not_end_it() {
    struct Bomb(Arc<AtomicU32>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("in drop as told");
        }
    }
    let (peer, given_up) = (peer(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&given_up);
    let service = service_fn(move |_: u32| {
        let bomb = Bomb(Arc::clone(&count));
        async move {
            let _bomb = bomb;
            std::future::pending::<Result<u32, BoxError>>().await
        }
    });
    let (prober, task) = run(config().timeout(100 * MS), &peer, service);
    sleep(INTERVAL * 9 / 2).await;
    assert_eq!(given_up.load(Ordering::Relaxed), 4);
    drop(prober);
    ends(task).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_clone_panics_does_not_end_it() {
    struct Fickle(Arc<AtomicU32>, Peer);
    impl Clone for Fickle {
        fn clone(&self) -> Self {
            assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 2, "the clone panics as told");
            Self(Arc::clone(&self.0), self.1.clone())
        }
    }
    impl Service<u32> for Fickle {
        type Response = u32;
        type Error = BoxError;
        type Future = std::future::Ready<Result<u32, BoxError>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: u32) -> Self::Future {
            self.1.heartbeat();
            std::future::ready(Ok(request))
        }
    }
    let peer = peer();
    let clones = Arc::new(AtomicU32::new(0));
    let (prober, task) = run(config(), &peer, Fickle(Arc::clone(&clones), peer.clone()));
    sleep(10 * INTERVAL).await;
    assert!(peer.snapshot().heartbeats >= 7, "{:?}", peer.snapshot());
    drop(prober);
    ends(task).await;
    assert_eq!(Arc::strong_count(&clones), 1);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_handle_of_it_while_it_waits_and_not_with_those_of_the_peer() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let (prober, task) = run(config(), &peer, HeartbeatLayer::new(peer.clone()).layer(probe));
    let again = prober.clone();
    drop((peer, prober));
    sleep(INTERVAL * 5 / 2).await;
    assert!(!task.is_finished() && control.counts().calls >= 1);
    drop(again);
    ends(task).await;
    assert_eq!((control.counts().live_handles, control.counts().live_futures), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_once_if_no_handle_is_left_when_it_starts() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let service = HeartbeatLayer::new(peer.clone()).layer(probe);
    let run = Prober::new(config(), peer.clone()).unwrap().run(service, || 7);
    ends(tokio::spawn(run)).await;
    assert_eq!((control.counts().calls, control.counts().live_handles), (0, 0));
}

#[cfg(feature = "tracing")]
#[test]
fn it_warns_if_it_never_probed_for_want_of_a_handle_and_not_when_it_ends_in_time() {
    let run = |keeps_until: Duration| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let peer = Peer::new(DetectorConfig::default().named("members")).unwrap();
            let service = HeartbeatLayer::new(peer.clone()).layer(Probe::new());
            let prober = Prober::new(config(), peer).unwrap();
            let run = prober.run(service, || 7);
            let keeps = async move {
                sleep(keeps_until).await;
                drop(prober);
            };
            if keeps_until.is_zero() {
                keeps.await;
                run.await;
            } else {
                tokio::join!(run, keeps);
            }
        });
    };
    let of_probers = |line: &String| line.contains("prober");
    let warned = |keeps_until| {
        let events = steadfast_testkit::events(|| run(keeps_until));
        events.into_iter().filter(of_probers).collect::<Vec<_>>()
    };
    let [warning] = warned(Duration::ZERO).try_into().unwrap();
    assert!(warning.starts_with("WARN steadfast::phi"), "{warning}");
    assert!(warning.contains("phi=members"), "{warning}");
    assert!(warned(MS).is_empty() && warned(5 * INTERVAL).is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_future_of_a_handle_ends_with_it_on_any_thread() {
    let peer = peer();
    let prober = Prober::new(config(), peer.clone()).unwrap();
    let tasks = [0; 8].map(|_| {
        let service = HeartbeatLayer::new(peer.clone()).layer(Probe::new());
        tokio::spawn(prober.run(service, || 7))
    });
    sleep(5 * INTERVAL).await;
    assert!(peer.snapshot().heartbeats <= 8 + 5 * 8 && tasks.iter().all(|t| !t.is_finished()));
    std::thread::spawn(move || drop(prober)).join().unwrap();
    for task in tasks {
        ends(task).await;
    }
}

/// The worker of a `Buffer` keeps a service of its own, and with it handles of the peer.
#[tokio::test(start_paused = true)]
async fn it_ends_through_a_buffer() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let service = Buffer::new(HeartbeatLayer::new(peer.clone()).layer(probe), 4);
    let (prober, task) = run(config(), &peer, service);
    sleep(5 * INTERVAL).await;
    assert!((4..=5).contains(&peer.snapshot().heartbeats));
    drop(prober);
    ends(task).await;
    sleep(MS).await;
    assert_eq!(control.counts().live_handles, 0, "the worker is gone as well");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_handle_while_a_probe_hangs_or_waits_for_readiness() {
    for readiness in [Readiness::Ready, Readiness::Pending] {
        let (peer, probe) = (peer(), Probe::new());
        let control = probe.control();
        control.always(Reply::echo().held());
        control.always_ready(readiness);
        let config = config().timeout(3600 * INTERVAL);
        let (prober, task) = run(config, &peer, HeartbeatLayer::new(peer.clone()).layer(probe));
        sleep(2 * INTERVAL).await;
        assert!(!task.is_finished());
        drop(prober);
        ends(task).await;
        assert_eq!((control.counts().live_handles, control.counts().live_futures), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_through_a_stack_of_both_layers_that_is_boxed() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    let inner = HeartbeatLayer::new(peer.clone()).layer(probe);
    let service = BoxCloneService::new(SuspectLayer::new(peer.clone()).layer(inner));
    let (prober, task) = run(config(), &peer, service);
    sleep(3 * INTERVAL).await;
    assert!(!task.is_finished() && peer.snapshot().heartbeats >= 2);
    drop(prober);
    ends(task).await;
    assert_eq!(control.counts().live_handles, 0);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_detector_forgets_the_peer() {
    let detector = Detector::new(DetectorConfig::default()).unwrap();
    let service = service_fn(|n: u32| async move { Ok::<_, BoxError>(n) });
    let probed = |key: &'static str| {
        let peer = detector.peer(&key).unwrap();
        let service = HeartbeatLayer::new(peer.clone()).layer(service);
        let prober = Prober::new(config(), peer).unwrap();
        let task = tokio::spawn(prober.run(service, || 1));
        (prober, task)
    };
    let ((_a, a), (b_prober, b)) = (probed("a"), probed("b"));
    sleep(5 * INTERVAL).await;
    assert!(!a.is_finished() && detector.get(&"a").unwrap().snapshot().heartbeats >= 4);
    assert!(detector.forget(&"a"));
    sleep(INTERVAL + 2 * MS).await;
    assert!(a.is_finished() && !b.is_finished(), "the one that was forgotten");
    drop(b_prober);
    ends(b).await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_key_that_is_watched_again_is_another_peer() {
    let detector = Detector::new(DetectorConfig::default()).unwrap();
    let peer = detector.peer(&1).unwrap();
    let service = service_fn(|n: u32| async move { Ok::<_, BoxError>(n) });
    let service = HeartbeatLayer::new(peer.clone()).layer(service);
    let prober = Prober::new(config(), peer).unwrap();
    let task = tokio::spawn(prober.run(service, || 1));
    sleep(INTERVAL).await;
    detector.forget(&1);
    let _again = detector.peer(&1).unwrap();
    sleep(2 * INTERVAL).await;
    assert!(task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_is_dropped_leaves_nothing_behind_at_any_point() {
    let (peer, probe) = (peer(), Probe::new());
    let control = probe.control();
    control.always(Reply::echo().held());
    let service = HeartbeatLayer::new(peer.clone()).layer(probe);
    let unused = Prober::new(config(), peer.clone()).unwrap();
    drop(unused.run(service.clone(), || 7));
    drop(unused);
    for after in [Duration::ZERO, INTERVAL / 2, INTERVAL * 3 / 2, INTERVAL * 5 / 2] {
        let (_prober, task) = run(config(), &peer, service.clone());
        sleep(after).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((control.counts().live_futures, control.counts().live_handles), (0, 1));
    }
}

/// Silence grows in a peer that is asked nothing; a prober keeps it trusted.
#[tokio::test(start_paused = true)]
async fn an_idle_peer_is_convicted_without_a_prober_and_trusted_with_one() {
    let (alone, probed) = (peer(), peer());
    let layer = HeartbeatLayer::new(probed.clone());
    let (_prober, task) = run(config(), &probed, layer.layer(Probe::new()));
    let mut alone_service = HeartbeatLayer::new(alone.clone()).layer(Probe::new());
    for _ in 0..20 {
        alone_service.ready().await.unwrap().call(1).await.unwrap();
        sleep(INTERVAL).await;
    }
    sleep(3600 * INTERVAL).await;
    assert_eq!((alone.status(), probed.status()), (Status::Convicted, Status::Trusted));
    task.abort();
}

#[test]
fn what_cannot_work_is_refused() {
    let refused = |config: ProberConfig| {
        let error = Prober::new(config, peer()).unwrap_err();
        (error.field, error.value)
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(refused(ProberConfig::new(Duration::ZERO)), ("interval", "0ns".into()));
    assert_eq!(refused(ProberConfig::new(hour + MS)), ("interval", "3600.001s".into()));
    assert_eq!(refused(config().timeout(Duration::ZERO)), ("timeout", "0ns".into()));
    assert_eq!(refused(config().timeout(2 * hour)), ("timeout", "7200s".into()));
}
