//! The section of the shapes: a matrix of subjects and shapes, and the bars the layers are held to.

use steadfast_benches::{BARE, Family, Shape};

use crate::{gates::Verdicts, profile::Profile, report::Entry, report::short};

/// Three tables: times, allocations, and what a second thread does.
pub(crate) fn markdown(table: &[Entry]) -> String {
    let times = matrix(table, |entry| {
        let added = if entry.family == Family::Reference {
            String::new()
        } else {
            format!(" ({:.1})", entry.added)
        };
        Some(format!("{:.1}{added}", entry.total))
    });
    let allocations = matrix(table, |entry| Some(short(entry.allocations)));
    let threads = matrix(table, |entry| Some(format!("{:.2}", entry.rates?.ratio)));
    format!(
        "Built with the profile `{}`. Nanoseconds a call with the bare service in it, and in brackets what is added to \
         the bare service in the same shape:\n\n{times}\nAllocations a call:\n\n{allocations}\nCalls of two threads on \
         one service, against those of one thread. A clone for each call writes one shared count a layer, from both \
         threads:\n\n{threads}",
        Profile::current().name()
    )
}

/// A line for each subject and a column for each shape that has any cell.
fn matrix(table: &[Entry], cell: impl Fn(&Entry) -> Option<String>) -> String {
    let shapes = Shape::ALL.map(|shape| {
        (shape, table.iter().any(|entry| entry.shape == Some(shape) && cell(entry).is_some()))
    });
    let shapes: Vec<Shape> =
        shapes.into_iter().filter_map(|(shape, any)| any.then_some(shape)).collect();
    let mut text = String::from("| |");
    text.extend(shapes.iter().map(|shape| format!(" {} |", shape.name())));
    text.push_str("\n|---|");
    text.extend(shapes.iter().map(|_| "--:|"));
    text.push('\n');
    for first in table.iter().filter(|entry| entry.shape == Some(Shape::Loop)) {
        text.push_str(&format!("| {} |", first.title()));
        let found = |shape| find(table, first.name, shape).and_then(&cell);
        text.extend(shapes.iter().map(|shape| format!(" {} |", found(*shape).unwrap_or_default())));
        text.push('\n');
    }
    text
}

fn find<'a>(table: &'a [Entry], name: &str, shape: Shape) -> Option<&'a Entry> {
    table.iter().find(|entry| entry.name == name && entry.shape == Some(shape))
}

const BREAKER: &str = "breaker, count window (default)";
const SMALL: &str = "breaker, small error";
const FIXED: &str = "timeout, fixed";
const ADAPTIVE: &str = "timeout, adaptive";
const RETRY: &str = "retry with budget (default)";
const STACK: &str = "retry + breaker + adaptive timeout";
const QUORUM: &str = "quorum call, 3 of 5 services";
const RECLOSER: &str = "recloser";
const SMALL_RECLOSER: &str = "recloser, small error";
const UNORDERED: &str = "FuturesUnordered, the first 3 of 5 services";

/// Nanoseconds of a whole call, in the profile `bench`: about a third above what a prototype took.
const BARS: [(&str, Shape, f64); 14] = [
    (RETRY, Shape::Loop, 7.0),
    (BREAKER, Shape::Loop, 6.5),
    (STACK, Shape::Loop, 25.0),
    (BREAKER, Shape::Sites, 6.5),
    (BREAKER, Shape::Guarded, 6.5),
    (FIXED, Shape::Guarded, 8.0),
    (ADAPTIVE, Shape::Guarded, 8.0),
    (RETRY, Shape::Guarded, 8.0),
    (STACK, Shape::Guarded, 25.0),
    (STACK, Shape::Boxed, 60.0),
    (STACK, Shape::BoxedGuarded, 60.0),
    (RETRY, Shape::Cloned, 16.0),
    (STACK, Shape::Cloned, 60.0),
    (STACK, Shape::ClonedGuarded, 60.0),
];

/// The same without link-time optimisation, for the shape in which that did most.
const PLAIN_BARS: [(&str, Shape, f64); 5] = [
    (BREAKER, Shape::Guarded, 8.0),
    (FIXED, Shape::Guarded, 8.0),
    (ADAPTIVE, Shape::Guarded, 8.0),
    (RETRY, Shape::Guarded, 8.0),
    (STACK, Shape::Guarded, 30.0),
];

/// At most so many times as long as another row of the same run.
const RATIOS: [(&str, Shape, f64, &str, Shape); 5] = [
    (BREAKER, Shape::Guarded, 0.6, RECLOSER, Shape::Sites),
    (BREAKER, Shape::Boxed, 1.0, RECLOSER, Shape::Boxed),
    (SMALL, Shape::Boxed, 1.0, SMALL_RECLOSER, Shape::Boxed),
    (QUORUM, Shape::Loop, 1.0, UNORDERED, Shape::Loop),
    (QUORUM, Shape::Sites, 1.0, UNORDERED, Shape::Sites),
];

/// What `guard` may add to a breaker, in nanoseconds.
const MOST_FOR_GUARD: f64 = 1.0;

/// How many times as many calls two threads make through the stack as one.
const LEAST_RATIO: f64 = 1.8;

pub(crate) fn gates(table: &[Entry]) -> String {
    let mut verdicts = Verdicts::default();
    match Profile::current() {
        Profile::Bench => {
            times(table, &BARS, &mut verdicts);
            against_others(table, &mut verdicts);
            two_threads(table, &mut verdicts);
        }
        Profile::Plain => times(table, &PLAIN_BARS, &mut verdicts),
    }
    allocations(table, &mut verdicts);
    verdicts.markdown()
}

fn row<'a>(table: &'a [Entry], name: &str, shape: Shape) -> &'a Entry {
    find(table, name, shape).expect("gates name rows of the section")
}

fn title(name: &str, shape: Shape) -> String {
    format!("{name}: {}", shape.name())
}

fn times(table: &[Entry], bars: &[(&str, Shape, f64)], verdicts: &mut Verdicts) {
    for &(name, shape, most) in bars {
        let total = row(table, name, shape).total;
        verdicts.judge(
            &title(name, shape),
            &format!("≤ {most} ns"),
            &format!("{total:.1} ns"),
            total <= most,
        );
    }
}

fn against_others(table: &[Entry], verdicts: &mut Verdicts) {
    for (name, shape, most, other, in_shape) in RATIOS {
        let ratio = row(table, name, shape).total / row(table, other, in_shape).total;
        let asked = format!("≤ {most:.1} × {}", title(other, in_shape));
        verdicts.judge(&title(name, shape), &asked, &format!("{ratio:.2} ×"), ratio <= most);
    }
    let guard = row(table, BREAKER, Shape::Guarded).total - row(table, BREAKER, Shape::Sites).total;
    let asked = format!("≤ {MOST_FOR_GUARD} ns more than without guard");
    verdicts.judge(
        &title(BREAKER, Shape::Guarded),
        &asked,
        &format!("{guard:.1} ns"),
        guard <= MOST_FOR_GUARD,
    );
}

fn two_threads(table: &[Entry], verdicts: &mut Verdicts) {
    for shape in [Shape::Loop, Shape::Guarded] {
        let ratio = row(table, STACK, shape).rates.map_or(0.0, |rates| rates.ratio);
        let asked = format!("≥ {LEAST_RATIO} × on two threads");
        verdicts.judge(
            &title(STACK, shape),
            &asked,
            &format!("{ratio:.2} ×"),
            ratio >= LEAST_RATIO,
        );
    }
}

/// No layer allocates but for the box that `BoxCloneService` makes. A quorum call does, for its
/// list of calls.
fn allocations(table: &[Entry], verdicts: &mut Verdicts) {
    let ours = table.iter().filter(|entry| entry.family == Family::Ours && entry.name != QUORUM);
    let most = ours.map(|entry| {
        let bare = entry.shape.and_then(|shape| find(table, BARE, shape));
        entry.allocations - bare.map_or(0.0, |bare| bare.allocations)
    });
    let most = most.fold(0.0, f64::max);
    let measured = format!("{} allocations", short(most));
    verdicts.judge("every layer, every shape", "0 allocations added", &measured, most == 0.0);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_bar_is_held_to_a_row_that_is_there() {
        let _guard = steadfast_benches::enter();
        let rows: HashSet<_> =
            steadfast_benches::shapes().iter().map(|row| (row.name, row.shape)).collect();
        let timed = BARS.iter().chain(&PLAIN_BARS).map(|(name, shape, _)| (*name, *shape));
        let compared = RATIOS
            .iter()
            .flat_map(|(name, shape, _, other, in_shape)| [(*name, *shape), (*other, *in_shape)]);
        for (name, shape) in timed.chain(compared) {
            assert!(rows.contains(&(name, Some(shape))), "{}", title(name, shape));
        }
    }
}
