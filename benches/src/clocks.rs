//! Hybrid logical clocks: what one timestamp costs, beside the reading of the wall clock it stands
//! on and beside what others offer.

use std::{
    hint::black_box,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use hlc_gen::HlcGenerator;
use steadfast_clock::{CachedClock, CoarseClock, Hlc, HlcConfig, HlcState, PhysicalClock};
use steadfast_core::{SystemWallClock, WallClock};
use uhlc::{HLC, HLCBuilder, NTP64};

use crate::{
    row::{Family, Group, Row},
    subject::Function,
};

/// The name of the row that a tick on the system's clock is judged by: the exact clock, read as the
/// standard library reads it.
pub const READING: &str = "reading the system's wall clock";

/// The rows of the hybrid clocks, warm.
#[must_use]
pub fn clocks() -> Vec<Row> {
    let mut rows: Vec<Row> =
        readings().into_iter().chain(ours()).chain(locked()).chain(peers()).collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}

fn row<T>(
    family: Family,
    name: &'static str,
    stamp: impl Fn() -> T + Clone + Send + 'static,
) -> Row {
    let subject = Function(move |_| {
        black_box(stamp());
        true
    });
    Row::new(family, Group::Clock, name, Box::new(subject)).over(name)
}

fn readings() -> Vec<Row> {
    let cached = refreshed();
    vec![
        row(Family::Reference, READING, || SystemWallClock.now()),
        row(Family::Reference, "the same, in grains", || SystemWallClock.physical()),
        row(Family::Reference, "reading the coarse wall clock", || CoarseClock.physical()),
        row(Family::Reference, "reading the cached wall clock", move || cached.physical()),
    ]
}

fn ours() -> Vec<Row> {
    vec![
        tick("tick, system clock", SystemWallClock),
        tick("tick, coarse clock", CoarseClock),
        tick("tick, cached clock", refreshed()),
        news("update with news, system clock", SystemWallClock),
        news("update with news, coarse clock", CoarseClock),
        old("update with an old stamp, system clock", SystemWallClock),
        old("update with an old stamp, coarse clock", CoarseClock),
    ]
}

fn tick(name: &'static str, clock: impl PhysicalClock) -> Row {
    let hlc = hlc(clock);
    row(Family::Ours, name, move || hlc.tick())
}

/// The stamp of a peer that is one event ahead, made from a look at the clock itself. Two threads
/// find some of their stamps outrun.
fn news(name: &'static str, clock: impl PhysicalClock) -> Row {
    let hlc = hlc(clock);
    row(Family::Ours, name, move || {
        hlc.update(hlc.last().next()).expect("one event ahead is not too far")
    })
}

fn old(name: &'static str, clock: impl PhysicalClock) -> Row {
    let hlc = hlc(clock);
    let stamp = hlc.tick();
    row(Family::Ours, name, move || {
        hlc.update(black_box(stamp)).expect("an old stamp is never refused")
    })
}

fn hlc<C: PhysicalClock>(clock: C) -> Hlc<C> {
    Hlc::new(clock, HlcConfig::new()).expect("the defaults are within their own bounds")
}

/// Read anew each millisecond by a thread that ends soon after the clock's last other handle is
/// gone.
fn refreshed() -> Arc<CachedClock> {
    const EVERY: Duration = Duration::from_millis(1);
    let clock = Arc::new(CachedClock::new(EVERY).expect("a millisecond is within the bounds"));
    let weak = Arc::downgrade(&clock);
    thread::spawn(move || {
        while let Some(clock) = weak.upgrade() {
            clock.refresh();
            drop(clock);
            thread::park_timeout(EVERY);
        }
    });
    clock
}

/// What the one word is there to beat: the same algorithm behind a lock. The wall clock is read
/// before the lock is taken, which keeps the lock short.
fn locked() -> Vec<Row> {
    vec![
        under_mutex("HlcState under a mutex, system clock", SystemWallClock),
        under_mutex("HlcState under a mutex, coarse clock", CoarseClock),
    ]
}

fn under_mutex(name: &'static str, clock: impl PhysicalClock + Copy) -> Row {
    let state =
        HlcState::new(Duration::from_millis(500)).expect("half a second is within the bounds");
    let state = Arc::new(Mutex::new(state));
    row(Family::Reference, name, move || {
        let wall = clock.physical();
        state.lock().unwrap_or_else(PoisonError::into_inner).tick(wall)
    })
}

fn peers() -> Vec<Row> {
    let (exact, coarse) =
        (Arc::new(HLC::default()), Arc::new(HLCBuilder::new().with_clock(coarse_ntp).build()));
    // Without a limit on drift, as its author recommends for one node.
    let generator = Arc::new(HlcGenerator::default());
    vec![
        row(Family::Peer, "uhlc, system clock", move || exact.new_timestamp()),
        row(Family::Peer, "uhlc, coarse clock", move || coarse.new_timestamp()),
        row(Family::Peer, "hlc-gen", move || {
            // It gives no timestamp when the 22 bits that count within a millisecond are full. A
            // refusal is no speed: end the run.
            generator.next_timestamp().expect("four million calls take longer than a millisecond")
        }),
    ]
}

fn coarse_ntp() -> NTP64 {
    NTP64::from(CoarseClock.physical().since_epoch())
}
