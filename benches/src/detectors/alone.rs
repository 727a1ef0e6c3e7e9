//! Detectors of one peer, which read no clock: synthetic instants are handed to them.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use steadfast_phi::{
    Distribution, Heartbeat, Margin, MarginConfig, MarginDetector, MistakeRate, PhiAccrual,
    PhiConfig,
};

use crate::{
    detectors::{
        INSTANTS, QUESTIONS,
        beats::{Beating, PERIOD, questions},
    },
    quorums::Asking,
    row::{Family, Group, Row},
    subject::Subject,
};

const VALID: &str = "the configuration is valid";

/// Heartbeats heard before the first that is measured: the window has been full for long.
pub(super) const HISTORY: u64 = 10_000;

/// Silences up to half of a mean interval, as while heartbeats come.
const FRESH: Duration = Duration::from_millis(50);

/// Silences up to ten mean intervals: most of them far out in the tail.
const SILENT: Duration = Duration::from_secs(1);

pub(super) fn rows() -> Vec<Row> {
    let instants = Beating::new((), false, |(), beat| {
        black_box(beat);
    });
    let (_, last) = instants.clone().after(1);
    let mut rows = vec![
        row(Family::Reference, INSTANTS, Box::new(instants)),
        row(
            Family::Reference,
            QUESTIONS,
            Box::new(Asking::new(questions(last, SILENT), |at: &Instant| *at)),
        )
        .over(QUESTIONS),
    ];
    rows.extend(accrual());
    rows.extend(margins());
    rows
}

pub(super) fn row(family: Family, name: &'static str, subject: Box<dyn Subject>) -> Row {
    Row::new(family, Group::Detector, name, subject).over(INSTANTS).uncontended()
}

fn accrual() -> Vec<Row> {
    let normal = PhiConfig::new();
    let mut rows = vec![
        hears("heartbeat, φ, window of 1,000, full", normal, HISTORY, false),
        hears("heartbeat, φ, window of 1,000, outages in it", normal, HISTORY, true),
        filling("heartbeat, φ, the first 1,000 of a detector", normal),
        hears("heartbeat, φ, constant memory", normal.decaying(1000), HISTORY, false),
    ];
    let logistic = normal.distribution(Distribution::Logistic);
    let exponential = normal.distribution(Distribution::Exponential);
    rows.extend([
        answers("φ, normal, fresh", normal, HISTORY, false, FRESH),
        answers("φ, normal, to the tail", normal, HISTORY, false, SILENT),
        answers("φ, normal, after one heartbeat", normal, 1, false, SILENT),
        answers("φ, normal, outages in the window", normal, HISTORY, true, SILENT),
        answers("φ, normal, constant memory", normal.decaying(1000), HISTORY, false, SILENT),
        answers("φ, logistic, to the tail", logistic, HISTORY, false, SILENT),
        answers("φ, exponential, to the tail", exponential, HISTORY, false, SILENT),
        inverts("suspect_at, normal", normal),
    ]);
    rows
}

fn beating(
    config: PhiConfig,
    outages: bool,
) -> Beating<PhiAccrual, impl FnMut(&mut PhiAccrual, super::beats::Beat) + Clone> {
    let detector = PhiAccrual::new(config).expect(VALID);
    Beating::new(detector, outages, |detector: &mut PhiAccrual, beat| {
        detector.heartbeat(beat.now);
    })
}

fn hears(name: &'static str, config: PhiConfig, history: u64, outages: bool) -> Row {
    let mut subject = beating(config, outages);
    subject.run(history);
    row(Family::Ours, name, Box::new(subject))
}

/// A new detector after each thousand heartbeats. To make it is in the time.
fn filling(name: &'static str, config: PhiConfig) -> Row {
    let new = move || PhiAccrual::new(config).expect(VALID);
    let subject = Beating::new(new(), false, move |detector: &mut PhiAccrual, beat| {
        if beat.number % 1000 == 0 {
            *detector = new();
        }
        detector.heartbeat(beat.now);
    });
    row(Family::Ours, name, Box::new(subject))
}

fn answers(
    name: &'static str,
    config: PhiConfig,
    history: u64,
    outages: bool,
    silence: Duration,
) -> Row {
    let (detector, last) = beating(config, outages).after(history);
    let asking = Asking::new(questions(last, silence), move |at: &Instant| detector.phi(*at));
    row(Family::Ours, name, Box::new(asking)).over(QUESTIONS)
}

fn inverts(name: &'static str, config: PhiConfig) -> Row {
    let (detector, last) = beating(config, false).after(HISTORY);
    let asking = Asking::new(questions(last, SILENT), move |at: &Instant| {
        black_box(at);
        detector.suspect_at(black_box(8.0))
    });
    row(Family::Ours, name, Box::new(asking)).over(QUESTIONS)
}

fn margins() -> Vec<Row> {
    let constant = Margin::Constant(Duration::from_millis(500));
    let mut rows = vec![
        waits("heartbeat, last arrival, constant margin", last_arrival(constant)),
        waits("heartbeat, last arrival, calibrated", last_arrival(calibrated())),
        waits("heartbeat, Chen, window of 1,000", MarginConfig::chen(PERIOD, constant)),
        waits("heartbeat, 2W, window of 1,000", MarginConfig::two_windows(PERIOD, constant)),
        waits("heartbeat, 2W, calibrated", MarginConfig::two_windows(PERIOD, calibrated())),
        waits("heartbeat, 2W, calibrated, constant memory", constant_memory()),
    ];
    let (detector, last) = watching(MarginConfig::two_windows(PERIOD, calibrated())).after(HISTORY);
    let asking = Asking::new(questions(last, SILENT), move |at: &Instant| detector.phi(*at));
    rows.push(row(Family::Ours, "φ, 2W, calibrated", Box::new(asking)).over(QUESTIONS));
    rows
}

pub(super) const fn last_arrival(margin: Margin) -> MarginConfig {
    MarginConfig::last_arrival(PERIOD, margin)
}

pub(super) const fn constant_memory() -> MarginConfig {
    MarginConfig::two_windows(PERIOD, calibrated()).weighted()
}

pub(super) const fn calibrated() -> Margin {
    Margin::Calibrated(MistakeRate::once_in(Duration::from_secs(86_400)))
}

fn watching(
    config: MarginConfig,
) -> Beating<MarginDetector, impl FnMut(&mut MarginDetector, super::beats::Beat) + Clone> {
    let detector = MarginDetector::new(config).expect(VALID);
    Beating::new(detector, false, |detector: &mut MarginDetector, beat| {
        let heartbeat = Heartbeat::new().sequence(beat.number);
        black_box(detector.heartbeat(heartbeat, beat.now));
    })
}

fn waits(name: &'static str, config: MarginConfig) -> Row {
    let mut subject = watching(config);
    subject.run(HISTORY);
    row(Family::Ours, name, Box::new(subject))
}
