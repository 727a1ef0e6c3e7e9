//! What is seen only from within: how often the timer rings, and what a ring finds.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::AtomicU32,
    task::{Context, Wake, Waker},
    thread,
};

use futures::{FutureExt, StreamExt};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Sleep, sleep},
};

use super::*;
use crate::{DetectorConfig, Margin, MarginConfig, transitions::Transitions};

const MS: Duration = Duration::from_millis(1);

/// Convicted after `silence`, suspected after half of it.
fn hub(silence: Duration) -> Arc<Hub<u32>> {
    let config = MarginConfig::last_arrival(silence / 4, Margin::Constant(silence));
    Arc::new(Hub::new(DetectorConfig::new(config).check().expect("in range")))
}

fn beat(hub: &Hub<u32>, key: u32) {
    hub.heartbeat_of(&key, Heartbeat::new()).expect("there is room");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// What is there without waiting; the timer is set then.
fn drain(transitions: &mut Transitions<u32>) -> usize {
    std::iter::from_fn(|| transitions.next().now_or_never()).count()
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Heartbeats move the timer on before it rings. A ring would cost the runtime's thread a look, and
/// a task its waking where what is filed by then looks due.
#[tokio::test(start_paused = true)]
async fn in_an_hour_of_a_thousand_peers_that_beat_the_timer_never_rings() {
    let hub = hub(4000 * MS);
    let mut transitions = Transitions::new(Arc::clone(&hub));
    (0..1000).for_each(|key| beat(&hub, key));
    assert_eq!(drain(&mut transitions), 1000);
    let reader = tokio::spawn(async move { transitions.next().await.expect("no end").to });
    for step in 0..50 * 3600 {
        (step % 50..1000).step_by(50).for_each(|key| beat(&hub, key));
        sleep(20 * MS).await;
    }
    assert_eq!(hub.timer.rings.load(Ordering::Relaxed), 0);
    assert_eq!(reader.await.expect("no panic"), Status::Suspected);
    let rings = hub.timer.rings.load(Ordering::Relaxed);
    assert!((1..=8).contains(&rings), "{rings}: it was set to what was filed a while ago");
}

/// A timer of a runtime, whose waker does something as the runtime shuts down.
struct AtShutdown<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for AtShutdown<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Tokio marks a runtime as shut down, and then ends its timers one by one: in between a timer is
/// there that panics when it is polled.
#[test]
fn a_ring_that_is_answered_while_the_runtime_shuts_down_wakes_the_readers_and_does_not_panic() {
    /// So many wakers are woken together: the first are before the hub's timer is ended.
    const BATCH: usize = 64;
    let (hub, woken) = (hub(3_600_000 * MS), Arc::new(Woken::default()));
    let mut transitions = Transitions::new(Arc::clone(&hub));
    beat(&hub, 1);
    let runtime = runtime();
    let of_hub = Arc::clone(&hub);
    let answered = Arc::new(AtomicU32::new(0));
    let noted = Arc::clone(&answered);
    let at_shutdown = Waker::from(Arc::new(AtShutdown(move || {
        // As a thread that moves the timer, and has it when it rings.
        of_hub.timer.with_alarm(|alarm| {
            let alarm = alarm.as_ref().expect("set");
            noted.fetch_add(u32::from(!alarm.is_orphaned()), Ordering::Relaxed);
            of_hub.timer.ring();
        });
    })));
    let mut sleeps: Vec<Pin<Box<Sleep>>> = Vec::new();
    runtime.block_on(async {
        drain(&mut transitions);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        sleeps.extend((0..BATCH).map(|_| Box::pin(sleep(1000 * MS))));
        for sleep in &mut sleeps {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(&at_shutdown)).is_pending());
        }
    });
    drop(runtime);
    assert!(answered.load(Ordering::Relaxed) > 0, "some came while it was not ended yet");
    assert!(woken.0.load(Ordering::Relaxed) >= 1, "to set the timer in its own runtime");
}

#[test]
fn a_stream_that_is_polled_outside_of_every_runtime_leaves_the_others_awake() {
    let (hub, woken) = (hub(40 * MS), Arc::new(Woken::default()));
    let mut transitions = Transitions::new(Arc::clone(&hub));
    beat(&hub, 1);
    let runtime = runtime();
    runtime.block_on(async {
        drain(&mut transitions);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    });
    let other = Arc::clone(&hub);
    let outside = thread::spawn(move || drain(&mut Transitions::new(other)));
    assert!(outside.join().is_err());
    assert!(woken.0.load(Ordering::Relaxed) >= 1, "to set the timer again");
    runtime.block_on(async {
        let next = tokio::time::timeout(1000 * MS, transitions.next()).await;
        assert_eq!(next.expect("in time").expect("no end").to, Status::Suspected);
    });
}

#[test]
fn a_ring_while_a_reader_that_leaves_has_the_alarm_wakes_the_reader_that_came_meanwhile() {
    let (hub, woken) = (hub(3_600_000 * MS), Arc::new(Woken::default()));
    let mut transitions = Transitions::new(Arc::clone(&hub));
    beat(&hub, 1);
    runtime().block_on(async {
        drain(&mut transitions);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        hub.timer.stop(|| {
            hub.timer.ring();
            true
        });
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_timer_in_a_runtime_that_is_not_driven_is_missed_by_the_first_that_asks() {
    let config = MarginConfig::last_arrival(25 * MS, Margin::Constant(100 * MS));
    let config = DetectorConfig::new(config).local_pause(50 * MS).check().expect("in range");
    let (hub, woken) = (Arc::new(Hub::new(config)), Arc::new(Woken::default()));
    let [mut here, mut there] = [0; 2].map(|_| Transitions::new(Arc::clone(&hub)));
    let lives = Builder::new_multi_thread().worker_threads(1).enable_time().build();
    let (lives, idle) = (lives.expect("a runtime"), runtime());
    lives.block_on(async {
        beat(&hub, 1);
        drain(&mut here);
        let waker = Waker::from(Arc::clone(&woken));
        assert!(here.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    });
    idle.block_on(async { drain(&mut there) });
    lives.block_on(async { sleep(300 * MS).await });
    assert_eq!(woken.0.load(Ordering::Relaxed), 0, "the timer is the idle runtime's");
    let peer = hub.with(&1, Arc::clone).expect("watched");
    assert_eq!((hub.status(&peer), hub.timer.pauses()), (Status::Trusted, 1));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "to set it in a runtime that is driven");
    lives.block_on(async {
        for to in [Status::Suspected, Status::Convicted] {
            let next = tokio::time::timeout(20_000 * MS, here.next()).await;
            assert_eq!(next.expect("in time").expect("no end").to, to);
        }
    });
}

/// A key that does something when it is dropped. Its clones do not.
struct AtDrop(u32, Option<Arc<dyn Fn() + Send + Sync>>);

impl Clone for AtDrop {
    fn clone(&self) -> Self {
        Self(self.0, None)
    }
}

impl PartialEq for AtDrop {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for AtDrop {}

impl Hash for AtDrop {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for AtDrop {
    fn drop(&mut self) {
        if let Some(act) = &self.1 {
            act();
        }
    }
}

/// Forgets a peer whose key does `act`, and has all that the map still keeps of it dropped: the
/// heap has the last of it.
fn leave_in_the_heap(
    hub: &Hub<AtDrop>,
    transitions: &mut Transitions<AtDrop>,
    act: impl Fn() + Send + Sync + 'static,
) {
    let act: Arc<dyn Fn() + Send + Sync> = Arc::new(act);
    let make = || Watched::new(AtDrop(9, Some(Arc::clone(&act))), &hub.settings, 0);
    let index = hub.index.as_ref().expect("of many");
    let (peer, _) = index.add(index.hash(&AtDrop(9, None)), &AtDrop(9, None), make).expect("room");
    hub.timer.telemetry.added();
    hub.heartbeat(&peer, Heartbeat::new());
    while transitions.next().now_or_never().is_some() {}
    assert!(hub.forget(&AtDrop(9, None)));
    for key in 1000..5000 {
        hub.peer(&AtDrop(key, None)).expect("room");
        hub.forget(&AtDrop(key, None));
    }
    assert_eq!(Arc::strong_count(&peer), 2, "this one, and the heap's");
}

fn many(silence: Duration) -> Arc<Hub<AtDrop>> {
    let config = MarginConfig::last_arrival(silence / 4, Margin::Constant(silence));
    Arc::new(Hub::new(DetectorConfig::new(config).check().expect("in range")))
}

#[test]
fn a_key_whose_last_is_dropped_as_the_timer_is_set_may_use_the_detector() {
    let (done, is_done) = std::sync::mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let hub = many(1000 * MS);
            let mut transitions = Transitions::new(Arc::clone(&hub));
            let used = Arc::new(AtomicU32::new(0));
            let (weak, noted) = (Arc::downgrade(&hub), Arc::clone(&used));
            leave_in_the_heap(&hub, &mut transitions, move || {
                let Some(hub) = weak.upgrade() else { return };
                hub.heartbeat_of(&AtDrop(1, None), Heartbeat::new()).expect("room");
                drop(Transitions::new(Arc::clone(&hub)).next().now_or_never());
                noted.fetch_add(1, Ordering::Relaxed);
            });
            while transitions.next().now_or_never().is_some() {}
            assert_eq!(used.load(Ordering::Relaxed), 1);
            let next = tokio::time::timeout(10_000 * MS, transitions.next()).await;
            assert_eq!(next.expect("in time").expect("no end").peer.0, 1);
        });
        done.send(()).expect("it waits");
    });
    is_done.recv_timeout(20_000 * MS).expect("no deadlock, no panic");
}

#[test]
fn a_key_that_panics_as_it_is_swept_costs_no_timer_and_no_heartbeat() {
    let (hub, woken) = (many(1000 * MS), Arc::new(Woken::default()));
    let mut transitions = Transitions::new(Arc::clone(&hub));
    let panics = || assert!(thread::panicking(), "a key that panics");
    runtime().block_on(async {
        leave_in_the_heap(&hub, &mut transitions, panics);
        // By a reader, which takes it from the top.
        while transitions.next().now_or_never().is_some() {}
        leave_in_the_heap(&hub, &mut transitions, panics);
        for key in 0..200 {
            let key = AtDrop(key, None);
            hub.heartbeat_of(&key, Heartbeat::new()).expect("room");
            hub.forget(&key);
        }
        let places = hub.schedule.audit();
        assert!(places.iter().all(|(_, garbage, _)| *garbage < 64), "{places:?}");
        hub.heartbeat_of(&AtDrop(1, None), Heartbeat::new()).expect("room");
        while transitions.next().now_or_never().is_some() {}
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        let next = tokio::time::timeout(10_000 * MS, transitions.next()).await;
        assert_eq!(next.expect("in time").expect("no end").to, Status::Suspected);
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

/// A task that waits for a trial, one that waits for the peer to be trusted, one that reads.
#[tokio::test(start_paused = true)]
async fn wakers_that_panic_cost_the_others_no_wake_and_no_earlier_timer() {
    let hub = hub(1000 * MS);
    let mut transitions = Transitions::new(Arc::clone(&hub));
    beat(&hub, 1);
    sleep(5000 * MS).await;
    beat(&hub, 2);
    sleep(5000 * MS).await;
    while transitions.next().now_or_never().is_some() {}
    // No deadline is left, and so no timer: the next one is early.
    let peer = hub.with(&1, Arc::clone).expect("watched");
    assert_eq!(hub.status(&peer), Status::Convicted);
    let now = CLOCK.now();
    let _taken = peer.take_trial(now, 1000 * MS);
    let (trial, trusted) = (peer.join(), hub.waiters.join());
    let panics = Waker::from(Arc::new(Panics));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    trial.register(&panics);
    trusted.register(&panics);
    assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    let beaten = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| beat(&hub, 1)));
    assert!(beaten.is_err(), "the panic is the waker's");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "the reader is woken all the same");
    let next = transitions.next().now_or_never().expect("queued").expect("no end");
    assert_eq!((next.peer, next.to), (1, Status::Suspected));
    let next = tokio::time::timeout(2000 * MS, transitions.next()).await;
    assert_eq!(next.expect("in time").expect("no end").to, Status::Convicted);
}

/// Beats with deadlines that come nearer and go off, forgets and adds again, reads and sets the
/// timer.
fn storm(hub: &Arc<Hub<u32>>, peers: u32, mut random: u64, is_over: &AtomicU32) {
    let mut transitions = Transitions::new(Arc::clone(hub));
    while is_over.load(Ordering::Relaxed) == 0 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let key = (random >> 40) as u32 % peers;
        match random >> 59 {
            0..3 => drop(hub.forget(&key)),
            3 => {
                // One that another thread may forget meanwhile.
                let peer = hub.peer(&key).expect("room");
                hub.heartbeat(&peer, Heartbeat::new());
            }
            // Quick heartbeats bring the deadline nearer.
            4..16 => (0..6).for_each(|_| beat(hub, key)),
            16 => drop(transitions.next().now_or_never()),
            _ => beat(hub, key),
        }
        if random >> 33 & 63 == 0 {
            thread::yield_now();
        }
    }
}

/// Ends the storm.
struct Over<'a>(&'a AtomicU32);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
    }
}

/// Each place in the heaps is a peer's, or garbage that is counted.
fn audit(hub: &Hub<u32>) {
    let is_filed = |peer: &&Arc<Watched<u32>>| lock(&peer.state).filed < NEVER;
    let peers = hub.all().iter().filter(is_filed).count();
    let places = hub.schedule.audit();
    assert!(places.iter().all(|(counted, garbage, _)| counted == garbage), "{places:?}");
    assert_eq!(places.iter().map(|(_, _, filed)| filed).sum::<usize>(), peers, "{places:?}");
}

#[test]
fn no_storm_of_threads_loses_a_peer_from_the_schedule_or_miscounts_its_garbage() {
    const ROUNDS: u32 = 12;
    let phi = crate::PhiConfig::new()
        .distribution(crate::Distribution::Exponential)
        .first_interval(MS)
        .window(4);
    // This process may well stand still on a machine that is busy.
    let config = DetectorConfig::new(phi).local_pause(3_600_000 * MS);
    for round in 0..ROUNDS {
        // Few peers meet at their locks, and many are of many heaps.
        let (peers, capacity) = if round % 2 == 0 { (8, 256) } else { (200, 1024) };
        let capacity = std::num::NonZeroUsize::new(capacity).expect("above zero");
        let hub = Arc::new(Hub::new(config.clone().capacity(capacity).check().expect("in range")));
        let (mut transitions, is_over) = (Transitions::new(Arc::clone(&hub)), AtomicU32::new(0));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let mut last = vec![Status::Unknown; peers as usize];
        thread::scope(|scope| {
            for thread in 0..4 {
                let (hub, is_over, handle) = (&hub, &is_over, runtime.handle().clone());
                scope.spawn(move || {
                    let _inside = handle.enter();
                    storm(hub, peers, u64::from(round << 8 | thread), is_over);
                });
            }
            // Also when an assertion fails: the threads would go on.
            let _over = Over(&is_over);
            runtime.block_on(async {
                let end = CLOCK.now() + 120 * MS;
                while CLOCK.now() < end {
                    if let Ok(next) = tokio::time::timeout(10 * MS, transitions.next()).await {
                        let next = next.expect("no end");
                        let before = std::mem::replace(&mut last[next.peer as usize], next.to);
                        // One that came back begins anew.
                        let follows = next.from == before || next.from == Status::Unknown;
                        let is_whole = transitions.missed() == 0;
                        assert!(follows || !is_whole, "after {before:?}: {next:?}");
                    }
                }
            });
        });
        audit(&hub);
        runtime.block_on(async {
            let is_left = |peer: &Watched<u32>, last: &[Status]| {
                let is_known = hub.status(peer) != Status::Unknown;
                is_known && last[peer.key as usize] != Status::Convicted
            };
            // A reader that was starved does not know the last of each: the heaps are audited.
            while transitions.missed() == 0 && hub.all().iter().any(|peer| is_left(peer, &last)) {
                let next = tokio::time::timeout(20_000 * MS, transitions.next()).await;
                let next = next.expect("a peer was lost").expect("no end");
                last[next.peer as usize] = next.to;
            }
        });
        audit(&hub);
    }
}
