use std::collections::HashSet;

use super::*;
use crate::{Delay, Direction, Plan};

const SECOND: Duration = Duration::from_secs(1);

fn random(seed: u64, up: u32, down: u32, until: u32) -> Vec<Event> {
    let outage = Outage::new("a", FailureMode::Paused);
    let outage = outage.at_random(SECOND * up, SECOND * down, SECOND * until);
    Plan::new(seed).outage(outage).timeline().unwrap()
}

/// How long it is down and how long up, one after the other.
fn spans(events: &[Event]) -> Vec<f64> {
    events.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect()
}

#[test]
fn events_are_sorted_and_an_end_comes_before_a_beginning() {
    let during = |target: &str, from: u32, until: u32| {
        Outage::new(target, FailureMode::Killed).during(SECOND * from..SECOND * until)
    };
    let events = Plan::new(1)
        .outage(during("a", 5, 9))
        .outage(during("b", 2, 5))
        .outage(during("c", 5, 6))
        .timeline()
        .unwrap();
    let told: Vec<_> =
        events.iter().map(|event| (event.at.as_secs(), &*event.target, event.change)).collect();
    let (begin, end) = (Change::Begin, Change::End);
    assert_eq!(
        told,
        [
            (2, "b", begin),
            (5, "b", end),
            (5, "a", begin),
            (5, "c", begin),
            (6, "c", end),
            (9, "a", end)
        ]
    );
}

#[test]
fn what_has_no_end_does_not_end() {
    let plan = Plan::new(1).outage(Outage::new("a", FailureMode::Cut));
    assert_eq!(plan.timeline().unwrap(), [Event::begin(Duration::ZERO, "a", FailureMode::Cut)]);
}

#[test]
fn random_outages_alternate_and_are_over_in_time() {
    for seed in 0..200 {
        let events = random(seed, 7, 3, 100);
        assert!(events.len().is_multiple_of(2));
        for (place, pair) in events.windows(2).enumerate() {
            assert!(pair[0].at < pair[1].at, "seed {seed}: {pair:?}");
            let meant = if place.is_multiple_of(2) { Change::Begin } else { Change::End };
            assert_eq!(pair[0].change, meant);
        }
        assert!(events.last().is_none_or(|last| last.at <= SECOND * 100));
    }
}

#[test]
fn random_outages_have_their_means_and_the_spread_of_an_exponential() {
    let spans = spans(&random(3, 7, 3, 500_000));
    for (first, mean) in [(0, 3.0), (1, 7.0)] {
        let lengths: Vec<f64> = spans.iter().copied().skip(first).step_by(2).collect();
        let n = lengths.len() as f64;
        let seen = lengths.iter().sum::<f64>() / n;
        assert!(((seen / mean - 1.0) * n.sqrt()).abs() < 3.0, "mean {seen}, not {mean}");
        // Of an exponential, the share e⁻² is longer than twice its mean.
        let share = (-2.0_f64).exp();
        let longer = lengths.iter().filter(|&&length| length > 2.0 * mean).count() as f64;
        let off = (longer - n * share) / (n * share * (1.0 - share)).sqrt();
        assert!(off.abs() < 3.0, "longer than {}: {off} σ", 2.0 * mean);
    }
}

#[test]
fn the_seed_and_the_target_decide_and_the_other_outages_do_not() {
    assert_eq!(random(1, 7, 3, 1000), random(1, 7, 3, 1000));
    assert_ne!(random(1, 7, 3, 1000), random(2, 7, 3, 1000));
    let outage = |target: &str| {
        let outage = Outage::new(target, FailureMode::Paused);
        outage.at_random(SECOND * 7, SECOND * 3, SECOND * 1000)
    };
    let both = Plan::new(1).outage(outage("b")).outage(outage("a")).timeline().unwrap();
    let of = |target| both.iter().filter(move |event| &*event.target == target).cloned();
    assert!(of("a").eq(random(1, 7, 3, 1000)));
    let times = |events: &mut dyn Iterator<Item = Event>| events.map(|e| e.at).collect::<Vec<_>>();
    assert_ne!(times(&mut of("a")), times(&mut of("b")));
}

#[test]
fn the_modes_and_ways_of_one_link_fail_at_times_of_their_own() {
    let delayed =
        |direction| FailureMode::Delayed { delay: Delay::of(SECOND), direction: Some(direction) };
    let modes = [delayed(Direction::Upstream), delayed(Direction::Downstream), FailureMode::Cut];
    let plan = modes.into_iter().fold(Plan::new(1), |plan, mode| {
        plan.outage(Outage::new("a", mode).at_random(SECOND * 7, SECOND * 3, SECOND * 1000))
    });
    let events = plan.timeline().unwrap();
    let times: HashSet<Vec<_>> = modes
        .iter()
        .map(|mode| events.iter().filter(|event| event.mode == *mode).map(|e| e.at).collect())
        .collect();
    assert_eq!(times.len(), modes.len());
}

#[test]
fn a_timeline_is_bounded() {
    let milli = SECOND / 1000;
    let outage = Outage::new("a", FailureMode::Cut).at_random(milli, milli, SECOND * 200);
    let events = Plan::new(1).outage(outage).timeline().unwrap();
    assert!(events.len() <= 200_001, "{}", events.len());
}

#[test]
fn lengths_at_the_end_of_the_type_are_no_panic() {
    for (up, down, until) in [
        (Duration::MAX, Duration::MAX, Duration::MAX),
        (SECOND, Duration::MAX, Duration::MAX),
        (Duration::MAX, SECOND / 1000, Duration::MAX),
        (SECOND * u32::MAX, SECOND * u32::MAX, SECOND * u32::MAX),
    ] {
        for seed in 0..20 {
            let outage = Outage::new("a", FailureMode::Cut).at_random(up, down, until);
            let events = Plan::new(seed).outage(outage).timeline().unwrap();
            assert!(events.is_sorted_by_key(|event| event.at), "{events:?}");
            assert!(events.len() < 2000, "{} events", events.len());
        }
    }
}
