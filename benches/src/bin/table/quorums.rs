//! The section of the quorums: whole times.

use std::fmt::Write;

use crate::{
    gates::Verdicts,
    report::{Entry, lines, short},
};

const HEAD: &str = "\
| | ns, median | 10th percentile | allocations | bytes | cost, 2 threads against 1 |
|---|--:|--:|--:|--:|--:|
";

pub(crate) fn markdown(table: &[Entry]) -> String {
    lines(HEAD, table, line)
}

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} | {:.1} | {:.1} |", entry.title(), entry.total, entry.total_tenth)?;
    write!(text, " {} | {} |", short(entry.allocations), short(entry.bytes))?;
    match entry.rates {
        Some(rates) => writeln!(text, " {:.2} |", 2.0 / rates.ratio),
        // Nothing is written that threads could share.
        None => writeln!(text, " |"),
    }
}

/// What a row may take, and how often it may allocate.
const GATES: [(&str, f64, f64); 6] = [
    ("decide, majority of 5", 2.0, 0.0),
    ("decide, joint 5 + 5", 4.0, 0.0),
    ("decide, grid of 3 × 3", 20.0, 0.0),
    ("decide, hierarchy of 3 × 3", 20.0, 0.0),
    // One allocation for the nodes' calls, one for their answers, one for the nodes in reserve.
    ("call, 3 of 5 services, all at once", 1000.0, 2.0),
    ("call, 3 of 5 services, quorum first", 1000.0, 3.0),
];

pub(crate) fn gates(table: &[Entry]) -> String {
    let mut verdicts = Verdicts::default();
    for (name, most_ns, most_allocations) in GATES {
        let entry =
            table.iter().find(|entry| entry.name == name).expect("gates name rows of the section");
        let (ns, allocations) = (entry.total, entry.allocations);
        verdicts.judge(name, &format!("≤ {most_ns} ns"), &format!("{ns:.1} ns"), ns <= most_ns);
        let asked = if most_allocations == 0.0 { String::new() } else { "≤ ".to_owned() };
        let (asked, measured) = (
            format!("{asked}{most_allocations} allocations"),
            format!("{} allocations", short(allocations)),
        );
        verdicts.judge(name, &asked, &measured, allocations <= most_allocations);
    }
    verdicts.markdown()
}
