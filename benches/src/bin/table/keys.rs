//! The section of the keys: whole times, and what the layer adds.

use std::fmt::Write;

use crate::{
    gates::Verdicts,
    report::{Entry, lines, short},
};

const HEAD: &str = "\
| 1 KiB there and back | ns, median | 10th percentile | ns added | allocations | bytes | ratio, 2 threads to 1 |
|---|--:|--:|--:|--:|--:|--:|
";

pub(crate) fn markdown(table: &[Entry]) -> String {
    lines(HEAD, table, line)
}

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} | {:.0} | {:.0} |", entry.title(), entry.total, entry.total_tenth)?;
    match entry.added {
        // It is measured against itself.
        0.0 => write!(text, " |")?,
        added => write!(text, " {added:.0} |")?,
    }
    write!(text, " {} | {} |", short(entry.allocations), short(entry.bytes))?;
    let ratio = entry.rates.map_or(0.0, |rates| rates.ratio);
    writeln!(text, " {ratio:.2} |")
}

/// Nanoseconds of the whole.
const GATES: [(&str, f64); 3] =
    [("first", 4000.0), ("replay", 3000.0), ("memory store: name, claim, complete", 1000.0)];
/// Nanoseconds that the layer may add to a request without a key.
const NO_KEY: (&str, f64) = ("no key", 20.0);
const LEAST_RATIO: (&str, f64) = ("memory store: name, claim, complete", 1.5);

pub(crate) fn gates(table: &[Entry]) -> String {
    let entry = |name: &str| {
        table.iter().find(|entry| entry.name == name).expect("gates name rows of the section")
    };
    let mut verdicts = Verdicts::default();
    let (name, most) = NO_KEY;
    let (passed, bare) = (entry(name), entry(steadfast_benches::UNKEYED));
    let added = passed.added;
    verdicts.judge(name, &format!("≤ {most} ns added"), &format!("{added:.1} ns"), added <= most);
    let allocations = passed.allocations - bare.allocations;
    let measured = format!("{} allocations", short(allocations));
    verdicts.judge(name, "0 allocations added", &measured, allocations == 0.0);
    for (name, most) in GATES {
        let total = entry(name).total;
        verdicts.judge(name, &format!("≤ {most} ns"), &format!("{total:.0} ns"), total <= most);
    }
    let (name, least) = LEAST_RATIO;
    let ratio = entry(name).rates.map_or(0.0, |rates| rates.ratio);
    let asked = format!("≥ {least} × on two threads");
    verdicts.judge(name, &asked, &format!("{ratio:.2} ×"), ratio >= least);
    verdicts.markdown()
}
