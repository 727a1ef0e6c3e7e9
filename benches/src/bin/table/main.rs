//! `cargo run --profile bench -p steadfast-benches --bin table [section …]`: what each layer costs
//! in programs of each shape, and what each timestamp, each quorum and each failure detector costs,
//! beside their peers, in one run. With `--profile plain` it is built as programs are that set
//! nothing in their profile.
//!
//! It judges the gates and never fails over them: a time is a property of the machine as well.

mod chaos;
mod clocks;
mod counts;
mod detectors;
mod gates;
mod keys;
mod leases;
mod profile;
mod quorums;
mod report;
mod scaling;
mod shapes;
mod single;

use std::{collections::HashMap, env, error::Error};

use steadfast_benches::{
    BARE, BOOT_CLOCK, CLOCK, READING, Row, UNFAULTED, UNKEYED, VOTES, abort_on_panic, catalogue,
    enter,
};

use crate::{counts::Count, report::Entry};

/// Rows that are measured in turn, so that they can be compared with each other.
struct Section {
    name: &'static str,
    title: &'static str,
    rows: fn() -> Vec<Row>,
    /// The row of which two threads share nothing.
    unshared: &'static str,
    table: fn(&[Entry]) -> String,
    gates: fn(&[Entry]) -> String,
}

const SECTIONS: [Section; 8] = [
    Section {
        name: "layers",
        title: "Layers",
        rows: catalogue,
        unshared: BARE,
        table: report::markdown,
        gates: gates::markdown,
    },
    Section {
        name: "shapes",
        title: "Shapes",
        rows: steadfast_benches::shapes,
        unshared: BARE,
        table: shapes::markdown,
        gates: shapes::gates,
    },
    Section {
        name: "clocks",
        title: "Clocks",
        rows: steadfast_benches::clocks,
        unshared: READING,
        table: clocks::markdown,
        gates: clocks::gates,
    },
    Section {
        name: "quorums",
        title: "Quorums",
        rows: steadfast_benches::quorums,
        unshared: VOTES,
        table: quorums::markdown,
        gates: quorums::gates,
    },
    Section {
        name: "detectors",
        title: "Failure detectors",
        rows: steadfast_benches::detectors,
        unshared: CLOCK,
        table: detectors::markdown,
        gates: detectors::gates,
    },
    Section {
        name: "chaos",
        title: "Faults",
        rows: steadfast_benches::chaos,
        unshared: UNFAULTED,
        table: chaos::markdown,
        gates: chaos::gates,
    },
    Section {
        name: "idempotency",
        title: "Idempotency keys",
        rows: steadfast_benches::keys,
        unshared: UNKEYED,
        table: keys::markdown,
        gates: keys::gates,
    },
    Section {
        name: "leases",
        title: "Leases",
        rows: steadfast_benches::leases,
        unshared: BOOT_CLOCK,
        table: leases::markdown,
        gates: leases::gates,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    abort_on_panic();
    let wanted: Vec<String> = env::args().skip(1).collect();
    let sections = choose(&wanted)?;
    let counts = counts::counts().map_err(|error| format!("no count of allocations: {error}"))?;
    let _guard = enter();
    for section in sections {
        println!("{}", section.measure(&counts));
    }
    Ok(())
}

/// Those asked for, or all of them.
fn choose(wanted: &[String]) -> Result<Vec<&'static Section>, String> {
    if let Some(unknown) =
        wanted.iter().find(|name| SECTIONS.iter().all(|section| section.name != name.as_str()))
    {
        let names = SECTIONS.map(|section| section.name).join(", ");
        return Err(format!("there is no section {unknown}; there are: {names}"));
    }
    let chosen =
        |section: &&Section| wanted.is_empty() || wanted.iter().any(|name| name == section.name);
    Ok(SECTIONS.iter().filter(chosen).collect())
}

impl Section {
    /// As markdown.
    fn measure(&self, counts: &HashMap<String, Count>) -> String {
        let mut rows = (self.rows)();
        eprintln!("{}: {} subjects: one thread, in turn …", self.name, rows.len());
        let times = single::measure(&mut rows);
        eprintln!("two threads against one …");
        let rates = scaling::measure(&rows);
        let entries = report::table(&rows, &times, counts, &rates);
        let noise = gates::noise(&entries, self.unshared);
        let (table, gates) = ((self.table)(&entries), (self.gates)(&entries));
        format!("## {}\n\n{noise}{table}\n{gates}", self.title)
    }
}
