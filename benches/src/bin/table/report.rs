//! The table.

use std::{collections::HashMap, fmt::Write};

use steadfast_benches::{Family, Group, Row, Shape};

use crate::{counts::Count, scaling::Rates, single::Times};

/// One line of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) shape: Option<Shape>,
    pub(crate) family: Family,
    group: Group,
    /// Nanoseconds over the row it is measured against.
    pub(crate) added: f64,
    added_tenth: f64,
    /// Nanoseconds of the whole call.
    pub(crate) total: f64,
    pub(crate) total_tenth: f64,
    /// Of one call.
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
    pub(crate) rates: Option<Rates>,
}

impl Entry {
    /// Its name, bold if it is ours.
    pub(crate) fn title(&self) -> String {
        match self.family {
            Family::Ours => format!("**{}**", self.name),
            Family::Reference | Family::Peer => self.name.to_owned(),
        }
    }

    /// The same, with its shape if it has one.
    pub(crate) fn id_title(&self) -> String {
        match self.shape {
            Some(shape) => format!("{}: {}", self.title(), shape.name()),
            None => self.title(),
        }
    }
}

pub(crate) fn table(
    rows: &[Row],
    times: &[Times],
    counts: &HashMap<String, Count>,
    rates: &HashMap<String, Rates>,
) -> Vec<Entry> {
    let times_of: HashMap<_, _> = rows.iter().map(Row::id).zip(times).collect();
    let entry = |(row, times): (&Row, &Times)| {
        let (over, count) = (times_of[&row.over_id()], counts[&row.id()]);
        Entry {
            name: row.name,
            shape: row.shape,
            family: row.family,
            group: row.group,
            added: times.median - over.median,
            added_tenth: times.tenth - over.tenth,
            total: times.median,
            total_tenth: times.tenth,
            allocations: count.allocations as f64 / 1000.0,
            bytes: count.bytes as f64 / 1000.0,
            rates: rates.get(&row.id()).copied(),
        }
    };
    rows.iter().zip(times).map(entry).collect()
}

pub(crate) fn markdown(table: &[Entry]) -> String {
    lines(HEAD, table, line)
}

/// A head, and a line for each entry.
pub(crate) fn lines(
    head: &str,
    table: &[Entry],
    line: fn(&mut String, &Entry) -> std::fmt::Result,
) -> String {
    let mut text = String::from(head);
    for entry in table {
        line(&mut text, entry).expect("writing to a string cannot fail");
    }
    text
}

const HEAD: &str = "\
| | ns added, median | 10th percentile | allocations | bytes | 1 thread, M calls/s | 2 threads, M calls/s | ratio |
|---|--:|--:|--:|--:|--:|--:|--:|
";

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} |", entry.title())?;
    match entry.group {
        // What has no layer has nothing to add to: its own time.
        Group::Baseline | Group::Clock | Group::Votes | Group::Detector => {
            write!(text, " ({:.1}) | |", entry.total)?;
        }
        Group::Happy | Group::Refused => {
            write!(text, " {:.1} | {:.1} |", entry.added, entry.added_tenth)?;
        }
    }
    write!(text, " {} | {} |", short(entry.allocations), short(entry.bytes))?;
    match entry.rates {
        Some(Rates { one, two, ratio }) => {
            writeln!(text, " {:.1} | {:.1} | {ratio:.2} |", one / 1e6, two / 1e6)
        }
        None => writeln!(text, " | | |"),
    }
}

/// Whole numbers without a fraction.
pub(crate) fn short(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}
