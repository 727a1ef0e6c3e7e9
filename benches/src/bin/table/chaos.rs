//! The section of the faults: what a layer adds that injects none.

use steadfast_benches::Family;

use crate::{
    gates::Verdicts,
    report::{Entry, short},
    shapes,
};

pub(crate) fn markdown(table: &[Entry]) -> String {
    shapes::markdown(table)
}

const OFF: &str = "faults, off";

/// Nanoseconds that the layer may add while it is switched off.
const MOST_ADDED: f64 = 3.0;

pub(crate) fn gates(table: &[Entry]) -> String {
    let mut verdicts = Verdicts::default();
    for entry in table.iter().filter(|entry| entry.name == OFF) {
        let added = entry.added;
        let (asked, measured) = (format!("≤ {MOST_ADDED} ns added"), format!("{added:.1} ns"));
        verdicts.judge(&entry.id_title(), &asked, &measured, added <= MOST_ADDED);
        let bare = table
            .iter()
            .find(|bare| bare.family == Family::Reference && bare.shape == entry.shape)
            .expect("the bare service is in each shape");
        let allocations = entry.allocations - bare.allocations;
        let measured = format!("{} allocations", short(allocations));
        verdicts.judge(&entry.id_title(), "0 allocations added", &measured, allocations == 0.0);
    }
    verdicts.markdown()
}
