//! The section of the failure detectors: whole times and what is added to the clock or the instants
//! that a heartbeat comes with; the layers; what a peer weighs.

use std::fmt::Write;

use steadfast_benches::{Family, Shape, memory};

use crate::{
    counts,
    gates::Verdicts,
    report::{Entry, lines, short},
};

const HEAD: &str = "\
| | ns, median | 10th percentile | ns added | allocations | 2 threads against 1 |
|---|--:|--:|--:|--:|--:|
";

pub(crate) fn markdown(table: &[Entry]) -> String {
    lines(HEAD, table, line)
}

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} | {:.1} | {:.1} |", entry.id_title(), entry.total, entry.total_tenth)?;
    match entry.added {
        // Measured against itself: only the whole time means something.
        0.0 => write!(text, " |")?,
        added => write!(text, " {added:.1} |")?,
    }
    write!(text, " {} |", short(entry.allocations))?;
    match entry.rates {
        Some(rates) => writeln!(text, " {:.2} |", rates.ratio),
        // It has one owner.
        None => writeln!(text, " |"),
    }
}

/// What a heartbeat or a question may add to the clock, to the instant it is handed, or, for the
/// layers, to the bare service and its clock.
const MOST_ADDED: f64 = 40.0;

/// What a heartbeat may take in all where it is one of 100,000 peers', in the order in which they
/// joined.
const MOST_KEYED: f64 = 200.0;

/// The same in a random order, against what it takes to find and to lock so much memory. (A window
/// is one more place to load.)
const MOST_TIMES: f64 = 2.0;

/// Of a heap that grows, now and then.
const FEW_ALLOCATIONS: f64 = 0.005;

/// How many times as many heartbeats two threads have in that detector as one.
const LEAST_RATIO: f64 = 1.5;

const KEYED: &str = "heartbeat(key), ";
const IN_ORDER: &str = "heartbeat(key), in order";
const PLAIN: &str = "a map of mutexes and a look at the clock, random order";

/// Events of one peer, ours, which are held to the bar.
const EVENTS: [&str; 2] = ["heartbeat, ", "φ, "];

pub(crate) fn gates(table: &[Entry]) -> String {
    let mut verdicts = Verdicts::default();
    let ours = || table.iter().filter(|entry| entry.family == Family::Ours);
    for entry in ours().filter(|entry| EVENTS.iter().any(|event| entry.name.starts_with(event))) {
        let (asked, measured) =
            (format!("≤ {MOST_ADDED} ns added"), format!("{:.1} ns", entry.added));
        verdicts.judge(entry.name, &asked, &measured, entry.added <= MOST_ADDED);
    }
    let plain = table.iter().find(|entry| entry.name == PLAIN).map_or(0.0, |entry| entry.total);
    for entry in ours().filter(|entry| entry.name.starts_with(KEYED)) {
        if entry.name.starts_with(IN_ORDER) {
            let (asked, measured) =
                (format!("≤ {MOST_KEYED} ns"), format!("{:.1} ns", entry.total));
            verdicts.judge(entry.name, &asked, &measured, entry.total <= MOST_KEYED);
        } else {
            let times = entry.total / plain;
            let (asked, measured) =
                (format!("≤ {MOST_TIMES} × the plain map"), format!("{times:.2} ×"));
            verdicts.judge(entry.name, &asked, &measured, times <= MOST_TIMES);
        }
        let ratio = entry.rates.map_or(0.0, |rates| rates.ratio);
        let (asked, measured) =
            (format!("≥ {LEAST_RATIO} × on two threads"), format!("{ratio:.2} ×"));
        verdicts.judge(entry.name, &asked, &measured, ratio >= LEAST_RATIO);
    }
    let most = ours()
        .filter(|entry| !entry.name.contains(FIRST) && entry.shape != Some(Shape::Boxed))
        .map(|entry| entry.allocations);
    let most = most.fold(0.0, f64::max);
    let measured = format!("{} allocations", short(most));
    verdicts.judge(
        "every event of a known peer",
        "0.00 allocations",
        &measured,
        most < FEW_ALLOCATIONS,
    );
    weights(&mut verdicts);
    verdicts.markdown()
}

/// In the row of the detectors that are made anew. The box of a boxed service is not ours either.
const FIRST: &str = "the first 1,000";

fn weights(verdicts: &mut Verdicts) {
    let weights = match counts::memory() {
        Ok(weights) => weights,
        Err(error) => return verdicts.judge("memory", "a weight", &error.to_string(), false),
    };
    for memory in memory() {
        let bytes = weights[memory.name].bytes as f64 / memory.peers as f64;
        let (title, asked) = (
            format!("a peer among {}: {}", memory.peers, memory.name),
            format!("≤ {} bytes", memory.most),
        );
        verdicts.judge(&title, &asked, &format!("{bytes:.0} bytes"), bytes <= memory.most);
    }
}
