//! Many peers, on a paused clock.

use std::{
    collections::HashMap,
    future::poll_fn,
    num::{NonZeroU32, NonZeroUsize},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream as _, StreamExt};
use steadfast_core::TimeSource;
use steadfast_phi::{
    Detector, DetectorConfig, DetectorFull, Heard, Margin, MarginConfig, Peer, Status, Transition,
    Transitions,
};
use tokio::time::{advance, sleep};

const MS: Duration = Duration::from_millis(1);
use Status::{Convicted, Suspected, Trusted, Unknown};

/// Convicted after 400 ms of silence, suspected after 200.
fn config() -> DetectorConfig {
    DetectorConfig::new(MarginConfig::last_arrival(100 * MS, Margin::Constant(400 * MS)))
}

fn detector<K: Eq + std::hash::Hash + Clone>() -> Detector<K> {
    Detector::new(config()).unwrap()
}

fn now() -> Instant {
    TimeSource::Tokio.now()
}

fn change<K>(transition: Transition<K>) -> (K, Status, Status) {
    (transition.peer, transition.from, transition.to)
}

async fn next<K: Clone>(transitions: &mut Transitions<K>) -> (K, Status, Status) {
    change(transitions.next().await.unwrap())
}

/// What is there without waiting.
fn ready<K: Clone>(transitions: &mut Transitions<K>) -> Vec<(K, Status, Status)> {
    std::iter::from_fn(|| transitions.next().now_or_never().map(|next| change(next.unwrap())))
        .collect()
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn every_transition_comes_at_its_instant() {
    let (detector, start) = (detector(), now());
    let mut transitions = detector.transitions();
    assert_eq!(detector.heartbeat(&1).unwrap(), Heard::First);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Transition { from, to, at, phi, .. } = transitions.next().await.unwrap();
        assert!(now() - at <= MS, "{:?} late", now() - at);
        seen.push((from, to, (at - start).as_millis(), (phi * 10.0).round()));
    }
    assert_eq!(
        seen,
        [
            (Unknown, Trusted, 0, 0.0),
            (Trusted, Suspected, 200, 5.0),
            (Suspected, Convicted, 400, 10.0)
        ]
    );
    assert_eq!(detector.dead(), [1]);
    sleep(100 * MS).await;
    // It comes back: suspected, and trusted after two more on time.
    for expected in [Suspected, Suspected, Trusted, Trusted] {
        detector.heartbeat(&1).unwrap();
        assert_eq!(detector.status(&1), expected);
        sleep(50 * MS).await;
    }
    assert_eq!(ready(&mut transitions), [(1, Convicted, Suspected), (1, Suspected, Trusted)]);
    // Late, but not convicted: trusted at once.
    sleep(200 * MS).await;
    assert_eq!(next(&mut transitions).await, (1, Trusted, Suspected));
    detector.heartbeat(&1).unwrap();
    assert_eq!(next(&mut transitions).await, (1, Suspected, Trusted));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_broken_begins_again_and_a_conviction_ends_it() {
    let peer = Peer::new(config().trust_after(NonZeroU32::new(3).unwrap())).unwrap();
    peer.heartbeat();
    sleep(500 * MS).await;
    assert_eq!(peer.status(), Convicted);
    peer.heartbeat();
    let mut statuses = Vec::new();
    for gap in [50, 50, 250, 50, 50, 50] {
        sleep(gap * MS).await;
        peer.heartbeat();
        statuses.push(peer.status());
    }
    assert_eq!(statuses, [Suspected, Suspected, Suspected, Suspected, Suspected, Trusted]);
    sleep(450 * MS).await;
    peer.heartbeat();
    sleep(450 * MS).await;
    assert_eq!(peer.status(), Convicted, "one that owes heartbeats is convicted as any other");
}

#[tokio::test(start_paused = true)]
async fn readers_say_the_same_without_a_stream_and_unknown_peers_are_expected_of_nothing() {
    let detector = detector();
    let silent = detector.peer(&0).unwrap();
    detector.heartbeat(&1).unwrap();
    let peer = detector.get(&1).unwrap();
    assert_eq!(peer.suspect_at(), Some(now() + 200 * MS));
    assert_eq!(peer.convict_at(), Some(now() + 400 * MS));
    for (wait, status) in [(199, Trusted), (1, Suspected), (199, Suspected), (1, Convicted)] {
        advance(wait * MS).await;
        assert_eq!(peer.status(), status);
    }
    assert!((peer.phi() - 1.0).abs() < 1e-9);
    assert_eq!((silent.status(), silent.phi(), silent.convict_at()), (Unknown, 0.0, None));
    assert_eq!(detector.status(&7), Unknown);
    assert_eq!(detector.phi(&7), None);
    let snapshot = detector.snapshot();
    assert_eq!((snapshot.peers, snapshot.unknown, snapshot.convicted), (2, 1, 1));
    let [one, two] = [detector.suspicions(), detector.suspicions()];
    assert_eq!(one.peers, [(1, true)]);
    assert!(one.sequence >= 1 && two.sequence > one.sequence);
}

#[tokio::test(start_paused = true)]
async fn a_full_detector_refuses_new_keys_until_one_is_forgotten() {
    let detector = Detector::new(config().capacity(NonZeroUsize::new(3).unwrap())).unwrap();
    for key in 0..3 {
        detector.heartbeat(&key).unwrap();
    }
    let DetectorFull { capacity, .. } = detector.heartbeat(&3).unwrap_err();
    assert_eq!(capacity, 3);
    assert_eq!(detector.heartbeat(&2).unwrap(), Heard::OnTime);
    assert!(detector.forget(&0) && !detector.forget(&0));
    assert_eq!(detector.heartbeat(&3).unwrap(), Heard::First);
    assert_eq!(detector.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_forgotten_peer_speaks_for_nothing() {
    let detector = detector();
    let mut transitions = detector.transitions();
    detector.heartbeat(&1).unwrap();
    let old = detector.get(&1).unwrap();
    assert_eq!(next(&mut transitions).await, (1, Unknown, Trusted));
    assert!(detector.forget(&1));
    let new = detector.peer(&1).unwrap();
    assert_eq!(new.status(), Unknown);
    old.heartbeat();
    sleep(1000 * MS).await;
    assert_eq!((old.status(), new.status()), (Convicted, Unknown));
    old.heartbeat();
    assert_eq!(ready(&mut transitions), []);
    assert!(detector.dead().is_empty() && detector.suspicions().peers.is_empty());
    assert_eq!(new.heartbeat(), Heard::First);
    assert_eq!(next(&mut transitions).await, (1, Unknown, Trusted));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_silent_peers_are_convicted_within_a_tick_in_the_order_of_their_deadlines() {
    // Between whole milliseconds a paused clock goes up to two of them too far.
    for (step, tick) in [(MS, MS), (Duration::from_micros(7), 2 * MS)] {
        fall_silent(10_000, step, tick).await;
    }
}

async fn fall_silent(peers: u32, step: Duration, tick: Duration) {
    let detector = detector();
    let mut transitions = detector.transitions();
    let mut deadlines = HashMap::new();
    for key in 0..peers {
        detector.heartbeat(&key).unwrap();
        deadlines.insert(key, now() + 400 * MS);
        if key % 100 == 0 {
            advance(step).await;
        }
    }
    let (mut last, mut convicted, mut suspected) = (now(), 0, 0);
    while convicted < peers {
        let Transition { peer, to, at, .. } = transitions.next().await.unwrap();
        if to == Trusted {
            continue;
        }
        assert!(at >= last, "in order");
        last = at;
        assert!(now() - at <= tick, "{:?} late", now() - at);
        if to == Convicted {
            assert_eq!(at, deadlines[&peer]);
            convicted += 1;
        } else {
            suspected += 1;
        }
    }
    assert_eq!((suspected, transitions.missed()), (peers, 0));
    assert_eq!(detector.dead().len(), peers as usize);
}

#[tokio::test(start_paused = true)]
async fn no_task_is_woken_in_an_hour_in_which_a_thousand_peers_beat() {
    let margin = Margin::Constant(4000 * MS);
    let detector =
        Detector::new(DetectorConfig::new(MarginConfig::last_arrival(1000 * MS, margin))).unwrap();
    let mut transitions = detector.transitions();
    for key in 0..1000 {
        detector.heartbeat(&key).unwrap();
    }
    assert_eq!(ready(&mut transitions).len(), 1000);
    let polls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polls);
    let task = tokio::spawn(poll_fn(move |cx| {
        count.fetch_add(1, Ordering::Relaxed);
        transitions.poll_next_unpin(cx).map(|next| next.unwrap().peer)
    }));
    // Each peer beats once a second, at one of fifty places of it, one of them late by 900 ms.
    for step in 0..50 * 3600 {
        for key in (step % 50..1000).step_by(50) {
            if step / 50 % 20 != key % 20 {
                detector.heartbeat(&key).unwrap();
            }
        }
        sleep(10 * MS).await;
        let late = (step + 5) % 50;
        for key in
            (late..1000).step_by(50).filter(|key| (step + 5) / 50 % 20 == (1 + key % 20) % 20)
        {
            detector.heartbeat(&key).unwrap();
        }
        sleep(10 * MS).await;
    }
    assert_eq!(polls.load(Ordering::Relaxed), 1, "polled once, and never again");
    assert!(task.await.unwrap() < 1000, "and was not asleep for ever");
}

#[tokio::test(start_paused = true)]
async fn waking_is_proportional_to_transitions() {
    let detector = detector();
    let mut transitions = detector.transitions();
    for key in 0..100 {
        detector.heartbeat(&key).unwrap();
    }
    assert_eq!(ready(&mut transitions).len(), 100);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut seen = 0;
    let mut poll = |transitions: &mut Transitions<i32>| {
        while pin!(&mut *transitions).poll_next(&mut Context::from_waker(&waker)).is_ready() {
            seen += 1;
        }
        seen
    };
    poll(&mut transitions);
    // One of a hundred falls silent: two transitions.
    for _ in 0..100 {
        (1..100).for_each(|key| _ = detector.heartbeat(&key).unwrap());
        sleep(10 * MS).await;
        poll(&mut transitions);
    }
    assert_eq!((poll(&mut transitions), woken.0.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_stood_still_convicts_no_peer_until_it_could_have_heard() {
    let detector = detector();
    let mut transitions = detector.transitions();
    for key in 0..10 {
        detector.heartbeat(&key).unwrap();
    }
    let mut task = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(transition) = transitions.next().await {
            let is_last = transition.to == Convicted;
            seen.push(change(transition));
            if is_last {
                break;
            }
        }
        seen
    });
    sleep(100 * MS).await;
    advance(10_000 * MS).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(detector.snapshot().local_pauses, 1);
    assert!(detector.dead().is_empty());
    assert_eq!(detector.status(&0), Trusted);
    // The fresh heartbeats of all but one come.
    sleep(100 * MS).await;
    for key in 1..10 {
        assert_eq!(detector.heartbeat(&key).unwrap(), Heard::OnTime);
        assert_eq!(detector.get(&key).unwrap().snapshot().mistakes, 0);
    }
    assert!((&mut task).now_or_never().is_none());
    sleep(180 * MS).await;
    (1..10).for_each(|key| _ = detector.heartbeat(&key));
    sleep(130 * MS).await;
    let seen = task.await.unwrap();
    assert_eq!(seen[seen.len() - 2..], [(0, Trusted, Suspected), (0, Suspected, Convicted)]);
    assert_eq!(seen.len(), 12, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_or_a_reader_that_comes_before_the_late_timer_notes_the_pause() {
    for reads in [true, false] {
        let detector = detector();
        let mut transitions = detector.transitions();
        detector.heartbeat(&1).unwrap();
        detector.heartbeat(&2).unwrap();
        assert_eq!(ready(&mut transitions).len(), 2);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        // The clock moves, the runtime's timer does not run before the next line.
        let mut jump = pin!(advance(5000 * MS));
        let _ = jump.as_mut().now_or_never();
        if reads {
            assert_eq!(detector.status(&2), Trusted);
        } else {
            assert_eq!(detector.heartbeat(&1).unwrap(), Heard::OnTime);
        }
        assert_eq!((detector.snapshot().local_pauses, detector.dead().len()), (1, 0));
        assert!(woken.0.load(Ordering::Relaxed) >= 1, "to set the timer again");
        assert_eq!(next(&mut transitions).await.2, Suspected);
        assert_eq!(detector.snapshot().local_pauses, 1, "once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_a_little_late_and_a_subscriber_that_is_slow_are_no_pause() {
    let detector = detector();
    let mut transitions = detector.transitions();
    detector.heartbeat(&1).unwrap();
    assert_eq!(ready(&mut transitions).len(), 1);
    let task = tokio::spawn(async move {
        let first = transitions.next().await.unwrap();
        sleep(1000 * MS).await;
        (change(first), ready(&mut transitions))
    });
    sleep(150 * MS).await;
    advance(149 * MS).await;
    for _ in 0..100 {
        sleep(20 * MS).await;
        detector.heartbeat(&2).unwrap();
    }
    let (first, rest) = task.await.unwrap();
    assert_eq!((first, detector.snapshot().local_pauses), ((1, Trusted, Suspected), 0));
    assert_eq!(rest, [(2, Unknown, Trusted), (1, Suspected, Convicted)]);
}

#[tokio::test(start_paused = true)]
async fn each_subscriber_sees_all_and_a_slow_one_is_told_how_many_it_missed() {
    let detector = Detector::new(config().capacity(NonZeroUsize::new(1).unwrap())).unwrap();
    let (mut quick, mut slow) = (detector.transitions(), detector.transitions());
    let mut seen = Vec::new();
    for _ in 0..100 {
        detector.heartbeat(&1).unwrap();
        detector.forget(&1);
        seen.extend(ready(&mut quick));
    }
    assert_eq!((seen.len(), quick.missed()), (100, 0));
    assert_eq!((ready(&mut slow).len(), slow.missed()), (64, 36));
    assert!(ready(&mut detector.transitions()).is_empty(), "from now on");
}

#[tokio::test(start_paused = true)]
async fn the_timer_outlives_any_one_stream_and_goes_with_the_last() {
    let detector = detector();
    let (mut first, mut second) = (detector.transitions(), detector.transitions());
    detector.heartbeat(&1).unwrap();
    assert_eq!((ready(&mut first).len(), ready(&mut second).len()), (1, 1));
    let _ = first.next().now_or_never();
    drop(first);
    assert_eq!(next(&mut second).await, (1, Trusted, Suspected));
    let _ = second.next().now_or_never();
    drop(second);
    advance(10_000 * MS).await;
    assert_eq!((detector.status(&1), detector.snapshot().local_pauses), (Convicted, 0));
}

#[test]
fn a_stream_may_be_moved_to_another_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    for drops in [true, false] {
        let (detector, one, other) = (detector(), runtime(), runtime());
        let mut transitions = one.block_on(async {
            let mut transitions = detector.transitions();
            detector.heartbeat(&1).unwrap();
            assert_eq!(ready(&mut transitions).len(), 1);
            transitions
        });
        let one = if drops { None } else { Some(one) };
        assert_eq!(other.block_on(next(&mut transitions)).2, Suspected);
        drop(one);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_may_drop_the_last_handles_and_the_stream() {
    struct Drops(std::sync::Mutex<Option<(Detector<u32>, Transitions<u32>)>>, AtomicU32);

    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::Relaxed);
            let held = self.0.lock().unwrap().take();
            drop(held);
        }
    }

    for by_heartbeat in [true, false] {
        let detector = detector();
        let mut transitions = detector.transitions();
        detector.heartbeat(&1).unwrap();
        assert_eq!(ready(&mut transitions).len(), 1);
        let drops = Arc::new(Drops(std::sync::Mutex::new(None), AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&drops));
        assert!(transitions.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        *drops.0.lock().unwrap() = Some((detector.clone(), transitions));
        if by_heartbeat {
            detector.heartbeat(&2).unwrap();
        } else {
            let _last_but_one = detector;
            sleep(1000 * MS).await;
        }
        assert_eq!(drops.1.load(Ordering::Relaxed), 1);
        assert!(drops.0.lock().unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_beyond_all_instants_and_clocks_that_stand_are_survived() {
    let margin = Margin::Constant(Duration::from_secs(3600));
    let config = DetectorConfig::new(MarginConfig::last_arrival(Duration::from_secs(3600), margin));
    let detector = Detector::new(config).unwrap();
    let mut transitions = detector.transitions();
    for _ in 0..1000 {
        detector.heartbeat(&1).unwrap();
    }
    assert_eq!(ready(&mut transitions), [(1, Unknown, Trusted)]);
    assert_eq!(detector.status(&1), Trusted);
}

#[test]
fn threads_that_beat_one_peer_and_many_lose_no_heartbeat_and_no_transition() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let detector: Detector<u32> =
        Detector::new(config().capacity(NonZeroUsize::new(2000).unwrap())).unwrap();
    let mut transitions = detector.transitions();
    let reader = runtime.spawn(async move {
        let mut held = HashMap::new();
        while let Some(Transition { peer, from, to, .. }) = transitions.next().await {
            let before = held.insert(peer, to).unwrap_or(Unknown);
            assert_eq!(before, from, "each transition begins where the last one ended");
            if peer == u32::MAX {
                return held.len();
            }
        }
        0
    });
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let detector = &detector;
            scope.spawn(move || {
                for n in 0..20_000_u32 {
                    detector.heartbeat(&0).unwrap();
                    detector.heartbeat(&(1 + (n * 7 + thread) % 1000)).unwrap();
                    let _ = (detector.status(&0), detector.phi(&(n % 1000)));
                }
            });
        }
    });
    assert_eq!(detector.snapshot().heartbeats, 160_000);
    detector.heartbeat(&u32::MAX).unwrap();
    assert_eq!(runtime.block_on(reader).unwrap(), 1002);
}

#[test]
fn bad_numbers_are_refused_with_field_and_value() {
    let refused = |config: DetectorConfig| {
        let error = Peer::new(config.clone()).unwrap_err();
        assert_eq!(error, Detector::<u8>::new(config).unwrap_err());
        (error.field, error.value)
    };
    for (share, value) in
        [(0.0, "0.0"), (-0.5, "-0.5"), (1.01, "1.01"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")]
    {
        assert_eq!(refused(config().suspect(share)), ("suspect", value.to_owned()));
    }
    assert_eq!(refused(config().local_pause(9 * MS)), ("local_pause", "9ms".into()));
    assert_eq!(refused(config().local_pause(3601 * 1000 * MS)), ("local_pause", "3601s".into()));
    let most = NonZeroU32::new(1 << 30).unwrap();
    assert_eq!(refused(config().trust_after(most)), ("trust_after", "1073741824".into()));
}

#[test]
fn keys_stay_out_of_the_debug_output() {
    let detector = detector();
    detector.heartbeat(&4_711).unwrap();
    let peer = detector.get(&4_711).unwrap();
    let shown = format!("{detector:?} {peer:?} {:?}", detector.transitions());
    assert_eq!(shown, "Detector { .. } Peer { .. } Transitions { .. }");
}

#[test]
fn handles_are_shared_between_threads_as_their_keys_are() {
    fn shared<T: Send + Sync>() {}
    shared::<Detector<String>>();
    shared::<Peer<String>>();
    shared::<Peer>();
    shared::<Transitions<String>>();
    // Keys may borrow.
    let text = String::from("a b");
    let detector = detector();
    text.split(' ').for_each(|key| _ = detector.heartbeat(&key));
    assert_eq!(detector.len(), 2);
}
