//! The section of the clocks: whole times, and what a second thread on the same clock does to each.

use std::fmt::Write;

use steadfast_benches::READING;

use crate::{
    gates::Verdicts,
    report::{Entry, lines, short},
};

const HEAD: &str = "\
| | ns, median | 10th percentile | allocations | 1 thread, wall ns each | 2 threads, wall ns each | cost, 2 against 1 |
|---|--:|--:|--:|--:|--:|--:|
";

pub(crate) fn markdown(table: &[Entry]) -> String {
    lines(HEAD, table, line)
}

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} | {:.1} | {:.1} |", entry.title(), entry.total, entry.total_tenth)?;
    write!(text, " {} |", short(entry.allocations))?;
    match entry.rates {
        // Each of the two makes half of the calls.
        Some(rates) => {
            writeln!(
                text,
                " {:.1} | {:.1} | {:.2} |",
                1e9 / rates.one,
                2e9 / rates.two,
                cost(entry)
            )
        }
        None => writeln!(text, " | | |"),
    }
}

/// How many times longer a thread waits for its timestamp while another takes as many from the same
/// clock.
fn cost(entry: &Entry) -> f64 {
    entry.rates.map_or(f64::INFINITY, |rates| 2.0 / rates.ratio)
}

const MOST_READINGS: f64 = 1.25;
const MOST_NS: f64 = 7.0;
const MOST_COST: f64 = 2.5;

pub(crate) fn gates(table: &[Entry]) -> String {
    let row = |name: &str| {
        table.iter().find(|entry| entry.name == name).expect("gates name rows of the section")
    };
    let (exact, coarse, cached) =
        (row("tick, system clock"), row("tick, coarse clock"), row("tick, cached clock"));
    let reading = row(READING);
    let mut verdicts = Verdicts::default();

    let readings = exact.total / reading.total;
    verdicts.judge(
        exact.name,
        &format!("≤ {MOST_READINGS} × the reading"),
        &format!("{readings:.2} × ({:.1} ns, {:.1} ns)", exact.total, reading.total),
        readings <= MOST_READINGS,
    );
    for entry in [coarse, cached] {
        let measured = format!("{:.1} ns", entry.total);
        verdicts.judge(entry.name, &format!("≤ {MOST_NS} ns"), &measured, entry.total <= MOST_NS);
    }
    for entry in [exact, coarse, cached] {
        let measured = format!("{} allocations", entry.allocations);
        verdicts.judge(entry.name, "0 allocations", &measured, entry.allocations == 0.0);
        let asked = format!("≤ {MOST_COST} × the cost on two threads");
        verdicts.judge(
            entry.name,
            &asked,
            &format!("{:.2} ×", cost(entry)),
            cost(entry) <= MOST_COST,
        );
    }
    verdicts.markdown()
}
