//! A service that is slower than it was, or has more calls at once than it can serve: what the
//! circuit makes of it.

use std::{cell::Cell, time::Duration};

use steadfast::breaker::{State, Transitions};
use tokio::time::{Instant, sleep};

use crate::{
    load::{Calls, Load},
    stack::defaults,
    upstream::{Latency, Upstream},
};

const MS: Duration = Duration::from_millis(1);
const SEEDS: u64 = 3;

/// What became of the calls that ended after something had happened.
#[derive(Clone, Copy, Debug)]
struct After {
    ended: usize,
    /// Failed, in their last attempt, by the limit.
    cut: usize,
    /// Refused, in their last attempt, by the open circuit.
    refused: usize,
    /// How often the circuit opened.
    opens: usize,
    /// When the last of them failed, in seconds.
    trouble: f64,
}

impl After {
    fn of(calls: &Calls, since: Instant, opens: usize) -> Self {
        let ended = calls.ended();
        let after = || ended.iter().filter(|call| call.at >= since);
        let failed = || after().filter(|call| !call.ok);
        Self {
            ended: after().count(),
            cut: failed().filter(|call| !call.refused).count(),
            refused: failed().filter(|call| call.refused).count(),
            opens,
            trouble: failed().map(|call| (call.at - since).as_secs_f64()).fold(0.0, f64::max),
        }
    }
}

async fn count_opens(mut transitions: Transitions, opens: &Cell<usize>) {
    loop {
        if transitions.changed().await.to == State::Open {
            opens.set(opens.get() + 1);
        }
    }
}

/// A minute after a step from a median of 50 ms to this one.
async fn step(median: Duration, load: Load, seed: u64) -> After {
    let latency = |median| Latency::LogNormal(median, 0.4);
    let upstream = Upstream::answering(usize::MAX, latency(50 * MS), seed);
    let stack = defaults(&upstream, seed);
    let (calls, opens) = (Calls::default(), Cell::new(0));
    let stepped = async {
        sleep(Duration::from_secs(40)).await;
        upstream.answer_in(latency(median));
        let since = Instant::now();
        sleep(Duration::from_secs(60)).await;
        since
    };
    let since = tokio::select! {
        biased;
        since = stepped => since,
        () = load.send(&stack.service, &calls, seed) => unreachable!("callers do not end"),
        () = count_opens(stack.circuit.subscribe(), &opens) => unreachable!("nor transitions"),
    };
    After::of(&calls, since, opens.get())
}

#[tokio::test(start_paused = true)]
async fn a_step_in_latency_passes_unseen_by_few_callers() {
    for load in [Load::Callers(1), Load::Callers(4), Load::Poisson(10)] {
        for seed in 1..=SEEDS {
            let after = step(500 * MS, load, seed).await;
            assert!(after.ended >= 90, "{load:?}, seed {seed}: {after:?}");
            let failed = (after.opens, after.refused, after.cut);
            assert!(failed <= (0, 0, 1), "{load:?}, seed {seed}: {after:?}");
        }
    }
}

/// Until the first slow answer is there, all calls are cut. If the step is long enough that those
/// are half of the window, it opens, once: the probes find that the service answers.
#[tokio::test(start_paused = true)]
async fn a_step_in_latency_at_a_hundred_a_second_opens_once_at_most() {
    // The median after the step, in how many of the seeds it opens, calls of 6,000 that are cut,
    // that are refused, and for how long.
    for (median, opens, cut, refused, trouble) in
        [(150, 0, 2, 0, 2.0), (500, 2, 10, 550, 6.5), (1000, 3, 40, 750, 12.0)]
    {
        let mut opened = 0;
        for seed in 1..=SEEDS {
            let after = step(median * MS, Load::Poisson(100), seed).await;
            println!("{median} ms, seed {seed}: {after:?}");
            assert!(after.opens <= 1, "{median} ms, seed {seed}: {after:?}");
            let within = after.cut <= cut && after.refused <= refused && after.trouble <= trouble;
            assert!(within, "{median} ms, seed {seed}: {after:?}");
            opened += after.opens;
        }
        assert!(opened <= opens, "{median} ms: {opened} of {SEEDS} seeds");
    }
}

/// Poisson calls, and so many at once after 20 s, to a service with `workers`: what became of the
/// burst, and of the others.
async fn burst(number: usize, workers: usize, seed: u64) -> (After, After) {
    let upstream = Upstream::answering(usize::MAX, Latency::Constant(5 * MS), seed);
    let upstream = upstream.workers(workers);
    let stack = defaults(&upstream, seed);
    let (calls, burst, opens) = (Calls::default(), Calls::default(), Cell::new(0));
    let bursts = async {
        sleep(Duration::from_secs(20)).await;
        let since = Instant::now();
        burst.at_once(&stack.service, number).await;
        sleep(Duration::from_secs(30)).await;
        since
    };
    let since = tokio::select! {
        biased;
        since = bursts => since,
        () = Load::Poisson(100).send(&stack.service, &calls, seed) => {
            unreachable!("callers do not end")
        }
        () = count_opens(stack.circuit.subscribe(), &opens) => unreachable!("nor transitions"),
    };
    (After::of(&burst, since, opens.get()), After::of(&calls, since, opens.get()))
}

/// Calls cut in the same instant count at once: half a window of them opens, whatever the span of
/// the other rule.
#[tokio::test(start_paused = true)]
async fn a_burst_opens_when_half_a_window_of_it_is_cut_at_once() {
    // Of so many calls on so many workers: how often it opens, and the most that fail with it.
    for (number, workers, opens, most) in
        [(50, 4, 0, 0), (100, 4, 1, 400), (200, 8, 1, 550), (200, 100, 0, 0)]
    {
        for seed in 1..=SEEDS {
            let (burst, others) = burst(number, workers, seed).await;
            let seen = format!("{number} on {workers}, seed {seed}: {burst:?} {others:?}");
            println!("{seen}");
            let failed = burst.cut + burst.refused + others.cut + others.refused;
            assert!(burst.opens == opens && failed <= most, "{seen}");
        }
    }
}
