//! Many threads on one clock whose wall clock jumps.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast_clock::{Hlc, HlcConfig, Physical, PhysicalClock, Timestamp};
use steadfast_core::{Snapshot, WallClock};

use crate::{HOUR, NOW};

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

/// What a thread has last stamped, for the others to see: a message.
type Slots = [AtomicU64; THREADS];

/// Ticks, and before each tick reads what another thread has published.
fn ticker(hlc: &Hlc<Jumpy>, slots: &Slots, own: usize) -> Vec<Timestamp> {
    let mut stamps = Vec::with_capacity(TICKS);
    for tick in 0..TICKS {
        let heard = slots[(own + tick) % THREADS].load(Ordering::Acquire);
        let stamp = hlc.tick();
        assert!(stamp.to_bits() > heard, "{stamp} came after {}", Timestamp::from_bits(heard));
        slots[own].store(stamp.to_bits(), Ordering::Release);
        stamps.push(stamp);
    }
    stamps
}

#[test]
fn eight_million_ticks_are_unique_and_ordered_while_the_wall_clock_jumps_by_an_hour() {
    let hlc = Hlc::new(Jumpy::new(), HlcConfig::new()).unwrap();
    let (slots, done) = (Slots::default(), AtomicBool::new(false));
    let (mut stamps, highest) = thread::scope(|scope| {
        let tickers: Vec<_> = (0..THREADS)
            .map(|own| {
                scope.spawn({
                    let (hlc, slots) = (&hlc, &slots);
                    move || ticker(hlc, slots, own)
                })
            })
            .collect();
        let jumper = scope.spawn(|| jump_about(hlc.clock(), &done));
        let stamps: Vec<Vec<Timestamp>> = tickers.into_iter().map(|ticker| ticker.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        (stamps, jumper.join().unwrap())
    });
    assert!(stamps.iter().flat_map(|stamps| stamps.windows(2)).all(|pair| pair[0] < pair[1]), "each thread's grow");
    let mut all = stamps.split_off(0).concat();
    all.sort_unstable();
    assert_eq!(all.len(), THREADS * TICKS);
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "no two are the same");
    // The highest reading, and a grain for each 65,536 ticks. A tick that also catches up with the wall clock counts twice.
    let bound = highest.plus_grains(2 * (THREADS * TICKS) as u64 / 65_536 + 1);
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
