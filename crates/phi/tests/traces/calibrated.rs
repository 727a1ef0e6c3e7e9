//! What a calibrated margin keeps of what it promises, and what that costs.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt::Write,
    ops::{Range, RangeInclusive},
    time::{Duration, Instant},
};

use steadfast_phi::{Heard, Heartbeat, Margin, MarginConfig, MarginDetector, MistakeRate};
use steadfast_testkit::traces::{Beat, Drift, Lan, Wan};

use crate::{Network, on_all_processors};

const SEEDS: [u64; 4] = [1001, 2001, 3001, 4001];
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// A rate that is asked for, and the days for which it is kept, from 0.
struct Promise {
    every: Duration,
    days: Range<u32>,
}

const HOURLY: Promise = Promise { every: HOUR, days: 1..12 };
const DAILY: Promise = Promise { every: DAY, days: 1..60 };

impl Promise {
    fn covers(&self, at: Duration) -> bool {
        at >= DAY * self.days.start && at < DAY * self.days.end
    }

    /// Mistakes as they are asked for.
    fn asked(&self, days: &Range<u32>) -> f64 {
        (DAY * (days.end - days.start)).as_secs_f64() / self.every.as_secs_f64()
    }
}

/// One calibrated detector of 2W, and what the best constant margin in hindsight would have done.
struct Run {
    promise: Promise,
    detector: MarginDetector,
    mistakes: Vec<Duration>,
    /// At the end of the first day, in seconds.
    first_margin: f64,
    detection: Histogram,
    /// How long before the expected arrival the last beat was sent.
    lead: Histogram,
    /// The latest arrivals by how long they were overdue, in nanoseconds; one more than may be
    /// mistakes.
    latest: BinaryHeap<Reverse<i128>>,
}

impl Run {
    fn new(promise: Promise, network: Network) -> Self {
        let margin = Margin::Calibrated(MistakeRate::once_in(promise.every));
        let config = MarginConfig::two_windows(network.period(), margin);
        Self {
            promise,
            detector: MarginDetector::new(config).unwrap(),
            mistakes: Vec::new(),
            first_margin: f64::NAN,
            detection: Histogram::new(),
            lead: Histogram::new(),
            latest: BinaryHeap::new(),
        }
    }

    fn hear(&mut self, beat: &Beat, at: Duration, origin: Instant) {
        let now = origin + at;
        let counts = self.promise.covers(at);
        if counts && let Some(expected) = self.detector.expected() {
            self.overdue(signed(expected, now));
        }
        let heartbeat = Heartbeat::new().sequence(beat.sequence);
        if self.detector.heartbeat(heartbeat, now) == Heard::Mistake {
            self.mistakes.push(at);
        }
        if at < DAY {
            self.first_margin = self.detector.margin().as_secs_f64();
        }
        if counts {
            let sent = origin + beat.sent;
            self.detection.add(signed(sent, self.detector.deadline().unwrap()));
            self.lead.add(signed(sent, self.detector.expected().unwrap()));
        }
    }

    fn overdue(&mut self, ns: i128) {
        let most = self.promise.asked(&self.promise.days) as usize + 1;
        if self.latest.len() < most {
            self.latest.push(Reverse(ns));
        } else if let Some(mut least) = self.latest.peek_mut()
            && ns > least.0
        {
            *least = Reverse(ns);
        }
    }

    fn mistakes_in(&self, days: &Range<u32>) -> f64 {
        let span = DAY * days.start..DAY * days.end;
        self.mistakes.iter().filter(|at| span.contains(at)).count() as f64
    }

    /// Observed by asked.
    fn kept(&self, days: &Range<u32>) -> f64 {
        self.mistakes_in(days) / self.promise.asked(days)
    }

    /// By how many mistakes the first day is off what the margin has grown by: ln m rises by ½ with
    /// each, and falls by ½ in the time that is asked for.
    fn off_the_equation(&self, network: Network) -> f64 {
        let first = 2.0 * network.period().as_secs_f64();
        let watched = DAY.as_secs_f64() / self.promise.every.as_secs_f64();
        self.mistakes_in(&(0..1)) - watched - 2.0 * (self.first_margin / first).ln()
    }

    /// The median detection time, and that of the best constant margin: with the margin that is
    /// overdue most but for the mistakes asked for, there are exactly those.
    fn detection(&self) -> (f64, f64) {
        let margin = self.latest.peek().unwrap().0 as f64 / 1e9;
        (self.detection.median(), self.lead.median() + margin)
    }
}

/// From one instant to another, in nanoseconds.
fn signed(from: Instant, to: Instant) -> i128 {
    let ns = |span: Duration| span.as_nanos() as i128;
    if to >= from { ns(to - from) } else { -ns(from - to) }
}

/// Counts by the millisecond, up to three minutes.
struct Histogram(Vec<u32>);

impl Histogram {
    fn new() -> Self {
        Self(vec![0; 180_000])
    }

    fn add(&mut self, ns: i128) {
        let ms = (ns.max(0) / 1_000_000) as usize;
        let last = self.0.len() - 1;
        self.0[ms.min(last)] += 1;
    }

    /// Seconds.
    fn median(&self) -> f64 {
        let all: u64 = self.0.iter().copied().map(u64::from).sum();
        let mut below = 0;
        let reaches_half = |&count: &u32| {
            below += u64::from(count);
            2 * below >= all
        };
        self.0.iter().position(reaches_half).unwrap() as f64 / 1e3
    }
}

/// Both rates on one trace that is run on for 60 days.
fn run(network: Network, seed: u64) -> [Run; 2] {
    match network {
        Network::Wan => run_on(network, Wan::seeded(seed)),
        Network::Lan => run_on(network, Lan::seeded(seed)),
        Network::Drift => run_on(network, Drift::seeded(seed)),
    }
}

fn run_on(network: Network, trace: impl Iterator<Item = Beat>) -> [Run; 2] {
    let origin = tokio::time::Instant::now().into_std();
    let [mut hourly, mut daily] = [HOURLY, DAILY].map(|promise| Run::new(promise, network));
    for beat in trace.take_while(|beat| beat.sent < DAY * DAILY.days.end) {
        let Some(at) = beat.arrived else { continue };
        daily.hear(&beat, at, origin);
        if at < DAY * HOURLY.days.end {
            hourly.hear(&beat, at, origin);
        }
    }
    [hourly, daily]
}

/// A line for each run, and how many bars were missed.
#[derive(Default)]
struct Report {
    lines: String,
    missed: u32,
}

impl Report {
    fn bar(&mut self, what: &str, value: f64, bar: RangeInclusive<f64>) {
        let held = bar.contains(&value);
        self.missed += u32::from(!held);
        let mark = if held { "" } else { " MISSED" };
        write!(self.lines, "{what} {value:.3} in {bar:?}{mark}; ").unwrap();
    }

    fn run(&mut self, network: Network, seed: u64, [hourly, daily]: &[Run; 2]) {
        write!(self.lines, "{network:?} {seed}: ").unwrap();
        let ((hour, best_hour), (day, best_day)) = (hourly.detection(), daily.detection());
        self.bar("hourly, days 2-12", hourly.kept(&HOURLY.days), 0.95..=1.05);
        self.bar("median detection by the best", hour / best_hour, 0.0..=1.25);
        self.bar("daily, days 2-60", daily.kept(&DAILY.days), 0.9..=1.1);
        self.bar("days 3-7", daily.kept(&(2..7)), 0.5..=2.0);
        self.bar("median detection by the best", day / best_day, 0.0..=1.25);
        self.bar("first day", daily.mistakes_in(&(0..1)), first_day(network));
        self.bar("off the equation", daily.off_the_equation(network), -0.01..=0.01);
        let best = format!("best {best_hour:.3} and {best_day:.3} s");
        writeln!(self.lines, "medians {hour:.3} and {day:.3} s, {best}").unwrap();
    }
}

/// What the equation allows on the first day of a margin that is to be wrong once a day, from two
/// periods to where it has to be.
const fn first_day(network: Network) -> RangeInclusive<f64> {
    match network {
        Network::Wan => 8.0..=11.0,
        Network::Lan => 4.0..=5.0,
        Network::Drift => 0.0..=1.0,
    }
}

#[test]
fn a_calibrated_margin_keeps_the_rate_it_was_asked_for() {
    let jobs: Vec<_> = Network::ALL.iter().flat_map(|&on| SEEDS.map(|seed| (on, seed))).collect();
    let runs = on_all_processors(&jobs, |&(network, seed)| run(network, seed));
    let mut report = Report::default();
    for ((network, seed), run) in jobs.iter().zip(&runs) {
        report.run(*network, *seed, run);
    }
    println!("{}", report.lines);
    assert_eq!(report.missed, 0, "\n{}", report.lines);
}
