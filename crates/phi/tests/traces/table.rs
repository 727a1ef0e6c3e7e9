//! Mistakes a second at equal detection time, which is the mean of the deadline less when the last
//! beat was sent.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use steadfast_phi::{
    Distribution, Heartbeat, Margin, MarginConfig, MarginDetector, Outliers, PhiAccrual, PhiConfig,
};
use steadfast_testkit::traces::Beat;

use crate::{Network, on_all_processors, trace};

const SEEDS: [u64; 5] = [1, 101, 201, 301, 401];
const WINDOW: u32 = 1_000;

/// Arrivals that are not scored: by then the windows are full, and have forgotten the beginning.
const UNSCORED: usize = 2_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    TwoWindows,
    Chen,
    Fixed,
    Phi(Distribution),
}

const EXPONENTIAL: Method = Method::Phi(Distribution::Exponential);
const NORMAL: Method = Method::Phi(Distribution::Normal);
const LOGISTIC: Method = Method::Phi(Distribution::Logistic);

impl Method {
    /// What a threshold is that waits for `k` deviations above the mean, `k` means where the
    /// distribution is exponential, or a margin of `k` seconds.
    fn threshold(self, k: f64) -> f64 {
        match self {
            Self::Phi(Distribution::Exponential) => Distribution::Exponential.phi(k, 1.0, 1.0),
            Self::Phi(distribution) => distribution.phi(k, 0.0, 1.0),
            Self::TwoWindows | Self::Chen | Self::Fixed => k,
        }
    }
}

/// A detector of the real ones.
#[derive(Clone, Debug)]
enum Watch {
    Phi(PhiAccrual),
    Margin(MarginDetector),
}

impl Watch {
    /// With a margin of a second, thresholds are seconds.
    fn new(method: Method, network: Network) -> Self {
        let (period, margin) = (network.period(), Margin::Constant(Duration::from_secs(1)));
        let config = match method {
            Method::Phi(distribution) => return Self::phi(distribution, network),
            Method::Fixed => MarginConfig::last_arrival(period, margin),
            Method::Chen => MarginConfig::chen(period, margin).window(WINDOW),
            Method::TwoWindows => MarginConfig::two_windows(period, margin).window(WINDOW),
        };
        Self::Margin(MarginDetector::new(config).unwrap())
    }

    /// The distribution as it is: nothing is added to mean or deviation, and all are samples.
    fn phi(distribution: Distribution, network: Network) -> Self {
        let config = PhiConfig::new()
            .distribution(distribution)
            .window(WINDOW)
            .first_interval(network.period())
            .acceptable_pause(Duration::ZERO)
            .minimum_deviation(Duration::from_micros(1))
            .outliers(Outliers::Keep);
        Self::Phi(PhiAccrual::new(config).unwrap())
    }

    fn hear(&mut self, beat: &Beat, at: Instant) {
        match self {
            Self::Phi(phi) => {
                phi.heartbeat(at);
            }
            Self::Margin(margin) => {
                margin.heartbeat(Heartbeat::new().sequence(beat.sequence), at);
            }
        }
    }

    fn suspect_at(&self, threshold: f64) -> Instant {
        match self {
            Self::Phi(phi) => phi.suspect_at(threshold),
            Self::Margin(margin) => margin.suspect_at(threshold),
        }
        .expect("a beat was heard, and the threshold is reached")
    }
}

/// Those that arrive, with how many before them.
fn arrivals(trace: &[Beat]) -> impl Iterator<Item = (usize, &Beat, Duration)> {
    let arrived = trace.iter().filter_map(|beat| Some((beat, beat.arrived?)));
    arrived.enumerate().map(|(index, (beat, at))| (index, beat, at))
}

/// The thresholds at which the detection times are those asked for. Every deadline is a line in the
/// threshold's `k`, so the detection time is one as well, and two of its points tell which.
fn thresholds(method: Method, network: Network, trace: &[Beat], asked: &[f64]) -> Vec<f64> {
    let [one, two] = [1.0, 2.0].map(|k| method.threshold(k));
    let ends = play(method, network, trace, &[one, two]);
    let slope = ends[1].detection - ends[0].detection;
    let k = |detection: &f64| 1.0 + (detection - ends[0].detection) / slope;
    asked.iter().map(|detection| method.threshold(k(detection))).collect()
}

/// What a detector does at one threshold.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    threshold: f64,
    /// Seconds.
    detection: f64,
    /// A second.
    mistakes: f64,
}

impl Outcome {
    fn mean(outcomes: &[Self]) -> Self {
        let mean = |number: fn(&Self) -> f64| {
            outcomes.iter().map(number).sum::<f64>() / outcomes.len() as f64
        };
        Self {
            threshold: mean(|outcome| outcome.threshold),
            detection: mean(|outcome| outcome.detection),
            mistakes: mean(|outcome| outcome.mistakes),
        }
    }
}

/// One run of a detector, judged at each of the thresholds.
fn play(method: Method, network: Network, trace: &[Beat], thresholds: &[f64]) -> Vec<Outcome> {
    let origin = tokio::time::Instant::now().into_std();
    let mut watch = Watch::new(method, network);
    let fresh = |&threshold: &f64| Outcome { threshold, detection: 0.0, mistakes: 0.0 };
    let mut outcomes: Vec<_> = thresholds.iter().map(fresh).collect();
    let mut deadlines = Vec::new();
    let (mut began, mut ended, mut scored) = (Duration::MAX, Duration::ZERO, 0.0);
    for (index, beat, at) in arrivals(trace) {
        for (outcome, deadline) in outcomes.iter_mut().zip(deadlines.drain(..)) {
            outcome.mistakes += f64::from(u8::from(origin + at > deadline));
        }
        watch.hear(beat, origin + at);
        if index >= UNSCORED {
            deadlines.extend(thresholds.iter().map(|&threshold| watch.suspect_at(threshold)));
            for (outcome, deadline) in outcomes.iter_mut().zip(&deadlines) {
                outcome.detection += (*deadline - (origin + beat.sent)).as_secs_f64();
            }
            (began, ended, scored) = (began.min(at), at, scored + 1.0);
        }
    }
    for outcome in &mut outcomes {
        outcome.detection /= scored;
        outcome.mistakes /= (ended - began).as_secs_f64();
    }
    outcomes
}

/// A column of the table: where, at what detection time in seconds, and for 2W, Chen, fixed and
/// exponential, normal and logistic, the mistakes a second and the unit of the last digit.
type Column = (Network, f64, [(f64, f64); 4]);

#[rustfmt::skip]
const TABLE: [Column; 8] = [
    (Network::Wan, 0.30, [(0.0428, 1e-4), (0.0410, 1e-4), (0.0438, 1e-4), (0.0768, 1e-4)]),
    (Network::Wan, 0.35, [(0.00298, 1e-5), (0.00400, 1e-5), (0.00307, 1e-5), (0.00524, 1e-5)]),
    (Network::Wan, 0.38, [(0.00180, 1e-5), (0.00237, 1e-5), (0.00179, 1e-5), (0.00237, 1e-5)]),
    (Network::Wan, 0.50, [(0.00091, 1e-5), (0.00118, 1e-5), (0.00091, 1e-5), (0.00105, 1e-5)]),
    (Network::Lan, 0.30, [(0.00134, 1e-5), (0.00134, 1e-5), (0.00134, 1e-5), (0.00487, 1e-5)]),
    (Network::Lan, 0.50, [(0.00029, 1e-5), (0.00029, 1e-5), (0.00029, 1e-5), (0.00383, 1e-5)]),
    (Network::Drift, 1.3, [(0.00366, 1e-5), (0.00367, 1e-5), (0.0037, 1e-4), (0.00400, 1e-5)]),
    (Network::Drift, 2.2, [(0.00004, 1e-5), (0.00004, 1e-5), (0.00004, 1e-5), (0.00027, 1e-5)]),
];

const ROWS: [(Method, usize); 6] = [
    (Method::TwoWindows, 0),
    (Method::Chen, 1),
    (Method::Fixed, 2),
    (EXPONENTIAL, 2),
    (NORMAL, 3),
    (LOGISTIC, 3),
];

/// Every method on every trace, at detection times that are asked for and then at thresholds: the
/// means over the seeds.
fn play_all(
    methods: &[Method],
    asked: impl Fn(Network) -> Vec<f64> + Sync,
    given: &[f64],
) -> Vec<(Network, Method, Vec<Outcome>)> {
    let runs: Vec<_> = Network::ALL.iter().flat_map(|&on| SEEDS.map(|seed| (on, seed))).collect();
    let of_runs = on_all_processors(&runs, |&(network, seed)| {
        let trace = trace(network, seed);
        let play_one = |&method: &Method| {
            let mut at = thresholds(method, network, &trace, &asked(network));
            at.extend(given);
            play(method, network, &trace, &at)
        };
        methods.iter().map(play_one).collect::<Vec<_>>()
    });
    let mut means = Vec::new();
    for (network, seeds) in Network::ALL.into_iter().zip(of_runs.chunks(SEEDS.len())) {
        for (row, &method) in methods.iter().enumerate() {
            let column = |index: usize| {
                Outcome::mean(&seeds.iter().map(|run| run[row][index]).collect::<Vec<_>>())
            };
            means.push((network, method, (0..seeds[0][row].len()).map(column).collect()));
        }
    }
    means
}

#[test]
fn mistakes_at_equal_detection_time_are_those_of_the_table() {
    let asked = |network| {
        let columns = TABLE.iter().filter(|(on, ..)| *on == network);
        columns.map(|(_, detection, _)| *detection).collect()
    };
    let (mut report, mut missed) = (String::new(), 0);
    for (network, method, outcomes) in play_all(&ROWS.map(|(method, _)| method), asked, &[]) {
        let (_, row) = ROWS[ROWS.iter().position(|(of, _)| *of == method).unwrap()];
        let columns = TABLE.iter().filter(|(on, ..)| *on == network);
        for ((_, detection, cells), outcome) in columns.zip(outcomes) {
            let (expected, unit) = cells[row];
            let near = (outcome.mistakes - expected).abs() <= unit.max(0.03 * expected);
            let on_time = (outcome.detection - detection).abs() < 1e-4;
            missed += u32::from(!near) + u32::from(!on_time);
            let Outcome { mistakes, threshold, .. } = outcome;
            writeln!(
                report,
                "{network:?} {method:?} at {detection}: {mistakes:.5} of {expected}, near {near}, \
                 detection {:.4}, threshold {threshold:.3}",
                outcome.detection,
            )
            .unwrap();
        }
    }
    println!("{report}");
    assert_eq!(missed, 0, "\n{report}");
}

/// A threshold on a trace: what it makes of it, mistakes a second and the unit of the last digit,
/// and the detection time in milliseconds.
type Promise = (Network, Method, f64, (f64, f64), f64);

#[rustfmt::skip]
const PROMISES: [Promise; 16] = [
    (Network::Wan, NORMAL, 1.0, (0.668, 1e-3), 270.0),
    (Network::Wan, NORMAL, 3.0, (0.082, 1e-3), 299.0),
    (Network::Wan, NORMAL, 5.0, (0.0247, 1e-4), 318.0),
    (Network::Wan, NORMAL, 8.0, (0.0076, 1e-4), 340.0),
    (Network::Wan, NORMAL, 12.0, (0.0034, 1e-4), 363.0),
    (Network::Wan, LOGISTIC, 1.0, (0.667, 1e-3), 270.0),
    (Network::Wan, LOGISTIC, 3.0, (0.085, 1e-3), 298.0),
    (Network::Wan, LOGISTIC, 5.0, (0.0286, 1e-4), 316.0),
    (Network::Wan, LOGISTIC, 8.0, (0.0104, 1e-4), 333.0),
    (Network::Wan, LOGISTIC, 12.0, (0.0049, 1e-4), 351.0),
    (Network::Wan, EXPONENTIAL, 1.0, (0.0018, 1e-4), 384.0),
    (Network::Wan, EXPONENTIAL, 3.0, (0.00032, 1e-5), 861.0),
    (Network::Wan, EXPONENTIAL, 5.0, (0.00016, 1e-5), 1338.0),
    (Network::Wan, EXPONENTIAL, 8.0, (0.00010, 1e-5), 2054.0),
    (Network::Lan, NORMAL, 8.0, (0.0107, 1e-4), 120.0),
    (Network::Drift, NORMAL, 8.0, (0.0034, 1e-4), 1349.0),
];

#[test]
fn a_threshold_promises_less_than_it_says() {
    const GIVEN: [f64; 5] = [1.0, 3.0, 5.0, 8.0, 12.0];
    let played = play_all(&[NORMAL, LOGISTIC, EXPONENTIAL], |_| Vec::new(), &GIVEN);
    let (mut report, mut missed) = (String::new(), 0);
    for (network, method, phi, (expected, unit), detection_ms) in PROMISES {
        let found = |(on, of, _): &&(Network, Method, _)| (*on, *of) == (network, method);
        let column = GIVEN.iter().position(|given| *given == phi).unwrap();
        let outcome = played.iter().find(found).unwrap().2[column];
        let near = (outcome.mistakes - expected).abs() <= unit.max(0.03 * expected)
            && (outcome.detection * 1e3 - detection_ms).abs() <= 1.0;
        missed += u32::from(!near);
        writeln!(
            report,
            "{network:?} {method:?} φ {phi}: {:.5} of {expected} at {:.1} of {detection_ms} ms",
            outcome.mistakes,
            outcome.detection * 1e3,
        )
        .unwrap();
    }
    println!("{report}");
    assert_eq!(missed, 0, "\n{report}");
}
