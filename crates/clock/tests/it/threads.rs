//! Many threads on one clock whose wall clock jumps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast_clock::{Hlc, HlcConfig, Physical, PhysicalClock, Timestamp};
use steadfast_core::WallClock;

use crate::{HOUR, MS, NOW};

/// Says whatever it was last told, to all threads; time does not pass.
#[derive(Debug)]
struct Jumpy(AtomicU64);

impl Jumpy {
    fn new() -> Self {
        Self(AtomicU64::new(Physical::from_unix(NOW).grains()))
    }
}

impl WallClock for Jumpy {
    fn now(&self) -> SystemTime {
        self.physical().into()
    }
}

impl PhysicalClock for Jumpy {
    fn physical(&self) -> Physical {
        Physical::from_grains(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

const THREADS: usize = 8;
const TICKS: usize = 1_000_000;

/// What events alone may carry a clock ahead: a grain for 65,536 of them. One that also catches up
/// with the wall clock counts twice.
const CARRIED: u64 = 2 * (THREADS * TICKS) as u64 / 65_536 + 1;

/// What a thread has last stamped, for the others to see: a message.
type Slots = [AtomicU64; THREADS];

/// Ticks, and before each tick reads what another thread has published.
fn ticker(hlc: &Hlc<Jumpy>, slots: &Slots, own: usize) -> Vec<Timestamp> {
    let bound = Physical::from_unix(NOW + HOUR).plus_grains(CARRIED);
    let mut stamps = Vec::with_capacity(TICKS);
    for tick in 0..TICKS {
        let heard = slots[(own + tick) % THREADS].load(Ordering::Acquire);
        let stamp = hlc.tick();
        assert!(stamp.to_bits() > heard, "{stamp} came after {}", Timestamp::from_bits(heard));
        assert!(stamp.physical() <= bound, "{stamp} is ahead of {bound:?}");
        slots[own].store(stamp.to_bits(), Ordering::Release);
        stamps.push(stamp);
    }
    stamps
}

#[test]
fn eight_million_ticks_are_unique_and_ordered_while_the_wall_clock_jumps_by_an_hour() {
    let hlc = Hlc::new(Jumpy::new(), HlcConfig::new()).unwrap();
    let (slots, done) = (Slots::default(), AtomicBool::new(false));
    let (stamps, highest) = thread::scope(|scope| {
        let jumper = scope.spawn(|| jump_about(hlc.clock(), &done));
        let stamps = on_all_threads(|own| ticker(&hlc, &slots, own));
        done.store(true, Ordering::Relaxed);
        (stamps, jumper.join().unwrap())
    });
    assert_eq!(unique_and_growing(&stamps), THREADS * TICKS);
    let bound = highest.plus_grains(CARRIED);
    assert!(hlc.last().physical() <= bound, "{} is ahead of {bound:?}", hlc.last());
    assert!(hlc.lead() <= bound.since(hlc.clock().physical()));
    let state = hlc.snapshot();
    assert!(state.jumps_forward > 0 && state.jumps_back > 0, "{state:?}");
}

/// Sets the clock to random times within an hour of the first, and returns the highest.
fn jump_about(clock: &Jumpy, done: &AtomicBool) -> Physical {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut highest = clock.physical();
    while !done.load(Ordering::Relaxed) {
        let at = Physical::from_unix(rng.random_range(NOW - HOUR..NOW + HOUR));
        highest = highest.max(at);
        clock.0.store(at.grains(), Ordering::Relaxed);
        thread::yield_now();
    }
    highest
}

fn on_all_threads(work: impl Fn(usize) -> Vec<Timestamp> + Sync) -> Vec<Vec<Timestamp>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|own| scope.spawn(move || work(own))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// How many there are.
fn unique_and_growing(stamps: &[Vec<Timestamp>]) -> usize {
    assert!(
        stamps.iter().flat_map(|stamps| stamps.windows(2)).all(|pair| pair[0] < pair[1]),
        "each thread's grow"
    );
    let mut all = stamps.concat();
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "no two are the same");
    all.len()
}

/// Later by a grain with each reading, so that each event has to catch up with it, and others are
/// late by a few.
#[derive(Debug)]
struct Creeping(AtomicU64);

impl Creeping {
    /// Above all that was read.
    fn highest(&self) -> Physical {
        Physical::from_grains(self.0.load(Ordering::Relaxed))
    }
}

impl WallClock for Creeping {
    fn now(&self) -> SystemTime {
        self.physical().into()
    }
}

impl PhysicalClock for Creeping {
    fn physical(&self) -> Physical {
        let reading = self.0.fetch_add(1, Ordering::Relaxed);
        Physical::from_grains(reading - reading % 3)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Every kind of event on one clock, and messages from and to another.
fn messenger(here: &Hlc<Arc<Creeping>>, there: &Hlc<Arc<Creeping>>, own: usize) -> Vec<Timestamp> {
    let drift = Physical::from_unix(MS).grains();
    let mut stamps = Vec::new();
    for event in 0..TICKS / 4 {
        let heard = if event % 8 == 0 { there.tick() } else { there.last() };
        let stamp = match (event + own) % 3 {
            0 => here.update(heard).ok(),
            1 => here.merge(heard).ok().map(|()| here.tick()),
            _ => None,
        };
        assert!(stamp.is_none_or(|stamp| stamp > heard), "{stamp:?} received {heard}");
        let stamp = stamp.unwrap_or_else(|| here.tick());
        let bound = here.clock().highest().plus_grains(drift + CARRIED);
        assert!(stamp.physical() <= bound, "{stamp} is ahead of {bound:?}");
        let _too_far_ahead = there.merge(stamp);
        stamps.push(stamp);
    }
    stamps
}

#[test]
fn events_of_all_kinds_are_unique_and_ordered_and_lead_no_further_than_they_may() {
    let wall = Arc::new(Creeping(AtomicU64::new(Physical::from_unix(NOW).grains())));
    let clock = || Hlc::new(Arc::clone(&wall), HlcConfig::new().max_drift(MS)).unwrap();
    let (here, there) = (clock(), clock());
    let stamps = on_all_threads(|own| messenger(&here, &there, own));
    assert_eq!(unique_and_growing(&stamps), THREADS * TICKS / 4);
}
