//! The section of the leases: whole times, and what is added to the clock or the bare service.

use std::fmt::Write;

use steadfast_benches::TOKENED;

use crate::{
    gates::Verdicts,
    report::{Entry, lines, short},
};

const HEAD: &str = "\
| | ns, median | 10th percentile | ns added | allocations | ratio, 2 threads to 1 |
|---|--:|--:|--:|--:|--:|
";

pub(crate) fn markdown(table: &[Entry]) -> String {
    lines(HEAD, table, line)
}

fn line(text: &mut String, entry: &Entry) -> std::fmt::Result {
    write!(text, "| {} | {:.1} | {:.1} |", entry.id_title(), entry.total, entry.total_tenth)?;
    match entry.added {
        // It is measured against itself.
        0.0 => write!(text, " |")?,
        added => write!(text, " {added:.1} |")?,
    }
    write!(text, " {} |", short(entry.allocations))?;
    match entry.rates {
        Some(rates) => writeln!(text, " {:.2} |", rates.ratio),
        None => writeln!(text, " |"),
    }
}

const LOOK: &str = "Lease::is_valid";
/// Nanoseconds that a look may take: two loads, and the clock's 22.
const MOST_OF_LOOK: f64 = 30.0;

const FENCED: &str = "FenceLayer, 1,000 resources";
/// Nanoseconds that the layer of the resource may add to a request, in any shape.
const MOST_ADDED: f64 = 100.0;

/// Readers of one lease share nothing that is written.
const LEAST_RATIO: f64 = 1.8;

pub(crate) fn gates(table: &[Entry]) -> String {
    let mut verdicts = Verdicts::default();
    let look = table.iter().find(|entry| entry.name == LOOK).expect("a row of the section");
    let (asked, measured) = (format!("≤ {MOST_OF_LOOK} ns"), format!("{:.1} ns", look.total));
    verdicts.judge(LOOK, &asked, &measured, look.total <= MOST_OF_LOOK);
    let measured = format!("{} allocations", short(look.allocations));
    verdicts.judge(LOOK, "0 allocations", &measured, look.allocations == 0.0);
    let ratio = look.rates.map_or(0.0, |rates| rates.ratio);
    let asked = format!("≥ {LEAST_RATIO} × on two threads");
    verdicts.judge(LOOK, &asked, &format!("{ratio:.2} ×"), ratio >= LEAST_RATIO);
    for entry in table.iter().filter(|entry| entry.name == FENCED) {
        let (asked, measured) =
            (format!("≤ {MOST_ADDED} ns added"), format!("{:.1} ns", entry.added));
        verdicts.judge(&entry.id_title(), &asked, &measured, entry.added <= MOST_ADDED);
        let bare = table
            .iter()
            .find(|bare| bare.name == TOKENED && bare.shape == entry.shape)
            .expect("the bare service is in each shape");
        let added = entry.allocations - bare.allocations;
        let measured = format!("{} allocations", short(added));
        verdicts.judge(&entry.id_title(), "0 allocations added", &measured, added == 0.0);
    }
    verdicts.markdown()
}

#[cfg(test)]
mod tests {
    use steadfast_benches::Family;

    use super::*;

    #[test]
    fn every_bar_is_held_to_a_row_that_is_there() {
        let _guard = steadfast_benches::enter();
        let rows = steadfast_benches::leases();
        assert!(rows.iter().any(|row| row.name == LOOK && row.family == Family::Ours));
        let fenced = rows.iter().filter(|row| row.name == FENCED);
        assert_eq!(fenced.count(), 4, "shapes");
    }
}
