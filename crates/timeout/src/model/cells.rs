//! The situations, each simulated from seeds, and what is measured in them.

use super::*;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
const RATE: Arrivals = Arrivals::Poisson(100.0);

/// A rule, made anew for each simulation.
pub(super) type Rule = fn() -> Multiple;

/// The three rules of the README's tables, by their columns.
pub(super) const DEFAULT: Rule = || quantile(2.0);
pub(super) const AVERAGE: Rule = || ewma(4.0);
pub(super) const DOUBLING: Rule = || quantile(2.0).without_explorers();

/// `share` of the calls hang for ever.
#[derive(Debug)]
pub(super) struct Hangs {
    /// The median limit, in milliseconds.
    pub(super) limit_ms: f64,
    /// 99 % of all calls have waited for less, in milliseconds.
    pub(super) wait_ms: f64,
    /// Calls that have waited for more than a second, in percent.
    pub(super) long: f64,
    /// Healthy calls that were given up, in percent.
    pub(super) cut: f64,
}

pub(super) fn hangs(rule: Rule, share: f64) -> Hangs {
    let latency = move |_, traffic: &mut Traffic| {
        if traffic.chance(share) { NEVER } else { healthy(traffic) }
    };
    let log = simulate(&rule(), 1, 4 * MINUTE, vec![Stream::new(RATE, latency)]);
    let runs = log.between(MINUTE, 4 * MINUTE);
    let long = runs.iter().filter(|run| run.waited > SECOND).count();
    Hangs {
        limit_ms: millis(log.median_limit(MINUTE)),
        wait_ms: millis(part(runs.iter().map(|run| run.waited).collect(), 0.99)),
        long: percent(long, runs.len()),
        cut: percent(cut(&runs), runs.len()),
    }
}

/// From a minute on, `moved` of the calls take ten times as long, and `hung` hang. Means over ten
/// seeds, of the calls that would have been answered.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Calls that were given up within a minute.
    pub(super) cost: f64,
    /// The calls that moved and were given up, in percent: of the first five seconds, and of those
    /// after twenty.
    pub(super) at_first: f64,
    pub(super) later: f64,
}

pub(super) fn step(rule: Rule, moved: f64, hung: f64) -> Step {
    const SEEDS: u64 = 10;
    let mut sum = Step::default();
    for seed in 1..=SEEDS {
        let slow = std::cell::RefCell::new(Vec::new());
        let latency = |now, traffic: &mut Traffic| {
            let (latency, moves) = (healthy(traffic), now >= MINUTE && traffic.chance(moved));
            if traffic.chance(hung) {
                return NEVER;
            }
            if moves {
                slow.borrow_mut().push(now);
            }
            if moves { 10 * latency } else { latency }
        };
        let log =
            simulate(&rule(), seed, 2 * MINUTE + 5 * SECOND, vec![Stream::new(RATE, latency)]);
        let cut_of = |from: u32, to: u32| {
            let mut runs = log.between(MINUTE + from * SECOND, MINUTE + to * SECOND);
            let all = cut(&runs);
            // Calls arrive in order.
            runs.retain(|run| slow.borrow().binary_search(&run.arrived).is_ok());
            (all as f64, percent(cut(&runs), runs.len()))
        };
        sum.cost += cut_of(0, 60).0;
        sum.at_first += cut_of(0, 5).1;
        sum.later += cut_of(20, 60).1;
    }
    let mean = |sum: f64| sum / SEEDS as f64;
    Step { cost: mean(sum.cost), at_first: mean(sum.at_first), later: mean(sum.later) }
}

/// One caller in a loop: which of its calls is the first to succeed after a step from 50 to 500 ms,
/// and how many of the next 500 fail. Without credit, hangs have used it up before.
pub(super) fn sequence(rule: &Multiple, credit: bool) -> (usize, usize) {
    let hangs = if credit { 0 } else { 12 };
    let step = 200 + 2 * hangs;
    let mut calls = 0..;
    let latency = |_, _: &mut Traffic| match calls.next().unwrap_or(step) {
        call if call >= step => 500 * MS,
        call if call >= 200 && call % 2 == 0 => NEVER,
        _ => 50 * MS,
    };
    let log = simulate(rule, 1, 8 * MINUTE, vec![Stream::new(Arrivals::Loop, latency)]);
    let mut after = log.runs.iter().skip(step).map(|run| run.end == End::Answered);
    let first = after.by_ref().take_while(|&answered| !answered).count() + 1;
    (first, after.take(500).filter(|&answered| !answered).count())
}

/// Silence from the second minute on: the limit in milliseconds, and the mean number of calls that
/// wait, over the eight minutes after the first two of it.
pub(super) fn silence(rule: Rule) -> (f64, f64) {
    let latency =
        |now, traffic: &mut Traffic| if now >= 2 * MINUTE { NEVER } else { healthy(traffic) };
    let log = simulate(&rule(), 1, 12 * MINUTE, vec![Stream::new(RATE, latency)]);
    let waiting = log.waiting.iter().filter(|(at, _)| *at > 4 * MINUTE).map(|(_, waiting)| waiting);
    let (number, sum) = (waiting.clone().count(), waiting.sum::<usize>());
    (millis(log.median_limit(4 * MINUTE)), sum as f64 / number as f64)
}

/// A hung shard, called in a loop beside 100 good calls a second of 50 ms.
#[derive(Debug)]
pub(super) struct Shard {
    /// The least and the most that a call of the loop is given, in milliseconds.
    pub(super) given_ms: (f64, f64),
    /// Its calls that wait for more than a second, in percent.
    pub(super) long: f64,
}

pub(super) fn shard(rule: Rule) -> Shard {
    let good = Stream::new(RATE, |_, _: &mut Traffic| 50 * MS);
    let hung = Stream::new(Arrivals::Loop, |_, _: &mut Traffic| NEVER);
    let log = simulate(&rule(), 1, 6 * MINUTE, vec![good, hung]);
    let mut runs = log.between(MINUTE, 6 * MINUTE);
    runs.retain(|run| run.stream == 1);
    let limits = || runs.iter().map(|run| millis(run.limit));
    let given_ms = (limits().fold(f64::MAX, f64::min), limits().fold(0.0, f64::max));
    let long = runs.iter().filter(|run| run.waited > SECOND).count();
    Shard { given_ms, long: percent(long, runs.len()) }
}

/// A Pareto spread from 10 ms up with a shape of 1.5: no variance, and 99 % below 215 ms. The mean
/// limit over that, and the calls given up in percent.
pub(super) fn heavy_tail(rule: Rule, seed: u64) -> (f64, f64) {
    const EXACT_MS: f64 = 215.443_47;
    let latency = |_, traffic: &mut Traffic| traffic.pareto(10 * MS, 1.5);
    let log = simulate(&rule(), seed, 6 * MINUTE, vec![Stream::new(RATE, latency)]);
    let limits = log.limits.iter().filter(|(at, _)| *at > MINUTE).map(|(_, limit)| millis(*limit));
    let (number, sum) = (limits.clone().count(), limits.sum::<f64>());
    let runs = log.between(MINUTE, 6 * MINUTE);
    (sum / number as f64 / EXACT_MS, percent(cut(&runs), runs.len()))
}

/// The same tail where all callers drop their calls after `patience`: the median limit over the
/// 99 % quantile of what is answered within that, and how many of those calls are given up, in
/// percent.
pub(super) fn impatient(rule: Rule, patience: Duration) -> (f64, f64) {
    let latency = |_, traffic: &mut Traffic| traffic.pareto(10 * MS, 1.5);
    let stream = Stream::new(RATE, latency).patience(patience);
    let log = simulate(&rule(), 1, 4 * MINUTE, vec![stream]);
    let mut runs = log.between(MINUTE, 4 * MINUTE);
    runs.retain(|run| run.latency <= patience);
    let quantile = part(runs.iter().map(|run| run.latency).collect(), 0.99);
    let limit = log.median_limit(MINUTE);
    (limit.as_secs_f64() / quantile.as_secs_f64(), percent(cut(&runs), runs.len()))
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
