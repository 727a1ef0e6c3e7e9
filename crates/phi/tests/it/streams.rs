//! Streams that are not polled, whose runtime goes, and that wait for ever.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use steadfast_core::TimeSource;
use steadfast_phi::{
    Detector, DetectorConfig, Distribution, Margin, MarginConfig, PhiConfig, Status, Transition,
    Transitions,
};
use tokio::{
    runtime::Builder,
    time::{advance, timeout},
};

use crate::MS;

const HOUR: Duration = Duration::from_secs(3600);

/// Convicted after `silence`, suspected after half of it.
fn config(silence: Duration) -> DetectorConfig {
    DetectorConfig::new(MarginConfig::last_arrival(silence / 4, Margin::Constant(silence)))
}

/// What is there without waiting.
fn ready<K: Clone>(transitions: &mut Transitions<K>) -> Vec<Transition<K>> {
    std::iter::from_fn(|| transitions.next().now_or_never().map(Option::unwrap)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_polled_sets_no_timer_and_is_told_how_many_it_missed() {
    let peers = NonZeroUsize::new(50).unwrap();
    let detector = Detector::new(config(400 * MS).capacity(peers)).unwrap();
    let mut transitions = detector.transitions();
    let start = TimeSource::Tokio.now();
    (0..50).for_each(|key| _ = detector.heartbeat(&key).unwrap());
    advance(10_000 * MS).await;
    // No timer was set, and so none is late.
    assert_eq!((detector.dead().len(), detector.snapshot().local_pauses), (50, 0));
    let made = ready(&mut transitions);
    let [trusted, fallen] = [&made[..50], &made[50..]];
    assert!(trusted.iter().all(|change| change.to == Status::Trusted && change.at == start));
    assert_eq!((fallen.len(), transitions.missed()), (100, 0), "each with its own instant");
    let at = |status| if status == Status::Suspected { start + 200 * MS } else { start + 400 * MS };
    assert!(fallen.iter().all(|change| change.at == at(change.to)));
    // Polled once and left: what heartbeats bring is queued, up to two for each peer.
    for _ in 0..10 {
        for _ in 0..4 {
            (0..50).for_each(|key| _ = detector.heartbeat(&key).unwrap());
        }
        advance(10_000 * MS).await;
    }
    assert_eq!(detector.snapshot().local_pauses, 0);
    // Suspected, trusted; then those that silence brings about, which the next heartbeat or poll
    // makes: suspected, convicted.
    assert_eq!(ready(&mut transitions).len() as u64 + transitions.missed(), 10 * 50 * 4);
    assert!(transitions.missed() >= 9 * 50 * 4);
}

#[tokio::test(start_paused = true)]
async fn deadlines_beyond_what_an_instant_can_hold_are_none() {
    let exponential = PhiConfig::new().distribution(Distribution::Exponential);
    // At an interval of an hour, from three months up to 260,000 years.
    for digits in 3..=9 {
        let threshold = 10_f64.powi(digits);
        let phi = exponential.first_interval(HOUR).cap(1e10).threshold(threshold);
        for share in [1.0, 1e-3 / threshold] {
            let detector = Detector::new(DetectorConfig::new(phi).suspect(share)).unwrap();
            let mut transitions = detector.transitions();
            for _ in 0..5 {
                detector.heartbeat(&1).unwrap();
                advance(HOUR).await;
            }
            detector.heartbeat(&1).unwrap();
            let peer = detector.get(&1).unwrap();
            assert_eq!(peer.convict_at().is_none(), digits >= 7, "{digits}");
            assert_eq!(peer.suspect_at().is_none(), digits >= 7 && share == 1.0, "{digits}");
            ready(&mut transitions);
            let next = timeout(HOUR, transitions.next()).await;
            assert_eq!(next.is_ok(), share < 1.0, "{digits}");
            assert!(timeout(HOUR, transitions.next()).await.is_err(), "it waits for ever");
            let suspected = if share < 1.0 { Status::Suspected } else { Status::Trusted };
            assert_eq!((peer.status(), peer.phi().is_finite()), (suspected, true));
            detector.heartbeat(&1).unwrap();
            assert_eq!(peer.status(), Status::Trusted);
        }
    }
}

/// Beats until the flag is set, from one of two threads.
fn beat_on(detector: &Detector<u32>, thread: u32, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for key in 0..8 {
            detector.heartbeat(&(2 * key + thread)).unwrap();
        }
        thread::yield_now();
    }
}

/// In a runtime of its own: sees that a peer is convicted, and leaves a timer behind that is set.
fn convict_in_a_runtime(
    detector: &Detector<u32>,
    transitions: &mut Transitions<u32>,
    victim: u32,
) -> bool {
    let mut builder = if victim.is_multiple_of(2) {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    let runtime = builder.worker_threads(1).enable_time().build().unwrap();
    let is_convicted = runtime.block_on(async {
        detector.heartbeat(&victim).unwrap();
        let convicted = async {
            loop {
                let Transition { peer, to, .. } = transitions.next().await.unwrap();
                if (peer, to) == (victim, Status::Convicted) {
                    break;
                }
            }
        };
        let is_convicted = timeout(Duration::from_secs(20), convicted).await.is_ok();
        ready(transitions);
        let mut left = detector.transitions();
        runtime.spawn(async move { while left.next().await.is_some() {} });
        tokio::task::yield_now().await;
        is_convicted
    });
    detector.forget(&victim) && is_convicted
}

#[test]
fn runtimes_that_shut_down_while_threads_move_their_timer_cost_no_panic_and_no_transition() {
    // This process may well stand still on a machine that is busy: no conviction is put off.
    let detector = Detector::new(config(8 * MS).local_pause(HOUR)).unwrap();
    let mut transitions = detector.transitions();
    let (is_over, start) = (AtomicBool::new(false), TimeSource::Tokio.now());
    let (mut rounds, mut convicted) = (0, 0);
    thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let (detector, is_over) = (&detector, &is_over);
            scope.spawn(move || beat_on(detector, thread, is_over))
        });
        while TimeSource::Tokio.now() - start < 2000 * MS {
            let is_convicted = convict_in_a_runtime(&detector, &mut transitions, 100 + rounds);
            convicted += u32::from(is_convicted);
            rounds += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("no heartbeat panics"));
    });
    assert!(rounds > 2 && convicted == rounds, "{convicted} of {rounds}");
    println!("{rounds} runtimes");
}
