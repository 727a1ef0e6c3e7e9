//! A detector of many peers, whose heartbeats come in a random order.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use steadfast_phi::{Detector, DetectorConfig, MarginConfig, Method, PhiConfig, Transitions};

use crate::{
    chance::SplitMix64,
    detectors::{
        alone::{calibrated, last_arrival},
        handles::wait,
    },
    row::{Family, Group, Row},
    subject::Subject,
};

/// How many peers.
pub const PEERS: usize = 100_000;

pub(super) fn rows() -> Vec<Row> {
    vec![
        hears("heartbeat(key), 100,000 peers, φ, window of 1,000", PhiConfig::new(), false),
        hears(
            "heartbeat(key), 100,000 peers, φ, constant memory",
            PhiConfig::new().decaying(1000),
            false,
        ),
        hears("heartbeat(key), 100,000 peers, last arrival, calibrated", small(), false),
        hears("heartbeat(key), 100,000 peers, the same, transitions awaited", small(), true),
        Row {
            subject: Box::new(Walk::new(
                DetectorConfig::new(small()),
                false,
                |detector: &Detector<u64>, key: &u64| {
                    black_box(detector.phi(key));
                },
            )),
            ..hears("phi(key), 100,000 peers, last arrival, calibrated", small(), false)
        },
    ]
}

fn small() -> MarginConfig {
    last_arrival(calibrated())
}

fn hears(name: &'static str, method: impl Into<Method>, awaited: bool) -> Row {
    let walk =
        Walk::new(DetectorConfig::new(method), awaited, |detector: &Detector<u64>, key: &u64| {
            black_box(detector.heartbeat(key).expect("there is a place for each of them"));
        });
    Row::new(Family::Ours, Group::Detector, name, Box::new(walk)).over(name)
}

/// A detector with so many peers, each of which has sent so many heartbeats.
pub(super) fn detector(config: DetectorConfig, beats: usize) -> Detector<u64> {
    let capacity = NonZeroUsize::new(PEERS).expect("there are peers");
    let detector = Detector::new(config.capacity(capacity)).expect("the configuration is valid");
    for key in 0..PEERS as u64 {
        for _ in 0..beats {
            detector.heartbeat(&key).expect("there is a place for each of them");
        }
    }
    detector
}

/// Goes through the peers in an order that is fixed and random. A fork begins half of the way
/// further on, so that two threads do not follow each other.
struct Walk<F> {
    shared: Arc<Shared>,
    next: usize,
    step: F,
}

struct Shared {
    config: DetectorConfig,
    awaited: bool,
    order: Vec<u64>,
    /// Made by the first call, for a row that is not measured needs none.
    detector: OnceLock<(Detector<u64>, Awaited)>,
    forks: AtomicUsize,
}

/// What a task would wait for, if one did.
type Awaited = Option<Mutex<Transitions<u64>>>;

impl<F> Walk<F> {
    fn new(config: DetectorConfig, awaited: bool, step: F) -> Self {
        let mut order: Vec<u64> = (0..PEERS as u64).collect();
        let mut chance = SplitMix64::seeded(3);
        for place in (1..PEERS).rev() {
            order.swap(place, chance.below(place + 1));
        }
        let detector = OnceLock::new();
        let shared = Shared { config, awaited, order, detector, forks: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared), next: 0, step }
    }
}

impl Shared {
    fn detector(&self) -> &Detector<u64> {
        let new = || {
            let detector = detector(self.config.clone(), 2);
            let transitions = self.awaited.then(|| {
                let mut transitions = detector.transitions();
                wait(&mut transitions);
                Mutex::new(transitions)
            });
            (detector, transitions)
        };
        &self.detector.get_or_init(new).0
    }
}

impl<F> Subject for Walk<F>
where
    F: Fn(&Detector<u64>, &u64) + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let detector = self.shared.detector();
        for _ in 0..calls {
            (self.step)(detector, &self.shared.order[self.next]);
            self.next = (self.next + 1) % PEERS;
        }
        calls
    }

    fn fork(&self) -> Box<dyn Subject> {
        let forks = self.shared.forks.fetch_add(1, Ordering::Relaxed);
        let next = (forks + 1) * (PEERS / 2) % PEERS;
        Box::new(Self { shared: Arc::clone(&self.shared), next, step: self.step.clone() })
    }
}
