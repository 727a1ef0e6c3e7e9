//! The layer of faults: for the section of its own.

use std::time::Duration;

use steadfast_chaos::{Delay, Fault, FaultLayer, Faults, Plan, Rule};

use crate::{chaos::UNFAULTED, row::Row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = unguarded!(Reference, UNFAULTED, ());
    rows.extend(unguarded!(Ours, "faults, off", FaultLayer::new(faults())));
    let dry = faults();
    dry.dry_run();
    rows.extend(unguarded!(Ours, "faults, dry run", FaultLayer::new(dry.clone())));
    let on = faults();
    on.turn_on();
    rows.extend(unguarded!(Ours, "faults, on, none strikes", FaultLayer::new(on.clone())));
    rows.into_iter().map(|row| row.over(UNFAULTED)).collect()
}

/// Three rules that draw for each request, and strike none.
fn faults() -> Faults {
    let second = Delay::of(Duration::from_secs(1));
    let never = |name, fault| Rule::new(name, fault).probability(0.0);
    let plan = Plan::new(7)
        .named("bench")
        .rule(never("lost", Fault::RequestLost))
        .rule(never("late", Fault::ReplyLate(second)).burst(0.002, 0.1))
        .rule(never("down", Fault::CrashedBefore));
    Faults::new(plan).expect("the plan is valid")
}
