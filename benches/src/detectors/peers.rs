//! The peers.
//!
//! `phi-detector` 0.4.0 keeps two sums and no window: from 10,000 intervals on each new one takes
//! the average share of the others away. It is handed spans of time and takes whole milliseconds
//! of them; its φ is the logistic approximation. To make the distribution is part of asking.
//!
//! `phi-accrual-failure-detector` 0.1.0 keeps a window in whole milliseconds, with sums of floats
//! (but divides them by the number of all intervals it was ever told of, not of those in the
//! window), the same approximation of φ, and reads the clock itself. It calculates φ at each
//! heartbeat, for intervals above the threshold are no samples. It is made for one thread or, with
//! a lock, for several.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use phi_accrual_failure_detector::{
    Builder, Clock, Detector, FailureDetector, SyncDetector, UnsyncState,
};
use phi_detector::PingWindow;

use crate::{
    detectors::{
        CLOCK, QUESTIONS,
        alone::{HISTORY, row},
        beats::{Beat, Beating, PERIOD, intervals},
    },
    quorums::Asking,
    row::{Family, Row},
    subject::{Function, Subject},
};

const WINDOW: usize = 1000;

pub(super) fn rows() -> Vec<Row> {
    sums().into_iter().chain(window()).chain(locked()).collect()
}

fn sums() -> Vec<Row> {
    let beating = Beating::new(Sums::new(), false, |sums: &mut Sums, beat: Beat| {
        sums.0.add_ping(beat.interval);
    });
    let (sums, _) = beating.clone().after(HISTORY);
    let silences = intervals(false).iter().map(|ns| Duration::from_nanos(*ns)).collect();
    let asking = Asking::new(silences, move |silence: &Duration| sums.phi(*silence));
    vec![
        row(Family::Peer, "phi-detector, heartbeat", Box::new(beating)),
        row(Family::Peer, "phi-detector, φ", Box::new(asking)).over(QUESTIONS),
    ]
}

/// It cannot be copied: a copy begins anew.
struct Sums(PingWindow);

impl Sums {
    fn new() -> Self {
        Self(PingWindow::new(PERIOD))
    }

    fn phi(&self, silence: Duration) -> f64 {
        self.0.normal_dist().phi(silence)
    }
}

impl Clone for Sums {
    fn clone(&self) -> Self {
        Self::new()
    }
}

/// A clock that is set.
#[derive(Clone, Default)]
struct Set(Arc<AtomicU64>);

impl Clock for Set {
    type Timestamp = u64;

    fn timestamp(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn elapsed(before: &u64, after: &u64) -> Duration {
        Duration::from_nanos(after.saturating_sub(*before))
    }
}

/// For one thread. It cannot be copied either.
struct Window {
    clock: Set,
    detector: FailureDetector<UnsyncState<Set>>,
}

impl Window {
    fn new() -> Self {
        let clock = Set::default();
        let builder = Builder::<UnsyncState<_>>::new().clock(clock.clone());
        let detector = builder.max_sample_size(WINDOW).build();
        Self { clock, detector: detector.expect("the configuration is valid") }
    }

    fn hear(&mut self, beat: Beat) {
        let before = self.clock.0.load(Ordering::Relaxed);
        self.clock.0.store(before + beat.interval.as_nanos() as u64, Ordering::Relaxed);
        self.detector.heartbeat();
    }

    fn phi(&self, at: u64) -> f64 {
        self.clock.0.store(at, Ordering::Relaxed);
        self.detector.phi()
    }
}

impl Clone for Window {
    fn clone(&self) -> Self {
        Self::new()
    }
}

fn window() -> Vec<Row> {
    let mut beating = Beating::new(Window::new(), false, Window::hear);
    beating.run(HISTORY);
    let (window, _) = Beating::new(Window::new(), false, Window::hear).after(HISTORY);
    let last = window.clock.timestamp();
    let silences = intervals(false).to_vec();
    let asking = Asking::new(silences, move |silence: &u64| window.phi(last + silence));
    vec![
        row(
            Family::Peer,
            "phi-accrual-failure-detector, heartbeat, window of 1,000",
            Box::new(beating),
        ),
        row(Family::Peer, "phi-accrual-failure-detector, φ", Box::new(asking)).over(QUESTIONS),
    ]
}

/// For several threads, by the clock.
fn locked() -> Vec<Row> {
    let detector = || {
        let builder = SyncDetector::builder().max_sample_size(WINDOW);
        Arc::new(builder.build().expect("the configuration is valid"))
    };
    let (heard, asked) = (detector(), detector());
    asked.heartbeat();
    let row = |name, subject| {
        let row = row(Family::Peer, name, subject).over(CLOCK);
        Row { contended: true, ..row }
    };
    vec![
        row(
            "phi-accrual-failure-detector, heartbeat, with its lock",
            Box::new(Function(move |_| {
                heard.heartbeat();
                true
            })),
        ),
        row(
            "phi-accrual-failure-detector, φ, with its lock",
            Box::new(Function(move |_| {
                black_box(asked.phi());
                true
            })),
        ),
    ]
}
