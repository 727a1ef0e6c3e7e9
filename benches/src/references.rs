//! What there is to compare with: no layer at all, and the price of what layers are made of.

use std::hint::black_box;

use steadfast_core::TimeSource;

use crate::{
    row::{BARE, FAILING, Family, Group, Row},
    service::{bare, boxed, failing},
    subject::{Calls, Function},
};

/// One look at the clock that layers read unless they are told otherwise.
pub const TOKIOS_CLOCK: &str = "reading tokio's clock";

pub(crate) fn rows() -> Vec<Row> {
    let reference = |name, subject| Row::new(Family::Reference, Group::Baseline, name, subject);
    vec![
        reference(BARE, Box::new(Calls(bare()))),
        reference(FAILING, Box::new(Calls(failing(100)))).over(FAILING).succeeds_in(99),
        reference("a boxed future", Box::new(Calls(boxed()))),
        reference(TOKIOS_CLOCK, Box::new(Function(|_| read(TimeSource::Tokio)))),
        reference("reading the coarse clock", Box::new(Function(|_| read(TimeSource::Coarse)))),
    ]
}

fn read(clock: TimeSource) -> bool {
    black_box(clock.now());
    true
}
