//! Keys, clocks, runtimes and threads that mean no good.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use steadfast_phi::{
    Detector, DetectorConfig, Distribution, Margin, MarginConfig, PhiConfig, Status, Transition,
    Transitions,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{advance, sleep, timeout},
};

use crate::MS;

#[expect(clippy::disallowed_methods, reason = "threads outside of every runtime")]
fn stand_still(span: Duration) {
    thread::sleep(span);
}

/// Convicted after `deadline` of silence, suspected after half of it.
fn detector<K: Eq + Hash + Clone>(deadline: Duration, capacity: usize) -> Detector<K> {
    let config = MarginConfig::last_arrival(10 * MS, Margin::Constant(deadline));
    let capacity = NonZeroUsize::new(capacity).unwrap();
    Detector::new(DetectorConfig::new(config).capacity(capacity)).unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Ends a test that hangs.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

async fn until_convicted<K: Clone + PartialEq>(stream: &mut Transitions<K>, key: &K) {
    loop {
        let Transition { peer, to, .. } = stream.next().await.unwrap();
        if peer == *key && to == Status::Convicted {
            return;
        }
    }
}

thread_local! {
    /// What panics on this thread.
    static PANICS: Cell<&'static str> = const { Cell::new("") };
}

#[derive(Debug)]
struct Mine(u32);

fn may_panic(what: &str) {
    assert_ne!(PANICS.get(), what, "as it was told to");
}

impl Hash for Mine {
    fn hash<H: Hasher>(&self, state: &mut H) {
        may_panic("hash");
        self.0.hash(state);
    }
}

impl PartialEq for Mine {
    fn eq(&self, other: &Self) -> bool {
        may_panic("eq");
        self.0 == other.0
    }
}

impl Eq for Mine {}

impl Clone for Mine {
    fn clone(&self) -> Self {
        may_panic("clone");
        Self(self.0)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        if !thread::panicking() {
            may_panic("drop");
        }
    }
}

#[test]
fn a_key_that_panics_takes_no_place_and_stops_no_other() {
    const CAPACITY: u32 = 40;
    let detector = detector::<Mine>(400 * MS, CAPACITY as usize);
    for n in 0..CAPACITY / 2 {
        detector.heartbeat(&Mine(n)).unwrap();
    }
    for what in ["hash", "eq", "clone", "drop"] {
        for n in 0..CAPACITY / 2 + 1 {
            let key = std::mem::ManuallyDrop::new(Mine(n));
            PANICS.set(what);
            for _ in 0..3 {
                let _ = catch_unwind(AssertUnwindSafe(|| detector.heartbeat(&key)));
                let _ = catch_unwind(AssertUnwindSafe(|| drop(detector.peer(&key))));
                let _ = catch_unwind(AssertUnwindSafe(|| drop(detector.dead())));
                let _ = catch_unwind(AssertUnwindSafe(|| drop(detector.suspicions())));
                let _ = catch_unwind(AssertUnwindSafe(|| detector.forget(&key)));
            }
            PANICS.set("");
        }
    }
    // All places are there.
    for n in 0..CAPACITY {
        detector.forget(&Mine(n));
    }
    assert!(detector.is_empty());
    for n in 0..CAPACITY {
        detector.heartbeat(&Mine(n)).unwrap();
    }
    assert!(detector.heartbeat(&Mine(CAPACITY)).is_err());
    assert_eq!(detector.len(), CAPACITY as usize);
}

/// A key whose every part uses the detector.
struct Curious(u32, Detector<u32>, Arc<AtomicUsize>);

impl Curious {
    fn look(&self) {
        self.2.fetch_add(1, Ordering::Relaxed);
        let _ = self.1.heartbeat(&(self.0 + 1000));
        self.1.forget(&(self.0 + 1000));
        let _ = (self.1.dead(), self.1.suspicions(), self.1.snapshot(), self.1.phi(&self.0));
        drop(self.1.transitions());
    }
}

impl Hash for Curious {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.look();
        self.0.hash(state);
    }
}

impl PartialEq for Curious {
    fn eq(&self, other: &Self) -> bool {
        self.look();
        self.0 == other.0
    }
}

impl Eq for Curious {}

impl Clone for Curious {
    fn clone(&self) -> Self {
        self.look();
        Self(self.0, self.1.clone(), Arc::clone(&self.2))
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.look();
    }
}

/// A key that uses the very detector it is a key of.
#[derive(Clone)]
struct Own(u32, std::sync::Weak<std::sync::OnceLock<Detector<Own>>>, Arc<AtomicBool>);

impl Own {
    fn look(&self) {
        // Not within itself.
        if self.2.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(detector) = self.1.upgrade()
            && let Some(detector) = detector.get()
        {
            let other = Self(self.0 + 1000, self.1.clone(), Arc::clone(&self.2));
            let _ = detector.heartbeat(&other);
            let _ = (detector.dead(), detector.suspicions(), detector.snapshot());
            detector.forget(&other);
            let _ = detector.transitions().next().now_or_never();
        }
        self.2.store(false, Ordering::Relaxed);
    }
}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.look();
        self.0.hash(state);
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.look();
        self.0 == other.0
    }
}

impl Eq for Own {}

impl Drop for Own {
    fn drop(&mut self) {
        self.look();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_may_use_the_detector_in_its_hash_comparison_clone_and_drop() {
    let (inner, looks) = (detector::<u32>(400 * MS, 5000), Arc::new(AtomicUsize::new(0)));
    let curious = detector::<Curious>(400 * MS, 100);
    let own = Arc::new(std::sync::OnceLock::new());
    let _ = own.set(detector::<Own>(400 * MS, 5000));
    let (owns, is_inside) = (own.get().unwrap(), Arc::new(AtomicBool::new(false)));
    let (mut one, mut two) = (curious.transitions(), owns.transitions());
    for _ in 0..3 {
        for n in 0..50 {
            curious.heartbeat(&Curious(n, inner.clone(), Arc::clone(&looks))).unwrap();
            owns.heartbeat(&Own(n, Arc::downgrade(&own), Arc::clone(&is_inside))).unwrap();
        }
        advance(100 * MS).await;
    }
    advance(50 * MS).await;
    for _ in 0..100 {
        drop((one.next().await, two.next().await));
    }
    for n in 0..50 {
        assert!(curious.forget(&Curious(n, inner.clone(), Arc::clone(&looks))));
        assert!(owns.forget(&Own(n, Arc::downgrade(&own), Arc::clone(&is_inside))));
    }
    assert!(curious.is_empty() && owns.is_empty());
    assert!(looks.load(Ordering::Relaxed) > 300);
}

#[test]
fn a_refusal_makes_no_room_for_the_next() {
    let detector = detector::<u32>(400 * MS, 2);
    for key in 0..10 {
        assert_eq!(detector.heartbeat(&key).is_ok(), key < 2, "{key}");
    }
    assert_eq!(detector.len(), 2);
}

#[test]
fn eight_threads_that_add_and_forget_never_exceed_the_capacity() {
    const CAPACITY: usize = 100;
    let detector = Arc::new(detector::<usize>(400 * MS, CAPACITY));
    for round in 0..20 {
        let (barrier, added) = (Barrier::new(8), AtomicUsize::new(0));
        thread::scope(|scope| {
            for n in 0..8 {
                let (detector, barrier, added) = (&detector, &barrier, &added);
                scope.spawn(move || {
                    barrier.wait();
                    for key in 0..50 {
                        let key = round * 1_000_000 + n * 1000 + key;
                        added
                            .fetch_add(usize::from(detector.peer(&key).is_ok()), Ordering::Relaxed);
                        assert!(detector.snapshot().peers <= CAPACITY);
                        assert!(detector.len() <= CAPACITY);
                    }
                });
            }
        });
        assert_eq!((detector.len(), added.into_inner()), (CAPACITY, CAPACITY));
        thread::scope(|scope| {
            for n in 0..8 {
                let detector = &detector;
                scope.spawn(move || {
                    for key in 0..50 {
                        detector.forget(&(round * 1_000_000 + n * 1000 + key));
                    }
                });
            }
        });
        assert!(detector.is_empty());
    }
}

#[test]
fn a_runtime_that_shuts_down_takes_no_timer_from_a_stream_in_another() {
    let detector = detector(300 * MS, 10);
    detector.heartbeat(&1).unwrap();
    let (mut here, mut there) = (detector.transitions(), detector.transitions());
    let lives = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let convicted = lives.spawn(async move { until_convicted(&mut here, &1).await });
    stand_still(50 * MS);
    // The timer is the other runtime's now.
    let dies = runtime();
    dies.block_on(async { assert!(there.next().now_or_never().is_none()) });
    drop(dies);
    detector.heartbeat(&1).unwrap();
    lives.block_on(within(convicted)).unwrap();
    drop(there);
}

#[test]
fn a_heartbeat_outside_of_every_runtime_survives_the_end_of_the_timers() {
    let detector = detector(300 * MS, 10);
    detector.heartbeat(&1).unwrap();
    let mut stream = detector.transitions();
    let dies = runtime();
    dies.block_on(async { assert!(stream.next().now_or_never().is_none()) });
    drop(dies);
    for _ in 0..20 {
        detector.heartbeat(&1).unwrap();
        detector.heartbeat(&2).unwrap();
        stand_still(10 * MS);
    }
    runtime().block_on(within(until_convicted(&mut stream, &1)));
}

#[test]
fn threads_outside_of_every_runtime_beat_and_the_stream_in_one_hears_the_silence() {
    let detector = detector(200 * MS, 10);
    let mut stream = detector.transitions();
    thread::scope(|scope| {
        for n in 0..4 {
            let detector = &detector;
            scope.spawn(move || {
                for _ in 0..50 * (n + 1) {
                    detector.heartbeat(&n).unwrap();
                    stand_still(2 * MS);
                }
            });
        }
        runtime().block_on(within(async {
            let mut left = 4;
            while left > 0 {
                left -= usize::from(stream.next().await.unwrap().to == Status::Convicted);
            }
        }));
    });
    let mut dead = detector.dead();
    dead.sort_unstable();
    assert_eq!(dead, [0, 1, 2, 3]);
}

#[test]
fn transitions_that_heartbeats_and_the_timer_race_for_form_one_chain_in_the_order_of_time() {
    const PEERS: usize = 4;
    let detector = detector(2 * MS, 10);
    let mut stream = detector.transitions();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (detector, is_over) = (&detector, &is_over);
            scope.spawn(move || {
                let mut random = thread + 1;
                while !is_over.load(Ordering::Relaxed) {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                    detector.heartbeat(&((random >> 60) as usize % PEERS)).unwrap();
                    // About the deadlines, and the lock.
                    match random >> 33 & 3 {
                        0 => stand_still(Duration::from_micros(random >> 40 & 1023)),
                        1 => stand_still(Duration::from_micros(1000)),
                        2 => stand_still(2 * MS),
                        _ => thread::yield_now(),
                    }
                }
            });
        }
        let mut last = [(Status::Unknown, None); PEERS];
        runtime().block_on(within(async {
            for _ in 0..6000 {
                let Transition { peer, from, to, at, .. } = stream.next().await.unwrap();
                let (status, before) = last[peer];
                assert_eq!(from, status, "peer {peer}");
                assert_ne!(from, to, "peer {peer}");
                assert!(before.is_none_or(|before| before <= at), "peer {peer}, {before:?} {at:?}");
                last[peer] = (to, Some(at));
            }
        }));
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(stream.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_made_before_the_late_timer_rings_notes_the_pause() {
    let detector = detector(400 * MS, 10);
    let mut stream = detector.transitions();
    detector.heartbeat(&1).unwrap();
    while stream.next().now_or_never().is_some() {}
    // Stood still: no timer rings meanwhile.
    let mut jump = std::pin::pin!(advance(5000 * MS));
    let _ = jump.as_mut().now_or_never();
    drop(detector.transitions());
    assert_eq!(detector.status(&1), Status::Trusted);
    assert_eq!(detector.snapshot().local_pauses, 1);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_at_earlier_instants_change_nothing_that_was_heard() {
    let detector = detector(400 * MS, 10);
    detector.heartbeat(&1).unwrap();
    advance(Duration::from_secs(100)).await;
    let mut stream = detector.transitions();
    detector.heartbeat(&1).unwrap();
    // There, the clock goes by itself: it is a hundred seconds behind.
    let behind = detector.clone();
    thread::spawn(move || {
        for _ in 0..10 {
            behind.heartbeat(&1).unwrap();
            behind.heartbeat(&2).unwrap();
            assert_eq!(behind.phi(&1), Some(0.0));
        }
        assert_eq!(behind.snapshot().local_pauses, 0);
        let silence = behind.get(&1).unwrap().snapshot().silence;
        assert_eq!(silence, Some(Duration::ZERO));
    })
    .join()
    .unwrap();
    let convict_at = detector.get(&1).unwrap().convict_at().unwrap();
    let start = steadfast_core::TimeSource::Tokio.now();
    assert_eq!(convict_at - start, 400 * MS);
    until_convicted(&mut stream, &1).await;
    assert_eq!(steadfast_core::TimeSource::Tokio.now() - start, 400 * MS);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_decided_by_the_instant_at_every_threshold_of_every_distribution() {
    let distributions = [Distribution::Normal, Distribution::Exponential, Distribution::Logistic];
    for distribution in distributions {
        for threshold in [0.1, 0.3, 1.0, 5.5, 8.0, 12.7, 16.0, 31.0, 77.7, 150.0, 300.0] {
            for share in [0.25, 0.5, 1.0] {
                let phi = PhiConfig::new().distribution(distribution).threshold(threshold);
                let config = DetectorConfig::new(phi).suspect(share);
                let detector = Detector::new(config).unwrap();
                for _ in 0..20 {
                    detector.heartbeat(&1).unwrap();
                    sleep(97 * MS).await;
                }
                let mut stream = detector.transitions();
                detector.heartbeat(&1).unwrap();
                let at = detector.get(&1).unwrap().convict_at().unwrap();
                until_convicted(&mut stream, &1).await;
                let late = steadfast_core::TimeSource::Tokio.now() - at;
                assert!(late <= MS, "{distribution:?} {threshold} {share}: {late:?}");
                assert_eq!(detector.snapshot().local_pauses, 0);
                assert!(stream.next().now_or_never().is_none());
            }
        }
    }
}
