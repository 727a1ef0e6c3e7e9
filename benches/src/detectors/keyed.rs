//! A detector of many peers, whose heartbeats come in the order in which the peers joined, or in a
//! random one.

use std::{
    collections::HashMap,
    hint::black_box,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use steadfast_core::{TimeSource, parts::lock};
use steadfast_phi::{
    Detector, DetectorConfig, Heartbeat, MarginConfig, Method, PhiConfig, Transitions,
};

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

/// In which order the heartbeats come.
#[derive(Clone, Copy)]
enum Order {
    /// As the peers joined: what one period after the other brings, but for the jitter.
    Joined,
    Random,
}

pub(super) fn rows() -> Vec<Row> {
    let window = PhiConfig::new;
    let decaying = || PhiConfig::new().decaying(1000);
    let joined = Order::Joined;
    let in_passes = |row: Row| row.in_passes(PEERS);
    [
        plain("a map of mutexes and a look at the clock, in order", joined),
        plain("a map of mutexes and a look at the clock, random order", Order::Random),
        hears("heartbeat(key), in order, φ, window of 1,000", window(), joined, false),
        hears("heartbeat(key), in order, φ, constant memory", decaying(), joined, false),
        hears("heartbeat(key), in order, last arrival, calibrated", small(), joined, false),
        hears("heartbeat(key), in order, the same, transitions awaited", small(), joined, true),
        hears("heartbeat(key), random order, φ, window of 1,000", window(), Order::Random, false),
        hears("heartbeat(key), random order, calibrated", small(), Order::Random, false),
        asks("phi(key), in order, calibrated", joined),
        asks("phi(key), random order, calibrated", Order::Random),
    ]
    .map(in_passes)
    .into()
}

fn small() -> MarginConfig {
    last_arrival(calibrated())
}

fn hears(name: &'static str, method: impl Into<Method>, order: Order, awaited: bool) -> Row {
    let hears = |Watched(detector, _): &Watched, key: &u64| {
        black_box(detector.heartbeat(key).expect("there is a place for each of them"));
    };
    row(Family::Ours, name, Walk::new(watched(method.into(), awaited), order, hears))
}

fn asks(name: &'static str, order: Order) -> Row {
    let asks = |Watched(detector, _): &Watched, key: &u64| {
        black_box(detector.phi(key));
    };
    row(Family::Ours, name, Walk::new(watched(small().into(), false), order, asks))
}

/// What it costs to find a peer's state, to lock it and to know what time it is: of the same size,
/// without a detector.
fn plain(name: &'static str, order: Order) -> Row {
    type State = [u64; 20];
    let make = || (0..PEERS as u64).map(|key| (key, Arc::new(Mutex::new([key; 20])))).collect();
    let walk = Walk::new(make, order, |states: &HashMap<u64, Arc<Mutex<State>>>, key: &u64| {
        let now = TimeSource::Tokio.now();
        let mut state = lock(&states[key]);
        state.iter_mut().for_each(|word| *word += 1);
        black_box(now);
    });
    row(Family::Reference, name, walk)
}

fn row(family: Family, name: &'static str, subject: impl Subject + 'static) -> Row {
    Row::new(family, Group::Detector, name, Box::new(subject)).over(name)
}

/// A detector, and what a task would wait for, if one did.
struct Watched(Detector<u64>, #[allow(dead_code, reason = "kept")] Option<Mutex<Transitions<u64>>>);

fn watched(method: Method, awaited: bool) -> impl Fn() -> Watched + Send + Sync + 'static {
    move || {
        let detector = detector(DetectorConfig::new(method), 2);
        let transitions = awaited.then(|| {
            let mut transitions = detector.transitions();
            wait(&mut transitions);
            Mutex::new(transitions)
        });
        Watched(detector, transitions)
    }
}

/// A detector with so many peers, each of which has sent so many heartbeats.
pub(super) fn detector(config: DetectorConfig, beats: u64) -> Detector<u64> {
    let capacity = NonZeroUsize::new(PEERS).expect("there are peers");
    let detector = Detector::new(config.capacity(capacity)).expect("the configuration is valid");
    for key in 0..PEERS as u64 {
        for beat in 0..beats {
            let heartbeat = Heartbeat::new().sequence(beat);
            detector.heartbeat_with(&key, heartbeat).expect("there is a place for each of them");
        }
    }
    detector
}

/// Goes through what `T` holds by key, in an order that is fixed. A fork begins half of the way
/// further on, so that two threads do not follow each other.
struct Walk<T, F> {
    shared: Arc<Shared<T>>,
    next: usize,
    step: F,
}

struct Shared<T> {
    order: Vec<u64>,
    make: Box<dyn Fn() -> T + Send + Sync>,
    /// Made by the first call, for a row that is not measured needs none.
    made: OnceLock<T>,
    forks: AtomicUsize,
}

impl<T, F> Walk<T, F> {
    fn new(make: impl Fn() -> T + Send + Sync + 'static, order: Order, step: F) -> Self {
        let mut keys: Vec<u64> = (0..PEERS as u64).collect();
        if let Order::Random = order {
            let mut chance = SplitMix64::seeded(3);
            for place in (1..PEERS).rev() {
                keys.swap(place, chance.below(place + 1));
            }
        }
        let (made, forks) = (OnceLock::new(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { order: keys, make: Box::new(make), made, forks });
        Self { shared, next: 0, step }
    }
}

impl<T, F> Subject for Walk<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T, &u64) + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let shared = &*self.shared;
        let made = shared.made.get_or_init(|| (shared.make)());
        for _ in 0..calls {
            (self.step)(made, &shared.order[self.next]);
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
