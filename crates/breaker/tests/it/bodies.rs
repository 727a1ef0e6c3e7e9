//! What judging until the end does to traffic, beside the rules that do not work: the tables of
//! `docs/choosing-numbers.md`, through the breaker itself, from seeds and on paused time.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use steadfast_breaker::{Answered, Circuit, CircuitConfig, OpenTime, Permit, State};
use steadfast_core::Verdict;
use steadfast_testkit::Traffic;
use tokio::time::{Instant, advance};

use crate::{FAILED, circuit};

const SEEDS: u64 = 40;
const SECOND: Duration = Duration::from_secs(1);
const HORIZON: Duration = Duration::from_secs(5);
const LENGTH: Duration = Duration::from_secs(60);
/// When a service begins to be ill that is healthy at first.
const ONSET: Duration = Duration::from_secs(10);

/// When an answer with a good head is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// The head counts, and a bad end turns a success: what `until_end` does.
    Turns,
    /// Nothing counts before the end or the horizon.
    Settles,
    /// The head counts, and a bad end counts too.
    Adds,
}

/// How bodies are, by the time at which their heads come.
#[derive(Clone, Copy)]
struct Bodies {
    bad_heads: f64,
    /// What share of them breaks, and how long after the head.
    breaks: (f64, Duration),
    /// Only from then on.
    from: Duration,
    /// When the others end; never, if `None`.
    length: Option<Duration>,
}

const ENDLESS: Bodies =
    Bodies { bad_heads: 0.1, breaks: (0.0, SECOND), from: Duration::ZERO, length: None };
const THREE_SECONDS: Bodies = Bodies {
    bad_heads: 0.0,
    breaks: (0.1, SECOND),
    length: Some(Duration::from_secs(3)),
    ..ENDLESS
};

/// Healthy bodies of a second, of which this share breaks from the onset on.
const fn broken(share: f64, after: Duration) -> Bodies {
    Bodies { bad_heads: 0.0, breaks: (share, after), from: ONSET, length: Some(SECOND) }
}

/// An answer with a good head, and what the rule holds of it.
enum Held {
    Answered(Answered),
    Permit(Permit),
    Nothing,
}

/// One run under open arrivals; when it opened.
async fn opens(
    rule: Rule,
    config: CircuitConfig,
    bodies: Bodies,
    per_second: f64,
    seed: u64,
) -> Option<Duration> {
    let (circuit, mut traffic) = (circuit(config), Traffic::seeded(seed));
    let began = Instant::now();
    let mut next = traffic.arrival(per_second);
    // By time; numbers tell two of the same apart.
    let mut ends: BinaryHeap<Reverse<(Duration, usize, bool)>> = BinaryHeap::new();
    let mut held = Vec::new();
    while circuit.state() == State::Closed {
        let due = ends.peek().map(|Reverse((at, ..))| *at);
        let at = due.map_or(next, |due| due.min(next));
        if at >= LENGTH {
            return None;
        }
        advance((began + at).saturating_duration_since(Instant::now())).await;
        if due == Some(at) {
            let Reverse((_, number, bad)) = ends.pop().unwrap();
            end(&circuit, std::mem::replace(&mut held[number], Held::Nothing), bad);
            continue;
        }
        next += traffic.arrival(per_second);
        let permit = circuit.try_admit().unwrap();
        if traffic.chance(bodies.bad_heads) {
            permit.record(FAILED);
            continue;
        }
        let breaks = at >= bodies.from && traffic.chance(bodies.breaks.0);
        let length = if breaks { Some(bodies.breaks.1) } else { bodies.length };
        let (length, bad) = match (rule, length) {
            (Rule::Settles, Some(length)) if length < HORIZON => (Some(length), breaks),
            (Rule::Settles, _) => (Some(HORIZON), false),
            (_, length) => (length, breaks),
        };
        ends.extend(length.map(|length| Reverse((at + length, held.len(), bad))));
        held.push(match rule {
            Rule::Turns => permit.answered(Verdict::Success).map_or(Held::Nothing, Held::Answered),
            Rule::Settles => Held::Permit(permit),
            Rule::Adds => {
                permit.record(Verdict::Success);
                Held::Nothing
            }
        });
    }
    Some(Instant::now() - began)
}

fn end(circuit: &Circuit, held: Held, bad: bool) {
    let verdict = if bad { FAILED } else { Verdict::Success };
    match held {
        Held::Answered(answered) => answered.record(verdict),
        Held::Permit(permit) => permit.record(verdict),
        Held::Nothing if bad => circuit.try_admit().unwrap().record(FAILED),
        Held::Nothing => {}
    }
}

/// How many of the seeds opened, and when on average.
async fn table(rule: Rule, config: &CircuitConfig, bodies: Bodies, per_second: f64) -> (u64, f64) {
    let (mut opened, mut seconds) = (0, 0.0);
    for seed in 0..SEEDS {
        if let Some(at) = opens(rule, config.clone(), bodies, per_second, seed).await {
            opened += 1;
            seconds += at.as_secs_f64();
        }
    }
    let mean = seconds / f64::from(u32::try_from(opened.max(1)).unwrap());
    eprintln!("{rule:?} at {per_second}/s: {opened} of {SEEDS} open, at {mean:.1} s");
    (opened, mean)
}

fn count_window() -> CircuitConfig {
    CircuitConfig::new()
}

fn time_window() -> CircuitConfig {
    CircuitConfig::new().time_window(Duration::from_secs(10), 10)
}

#[tokio::test(start_paused = true)]
async fn endless_healthy_streams_open_nothing() {
    for config in [count_window(), time_window()] {
        for per_second in [10.0, 100.0] {
            assert_eq!(table(Rule::Turns, &config, ENDLESS, per_second).await.0, 0);
        }
    }
    // By chance, once twenty calls are there, and as by heads alone.
    let third = Bodies { bad_heads: 0.3, ..ENDLESS };
    let watched = table(Rule::Turns, &count_window(), third, 100.0).await;
    assert_eq!(watched, table(Rule::Adds, &count_window(), third, 100.0).await);
    assert!(watched.0 <= 4, "{}", watched.0);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_three_seconds_of_which_a_tenth_breaks_open_nothing() {
    for config in [count_window(), time_window()] {
        assert_eq!(table(Rule::Turns, &config, THREE_SECONDS, 100.0).await.0, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_bodies_all_break_is_found() {
    for (config, share, after, per_second, at_most) in [
        (count_window(), 1.0, SECOND, 100.0, 12.0),
        (count_window(), 1.0, SECOND / 20, 10.0, 15.5),
        (count_window(), 0.6, SECOND, 10.0, 21.0),
        (count_window(), 0.6, SECOND, 100.0, 12.5),
        (time_window(), 1.0, SECOND, 100.0, 17.0),
        (time_window(), 0.6, SECOND, 100.0, 20.5),
    ] {
        let bodies = broken(share, after);
        let (opened, mean) = table(Rule::Turns, &config, bodies, per_second).await;
        assert_eq!(opened, SEEDS);
        assert!((ONSET.as_secs_f64()..at_most).contains(&mean), "{mean} s");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_all_break_beyond_the_horizon_open_nothing() {
    for config in [count_window(), time_window()] {
        let bodies = broken(1.0, HORIZON + SECOND);
        assert_eq!(table(Rule::Turns, &config, bodies, 100.0).await.0, 0);
    }
}

/// Successes come late and failures at once: after a start the window holds failures only.
#[tokio::test(start_paused = true)]
async fn settling_at_the_end_opens_on_healthy_streams() {
    let of = async |bodies, per_second| {
        table(Rule::Settles, &count_window(), bodies, per_second).await.0
    };
    assert!(of(ENDLESS, 100.0).await >= 38);
    assert!(of(THREE_SECONDS, 100.0).await >= 36);
}

/// Of each ten calls there are ten successes and six failures: never half.
#[tokio::test(start_paused = true)]
async fn counting_a_bad_end_beside_its_head_never_finds_three_in_five() {
    let bodies = broken(0.6, SECOND);
    assert_eq!(table(Rule::Adds, &count_window(), bodies, 10.0).await.0, 0);
}

/// Four callers, each of which reads an answer to its end before it calls again.
#[tokio::test(start_paused = true)]
async fn four_callers_find_bodies_that_break_as_soon_as_they_fill_half_a_window() {
    for (config, after, at_most) in [
        // Of answers of 100 ms the window holds two and a half seconds, and four a second break.
        (count_window(), SECOND, 26.0),
        (count_window(), SECOND / 20, 12.0),
        (time_window(), SECOND, 24.0),
    ] {
        let (circuit, began) = (circuit(config), Instant::now());
        let mut callers: BinaryHeap<_> =
            (0..4_u32).map(|n| Reverse(Duration::from_millis(25) * n)).collect();
        let mut reading: Vec<(Duration, Answered, bool)> = Vec::new();
        while circuit.state() == State::Closed && Instant::now() - began < LENGTH {
            let Reverse(at) = callers.pop().unwrap();
            advance((began + at).saturating_duration_since(Instant::now())).await;
            if let Some(ended) = reading.iter().position(|(end, ..)| *end == at) {
                let (_, answered, bad) = reading.swap_remove(ended);
                answered.record(if bad { FAILED } else { Verdict::Success });
            }
            let Ok(permit) = circuit.try_admit() else { break };
            let answered = permit.answered(Verdict::Success).unwrap();
            let bad = at >= ONSET;
            let end = at + if bad { after } else { SECOND / 10 };
            reading.push((end, answered, bad));
            callers.push(Reverse(end));
        }
        let opened = Instant::now() - began;
        eprintln!("four callers, broken after {after:?}: open at {opened:?}");
        assert_eq!(circuit.state(), State::Open);
        assert!(opened.as_secs_f64() < at_most, "{opened:?}");
    }
}

/// An answer that its caller does not read, and drops with a good head: what its head says counts.
#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_read_do_not_leave_the_failures_alone_in_the_window() {
    for drop_cancels in [false, true] {
        let (circuit, mut traffic) = (circuit(count_window()), Traffic::seeded(1));
        let mut calls = 0;
        while circuit.state() == State::Closed && calls < 10_000 {
            advance(Duration::from_millis(10)).await;
            calls += 1;
            let permit = circuit.try_admit().unwrap();
            if traffic.chance(0.05) {
                permit.record(FAILED);
            } else if drop_cancels {
                drop(permit);
            } else {
                drop(permit.answered(Verdict::Success));
            }
        }
        eprintln!("unread, a drop cancels {drop_cancels}: {:?} at {calls}", circuit.state());
        let expected = if drop_cancels { State::Open } else { State::Closed };
        assert_eq!(circuit.state(), expected, "at call {calls}");
        assert!(!drop_cancels || calls < 1_000);
    }
}

/// Watches only, one a second and read for ever, for 300 s after a trip: how many are refused, and
/// whether the circuit has closed.
async fn watches(horizon: Option<Duration>) -> (u32, bool) {
    let config = CircuitConfig::new()
        .open_time(OpenTime::exponential(Duration::from_secs(5), LENGTH).unwrap().without_jitter());
    let circuit = circuit(match horizon {
        Some(horizon) => config.horizon(horizon),
        None => config,
    });
    circuit.force_open_for(SECOND);
    advance(SECOND).await;
    let (mut refused, mut watches, mut without_a_horizon) = (0, Vec::new(), Vec::new());
    for _ in 0..300 {
        match circuit.try_admit() {
            Ok(permit) if horizon.is_some() => watches.push(permit.answered(Verdict::Success)),
            // Under way until it ends.
            Ok(permit) => without_a_horizon.push(permit),
            Err(_) => refused += 1,
        }
        advance(SECOND).await;
    }
    let snapshot = circuit.snapshot();
    eprintln!("watches, horizon {horizon:?}: {refused} of 300 refused, {:?}", snapshot.state);
    (refused, snapshot.state == State::Closed)
}

#[tokio::test(start_paused = true)]
async fn probes_of_watches_are_decided_after_the_horizon_and_never_without_one() {
    assert_eq!(watches(Some(SECOND)).await, (0, true));
    let (refused, closed) = watches(Some(HORIZON)).await;
    assert!(closed && refused <= 4, "{refused}");
    let (refused, closed) = watches(None).await;
    assert!(!closed && refused >= 250, "{refused}");
    // As long as a probe may take for its head.
    let limit = CircuitConfig::new().horizon(Duration::from_secs(10));
    assert_eq!(Circuit::new(limit).unwrap_err().field, "horizon");
}
