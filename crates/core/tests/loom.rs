//! The striped window's one word per bucket, under every interleaving.
#![cfg(steadfast_loom)]
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::time::Duration;

use loom::{
    model,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use steadfast_core::parts::{Buckets, StripedSuccesses, Tick};

/// Two buckets: every second tick falls into the same one.
fn window(stripes: usize) -> Arc<StripedSuccesses> {
    Arc::new(StripedSuccesses::new(Buckets::new(Duration::from_millis(200), 2).unwrap(), stripes))
}

#[test]
fn threads_that_share_a_lane_lose_no_success() {
    model(|| {
        let window = window(1);
        let other = Arc::clone(&window);
        let adder = thread::spawn(move || other.add(0, Tick(10)));
        window.add(0, Tick(10));
        adder.join().unwrap();
        assert_eq!(window.sum(Tick(10)), 2);
    });
}

#[test]
fn a_straggler_adds_nothing_to_the_tick_that_took_its_bucket() {
    model(|| {
        let window = window(1);
        window.add(0, Tick(10));
        let other = Arc::clone(&window);
        let straggler = thread::spawn(move || other.add(0, Tick(10)));
        window.add(0, Tick(12));
        straggler.join().unwrap();
        assert_eq!(window.sum(Tick(12)), 1);
    });
}

#[test]
fn a_sum_under_way_counts_nothing_twice_and_nothing_that_is_over() {
    model(|| {
        let window = window(2);
        window.add(0, Tick(10));
        let other = Arc::clone(&window);
        let adder = thread::spawn(move || {
            other.add(1, Tick(11));
            other.add(0, Tick(12));
        });
        let sum = window.sum(Tick(11));
        assert!(sum <= 2, "{sum}");
        adder.join().unwrap();
        assert_eq!(window.sum(Tick(12)), 2);
        assert_eq!(window.sum(Tick(13)), 1);
    });
}

/// Two looks that are the same have no success between them.
#[test]
fn a_look_sees_every_success_that_was_over_before_it() {
    model(|| {
        let window = window(2);
        window.add(0, Tick(10));
        let (other, over) = (Arc::clone(&window), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&over);
        let adder = thread::spawn(move || {
            other.add(1, Tick(10));
            told.store(true, Ordering::Release);
        });
        let before = window.latest(Tick(10)).unwrap();
        let was_over = over.load(Ordering::Acquire);
        let after = window.latest(Tick(10)).unwrap();
        adder.join().unwrap();
        let last = window.latest(Tick(10)).unwrap();
        assert!(!was_over || after == last, "{after:?}, {last:?}");
        assert!(before == after || after == last, "{before:?}, {after:?}, {last:?}");
    });
}
