//! A service that answers in 5 ms, and then never again: how long the stack goes on calling it, and
//! how long callers wait meanwhile.

use std::{fmt, time::Duration};

use steadfast::breaker::State;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    load::{Calls, Load},
    stack::{Round, defaults, open_for_a_second, sent_once, time_window},
    upstream::{Latency, Upstream},
};

/// As long as three attempts at the ceiling of the limit, and the pauses between.
const LAST_CALLS: Duration = Duration::from_secs(16);
/// A circuit that is not open by then counts as never open.
const NEVER: Duration = Duration::from_secs(160);
const SEEDS: u64 = 9;

/// What came of one silence, in seconds.
#[derive(Clone, Copy)]
struct Silence {
    /// From the first call that was not answered until the circuit opened.
    opened: f64,
    /// The longest that a call took which was sent before that.
    longest: f64,
}

impl Silence {
    async fn play(answers: usize, load: Load, seed: u64, round: Round) -> Self {
        let latency = Latency::Constant(Duration::from_millis(5));
        let upstream = Upstream::answering(answers, latency, seed);
        let stack = round(&upstream, seed);
        let calls = Calls::default();
        let open = async {
            let mut transitions = stack.circuit.subscribe();
            let open = timeout(NEVER, async {
                while transitions.changed().await.to != State::Open {}
                Instant::now()
            });
            let open = open.await.ok();
            sleep(LAST_CALLS).await;
            open
        };
        let open = tokio::select! {
            biased;
            open = open => open,
            () = load.send(&stack.service, &calls, seed) => unreachable!("callers do not end"),
        };
        let silent_since = upstream.silent_since().expect("more calls than answers");
        let ended = calls.ended();
        let before = ended.iter().filter(|call| open.is_none_or(|open| call.sent <= open));
        let longest = before.map(|call| call.at - call.sent).max().unwrap_or_default();
        Self {
            opened: open.map_or(f64::INFINITY, |open| (open - silent_since).as_secs_f64()),
            longest: longest.as_secs_f64(),
        }
    }
}

/// The same silence under several seeds.
struct Cell {
    load: Load,
    opened: Vec<f64>,
    longest: Vec<f64>,
}

impl Cell {
    async fn play(answers: usize, load: Load, round: Round) -> Self {
        let (mut opened, mut longest) = (Vec::new(), Vec::new());
        for seed in 1..=SEEDS {
            let silence = Silence::play(answers, load, seed, round).await;
            opened.push(silence.opened);
            longest.push(silence.longest);
        }
        opened.sort_by(f64::total_cmp);
        longest.sort_by(f64::total_cmp);
        let cell = Self { load, opened, longest };
        println!("{cell}");
        cell
    }

    /// The median of the seeds, time to open and longest wait.
    fn median(&self) -> (f64, f64) {
        (self.opened[self.opened.len() / 2], self.longest[self.longest.len() / 2])
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, opened, longest } = self;
        write!(f, "{load:?}: open after {opened:.2?} s, longest wait {longest:.2?} s")
    }
}

/// Plays each load, and compares the medians with the bars: time to open, longest wait. The longest
/// time to open of all seeds.
async fn holds(answers: usize, round: Round, bars: [(Load, f64, f64); 3]) -> f64 {
    let mut last = 0.0_f64;
    for (load, opened, longest) in bars {
        let cell = Cell::play(answers, load, round).await;
        let median = cell.median();
        assert!(median.0 <= opened && median.1 <= longest, "{cell}; bars {opened} {longest}");
        last = cell.opened.iter().copied().fold(last, f64::max);
    }
    last
}

const FOUR: Load = Load::Callers(4);
const TEN: Load = Load::Poisson(10);
const HUNDRED: Load = Load::Poisson(100);

#[tokio::test(start_paused = true)]
async fn a_service_that_falls_silent_is_left_alone_within_a_second() {
    let bars = [(FOUR, 0.6, 0.6), (TEN, 0.7, 0.6), (HUNDRED, 0.3, 0.3)];
    let last = holds(200, defaults, bars).await;
    // What the README says.
    assert!(last <= 0.75, "{last} s");
}

/// A call that may have been executed is made once, so that at 10/s there are fewer failures. For
/// the same reason no call takes longer than one attempt.
#[tokio::test(start_paused = true)]
async fn requests_that_may_not_be_sent_again_find_silence_with_their_first_attempts() {
    let bars = [(FOUR, 0.6, 0.2), (TEN, 0.9, 0.4), (HUNDRED, 0.6, 0.4)];
    let last = holds(200, sent_once, bars).await;
    // What the README says.
    assert!(last <= 1.5, "{last} s");
    holds(0, sent_once, [(FOUR, 5.5, 5.5), (TEN, 2.5, 4.5), (HUNDRED, 1.5, 4.5)]).await;
}

#[tokio::test(start_paused = true)]
async fn over_a_time_window_it_is_too() {
    holds(200, time_window, [(FOUR, 0.6, 0.6), (TEN, 0.7, 0.6), (HUNDRED, 0.6, 0.5)]).await;
}

/// A first open time below the 2 s for which a retry waits: the calls under way have another
/// attempt once the circuit is half-open, and take as much longer.
#[tokio::test(start_paused = true)]
async fn calls_under_way_wait_for_a_circuit_that_is_soon_half_open() {
    holds(200, open_for_a_second, [(FOUR, 0.6, 1.5), (TEN, 0.7, 1.5), (HUNDRED, 0.3, 1.5)]).await;
}

/// A call that was sent in time may be cut at the cold start and explore up to the ceiling in its
/// second attempt, which is 5 s, open circuit or not. If the circuit will be half-open within 2 s
/// by then, its third attempt may be a probe.
#[tokio::test(start_paused = true)]
async fn a_service_that_never_answered_takes_the_cold_start() {
    holds(0, defaults, [(FOUR, 5.5, 10.6), (TEN, 2.5, 5.3), (HUNDRED, 1.5, 5.3)]).await;
}

/// Its ten failures in a row come one after the other, and each has to wait for its limit.
#[tokio::test(start_paused = true)]
async fn a_single_caller_takes_longer() {
    for round in [defaults as Round, time_window, sent_once] {
        let cell = Cell::play(200, Load::Callers(1), round).await;
        let (opened, longest) = cell.median();
        assert!(opened <= 6.0 && longest <= 5.0, "{cell}");
    }
    let cold = Cell::play(0, Load::Callers(1), defaults).await;
    assert!(cold.median().0 <= 45.0, "{cold}");
}
