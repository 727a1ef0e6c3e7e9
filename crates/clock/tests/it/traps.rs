//! Bugs that others have shipped.

use std::time::{Duration, SystemTime};

use steadfast_clock::{CachedClock, Hlc, HlcConfig, Physical, PhysicalClock, Timestamp};
use steadfast_core::{ManualWallClock, WallClock};

use crate::{HOUR, MS, manual};

fn hlc() -> Hlc<ManualWallClock> {
    Hlc::new(manual(), HlcConfig::new()).unwrap()
}

/// A stamp that far ahead of the clock's wall clock.
fn ahead(hlc: &Hlc<ManualWallClock>, by: Duration) -> Timestamp {
    Physical::from_unix(hlc.clock().physical().since_epoch() + by).into()
}

#[test]
fn an_update_never_goes_backward() {
    let hlc = hlc();
    let before = hlc.tick();
    for old in [Timestamp::MIN, Timestamp::from(Physical::from_grains(5)), before] {
        let last = hlc.last();
        assert!(hlc.update(old).unwrap() > last);
        hlc.merge(old).unwrap();
        assert!(hlc.last() > last);
    }
}

#[test]
fn seventy_thousand_ticks_of_a_clock_that_stands_still_grow_past_the_logical_half() {
    let hlc = hlc();
    let stamps: Vec<Timestamp> = (0..70_000).map(|_| hlc.tick()).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(hlc.lead(), Physical::GRAIN, "65,536 stamps fit into one grain");
    // And so it does for a peer's stamp whose logical half is full.
    let full = Timestamp::new(hlc.last().physical(), u16::MAX);
    assert!(hlc.update(full).unwrap() > full);
}

#[test]
fn a_stamp_from_decades_ahead_is_refused_by_default() {
    let hlc = hlc();
    let before = (hlc.tick(), hlc.last());
    let years = Duration::from_secs(1_000_000_000);
    let refusal = hlc.update(ahead(&hlc, years)).unwrap_err();
    assert_eq!(refusal.excess, years - 500 * MS);
    assert_eq!(hlc.merge(Timestamp::MAX).unwrap_err().remote, Timestamp::MAX);
    assert_eq!(hlc.last(), before.1, "the clock is as it was");
    assert_eq!(hlc.snapshot().refused, 2);
}

#[test]
fn the_bound_of_drift_is_exact_to_the_grain() {
    let hlc = hlc();
    let limit = ahead(&hlc, 500 * MS);
    let last_of_grain = Timestamp::new(limit.physical(), u16::MAX);
    assert!(hlc.update(last_of_grain.next()).is_err());
    assert!(hlc.update(last_of_grain).is_ok());
}

#[test]
fn whatever_peers_send_they_push_a_clock_no_further_than_the_bound_of_drift_and_a_grain() {
    let hlc = hlc();
    let limit = ahead(&hlc, 500 * MS).physical();
    for _ in 0..3 {
        for logical in [0, 1, u16::MAX - 1, u16::MAX] {
            let stamp = Timestamp::new(limit, logical);
            hlc.merge(stamp).unwrap();
            assert!(hlc.update(stamp).unwrap() > stamp);
            assert!(hlc.lead() <= 500 * MS + Physical::GRAIN, "{:?}", hlc.lead());
            assert!(
                hlc.merge(hlc.last().next()).is_err() || hlc.last().physical() == limit,
                "no news beyond it"
            );
        }
    }
    assert_eq!(hlc.lead(), 500 * MS + Physical::GRAIN, "the full count of the last stamp carried");
}

#[test]
fn what_a_source_may_be_behind_is_no_drift() {
    fn judge<C: PhysicalClock>(clock: C) {
        let hlc = Hlc::new(clock, HlcConfig::new()).unwrap();
        let lag = hlc.clock().lag();
        assert!(lag >= MS, "a source that is read anew each time has none");
        // As far as the source can be behind, a peer that is as far ahead as it may be seems to be
        // further.
        let limit = Physical::from_unix(hlc.clock().physical().since_epoch() + 500 * MS + lag);
        assert_eq!(hlc.update(limit.plus_grains(1).into()).unwrap_err().excess, Physical::GRAIN);
        hlc.update(limit.into()).unwrap();
    }
    judge(CachedClock::of(manual(), 20 * MS).unwrap());
    judge(Late(manual()));
}

/// Up to 7 ms behind, by its own word.
#[derive(Debug)]
struct Late(ManualWallClock);

impl WallClock for Late {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

impl PhysicalClock for Late {
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn lag(&self) -> Duration {
        7 * MS
    }
}

#[test]
fn no_drift_at_all_cannot_be_asked_for() {
    // Two clocks of one machine differ by a grain whenever one is read before and the other after
    // it.
    for drift in [Duration::ZERO, Duration::from_micros(999), 25 * HOUR] {
        let error = Hlc::new(manual(), HlcConfig::new().max_drift(drift)).unwrap_err();
        assert_eq!(error.field, "max_drift");
    }
    for step in [Duration::ZERO, 19 * MS, 25 * HOUR] {
        let error = Hlc::new(manual(), HlcConfig::new().jump_threshold(step)).unwrap_err();
        assert_eq!(error.field, "jump_threshold");
    }
    let error = Hlc::new(manual(), HlcConfig::new().start_after(Timestamp::MAX)).unwrap_err();
    assert_eq!(error.field, "start_after");
}

#[test]
fn a_repaired_clock_does_not_panic() {
    let hlc = hlc();
    hlc.clock().step_forward(1000 * HOUR);
    let wrong = hlc.tick();
    hlc.clock().step_back(1000 * HOUR);
    assert!(hlc.tick() > wrong);
    assert_eq!(hlc.lead(), 1000 * HOUR);
    assert_eq!(hlc.snapshot().jumps_back, 1);
}

#[test]
fn a_wall_clock_before_the_epoch_or_after_the_end_does_not_overflow() {
    let hlc = hlc();
    hlc.clock().set(SystemTime::UNIX_EPOCH - 10_000 * HOUR);
    let before = hlc.tick();
    assert!(hlc.update(before).unwrap() > before);
    hlc.clock().set(SystemTime::UNIX_EPOCH + Duration::from_secs(100_000_000_000));
    let after = hlc.tick();
    assert_eq!(after.physical(), Physical::LIMIT);
    assert!(hlc.tick() > after);
    assert!(hlc.update(Timestamp::MAX).is_err());
}

#[test]
fn an_old_stamp_is_fine_however_old() {
    let hlc = hlc();
    hlc.tick();
    assert!(hlc.update(Timestamp::MIN).is_ok());
    assert!(hlc.merge(Timestamp::MIN).is_ok());
}

#[test]
fn what_a_clock_has_seen_before_is_no_drift_even_when_its_own_wall_clock_went_back() {
    let hlc = hlc();
    let seen = hlc.tick();
    hlc.clock().step_back(HOUR);
    assert!(hlc.update(seen).unwrap() > seen);
    let news = Timestamp::from(hlc.last().physical().plus_grains(1));
    assert!(
        hlc.update(news).is_err(),
        "what is news is measured by the wall clock, or peers could push each other ahead"
    );
}

#[test]
fn update_ticks_and_merge_does_not() {
    let hlc = hlc();
    let remote = ahead(&hlc, 100 * MS);
    hlc.merge(remote).unwrap();
    assert_eq!(hlc.last(), remote);
    let received = hlc.update(remote).unwrap();
    assert_eq!(received, remote.next());
    assert_eq!(hlc.last(), received);
}
