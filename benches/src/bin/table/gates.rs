//! What must hold, judged by the medians of this run.

use std::fmt::Write;

use steadfast_benches::{AT_END, AT_HEAD, TOKIOS_CLOCK};

use crate::report::Entry;

struct Gate {
    row: &'static str,
    most_ns: f64,
    no_allocation: bool,
    least_ratio: Option<f64>,
}

const fn gate(row: &'static str, most_ns: f64) -> Gate {
    Gate { row, most_ns, no_allocation: false, least_ratio: None }
}

impl Gate {
    const fn without_allocation(self) -> Self {
        Self { no_allocation: true, ..self }
    }

    const fn ratio(self, least: f64) -> Self {
        Self { least_ratio: Some(least), ..self }
    }

    /// What was asked for, what came, and whether it is enough.
    fn parts(&self, entry: &Entry) -> Vec<(String, String, bool)> {
        let mut parts = vec![(
            format!("≤ {} ns", self.most_ns),
            format!("{:.1} ns", entry.added),
            entry.added <= self.most_ns,
        )];
        if self.no_allocation {
            let met = entry.allocations == 0.0;
            parts.push((
                "0 allocations".to_owned(),
                format!("{} allocations", entry.allocations),
                met,
            ));
        }
        if let Some(least) = self.least_ratio {
            let ratio = entry.rates.map_or(0.0, |rates| rates.ratio);
            parts.push((
                format!("≥ {least:.1} × on two threads"),
                format!("{ratio:.2} ×"),
                ratio >= least,
            ));
        }
        parts
    }
}

const GATES: [Gate; 8] = [
    gate("breaker, count window (default)", 12.0).without_allocation().ratio(1.0),
    gate("breaker, time window, coarse clock", 15.0).without_allocation().ratio(1.8),
    gate("breaker, time window, tokio's clock", 35.0).ratio(1.8),
    gate("breaker open", 35.0).without_allocation(),
    gate("timeout, fixed", 10.0),
    gate("timeout, adaptive", 60.0),
    gate("retry with budget (default)", 6.0),
    gate("retry + breaker + adaptive timeout", 100.0).without_allocation(),
];

pub(crate) fn markdown(table: &[Entry]) -> String {
    let mut verdicts = Verdicts::default();
    for gate in &GATES {
        let entry = table
            .iter()
            .find(|entry| entry.name == gate.row)
            .expect("gates name rows of the catalogue");
        for (asked, measured, met) in gate.parts(entry) {
            verdicts.judge(gate.row, &asked, &measured, met);
        }
    }
    until_end(table, &mut verdicts);
    verdicts.markdown()
}

/// Beyond what the layer costs that judges at the head: one look at the clock, and this.
const UNTIL_END: f64 = 20.0;

fn until_end(table: &[Entry], verdicts: &mut Verdicts) {
    let entry =
        |name: &str| table.iter().find(|entry| entry.name == name).expect("a row of the catalogue");
    let (head, end, clock) = (entry(AT_HEAD), entry(AT_END), entry(TOKIOS_CLOCK));
    let more = end.total - head.total;
    let most = clock.total + UNTIL_END;
    let asked =
        format!("≤ {most:.1} ns more than at the head: a look at the clock and {UNTIL_END}");
    verdicts.judge(AT_END, &asked, &format!("{more:.1} ns"), more <= most);
    let allocations = format!("{} allocations", end.allocations);
    verdicts.judge(AT_END, "0 allocations", &allocations, end.allocations == 0.0);
}

/// What was asked of this run and what came of it, line by line.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    lines: String,
}

impl Verdicts {
    pub(crate) fn judge(&mut self, row: &str, asked: &str, measured: &str, met: bool) {
        let judged = if met { "met" } else { "NOT met" };
        writeln!(self.lines, "| {row} | {asked} | {measured} | {judged} |")
            .expect("writing to a string cannot fail");
    }

    pub(crate) fn markdown(&self) -> String {
        format!("| gate | asked | measured | |\n|---|---|---|---|\n{}", self.lines)
    }
}

/// What two threads that share nothing make of a machine that has two cores for them.
const QUIET: f64 = 1.8;

/// What to know of the run before its figures; empty, if nothing.
pub(crate) fn noise(table: &[Entry], unshared: &str) -> &'static str {
    let entry = table.iter().find(|entry| entry.name == unshared);
    let ratio = entry.and_then(|entry| entry.rates).map_or(0.0, |rates| rates.ratio);
    if ratio < QUIET {
        "The machine was not quiet: its threads did not have a core each. The ratios mean nothing.\n\n"
    } else {
        ""
    }
}
