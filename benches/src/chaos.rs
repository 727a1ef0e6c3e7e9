//! Faults on demand: what a layer costs that can inject them, and injects none.

use crate::{row::Row, shapes::injected};

/// The name of the row that the layer of faults is measured against.
pub const UNFAULTED: &str = "bare service without faults";

/// The rows of the faults, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn chaos() -> Vec<Row> {
    let mut rows = injected::rows();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}
