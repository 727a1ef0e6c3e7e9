//! A service that comes back after a silence: how much it is called meanwhile, and how long after
//! that the circuit closes.

use std::time::Duration;

use steadfast::breaker::{State, Transitions};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{
    load::{Calls, Load},
    stack::{Round, defaults, open_for_a_second},
    upstream::{Latency, Upstream},
};

const ANSWER: Latency = Latency::Constant(Duration::from_millis(5));
const SEEDS: u64 = 5;

/// What came of a silence that ended.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// Calls that reached the silent service after the circuit had opened.
    probes: usize,
    /// How often the circuit opened before the service was back.
    opens: usize,
    /// From the end of the silence until the circuit closed.
    closed_after: Duration,
}

impl Recovery {
    /// A silence of this length after 200 answers.
    async fn play(lasts: Duration, load: Load, seed: u64) -> Self {
        let upstream = Upstream::answering(200, ANSWER, seed);
        let stack = defaults(&upstream, seed);
        let calls = Calls::default();
        tokio::select! {
            biased;
            recovery = Self::watch(lasts, &upstream, stack.circuit.subscribe()) => recovery,
            () = load.send(&stack.service, &calls, seed) => unreachable!("they go on"),
        }
    }

    async fn watch(lasts: Duration, upstream: &Upstream, mut transitions: Transitions) -> Self {
        while transitions.changed().await.to != State::Open {}
        let back = upstream.silent_since().expect("it opened for a reason") + lasts;
        let (mut opens, calls) = (1, upstream.calls());
        while let Ok(transition) = timeout_at(back, transitions.changed()).await {
            opens += usize::from(transition.to == State::Open);
        }
        sleep_until(back).await;
        let probes = upstream.calls() - calls;
        upstream.answer_in(ANSWER);
        while transitions.changed().await.to != State::Closed {}
        Self { probes, opens, closed_after: Instant::now() - back }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_back_is_called_again_within_an_open_time() {
    // The longest open time that can be running when the silence ends: 5 s, doubled by each
    // opening, of which the jitter takes at most half.
    for (lasts, longest) in [(4, 10), (10, 20), (30, 40)] {
        for load in [Load::Callers(4), Load::Poisson(10), Load::Poisson(100)] {
            for seed in 1..=SEEDS {
                let recovery = Recovery::play(Duration::from_secs(lasts), load, seed).await;
                println!("{lasts} s, {load:?}, seed {seed}: {recovery:?}");
                let Recovery { probes, opens, closed_after } = recovery;
                // And the time until calls come, and two probes are answered.
                let bound = Duration::from_secs(longest) + Duration::from_millis(600);
                assert!(closed_after <= bound, "{lasts} s, {load:?}, seed {seed}: {recovery:?}");
                // Three for each time that it was tried, the last of which may be under way.
                assert!(probes <= 3 * opens, "{lasts} s, {load:?}, seed {seed}: {recovery:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_send_no_more_probes_than_four() {
    for callers in [4, 1000] {
        let recovery = Recovery::play(Duration::from_secs(30), Load::Callers(callers), 1).await;
        println!("{callers} callers: {recovery:?}");
        let Recovery { probes, opens, .. } = recovery;
        assert!((1..=3 * opens).contains(&probes), "{callers} callers: {recovery:?}");
    }
}

/// How many of the calls fail that are sent from the beginning of a silence on, and how long the
/// slowest hundredth of all of them takes, in seconds.
async fn silence(lasts: Duration, load: Load, round: Round) -> (usize, f64) {
    let (mut failed, mut waits) = (0, Vec::new());
    for seed in 1..=SEEDS {
        let upstream = Upstream::answering(200, ANSWER, seed);
        let stack = round(&upstream, seed);
        let calls = Calls::default();
        let watch = async {
            let since = loop {
                sleep(Duration::from_millis(1)).await;
                if let Some(since) = upstream.silent_since() {
                    break since;
                }
            };
            sleep_until(since + lasts).await;
            upstream.answer_in(ANSWER);
            sleep(Duration::from_secs(10)).await;
            since
        };
        let since = tokio::select! {
            biased;
            since = watch => since,
            () = load.send(&stack.service, &calls, seed) => unreachable!("they go on"),
        };
        for call in calls.ended().iter().filter(|call| call.sent >= since) {
            failed += usize::from(!call.ok);
            waits.push((call.at - call.sent).as_secs_f64());
        }
    }
    waits.sort_by(f64::total_cmp);
    (failed, waits[waits.len() * 99 / 100])
}

/// What a first open time that is shorter than what a retry waits for does.
#[tokio::test(start_paused = true)]
async fn a_first_open_time_of_a_second_mends_short_silences() {
    for (lasts, fewer) in [(300, 10), (700, 10), (1000, 2)] {
        let lasts = Duration::from_millis(lasts);
        let (failed, wait) = silence(lasts, Load::Poisson(100), open_for_a_second).await;
        let (failed_5, wait_5) = silence(lasts, Load::Poisson(100), defaults).await;
        let seen = format!(
            "{lasts:?}: {failed} failed, 99 % took {wait:.2} s; with 5 s {failed_5}, {wait_5:.2} s"
        );
        println!("{seen}");
        assert!(failed * fewer <= failed_5 && wait < wait_5, "{seen}");
    }
}
