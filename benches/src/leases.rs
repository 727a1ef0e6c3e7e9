//! Leases and fences: what a holder's look at its lease takes, what a fence takes for a call, and
//! what the layers of both sides add to a request.

pub(crate) mod fences;
pub(crate) mod holder;
pub(crate) mod requests;

use crate::{
    row::{Family, Group, Row},
    shapes::fenced,
    subject::Function,
};

/// The name of the row that the questions of a holder are measured against, which read that clock.
pub const BOOT_CLOCK: &str = "reading the clock that runs through suspend";
/// The name of the row that the layer of the resource is measured against.
pub const TOKENED: &str = "bare service of requests with a token";
/// The name of the row that the layer of the client is measured against.
pub const TOKENLESS: &str = "bare service of requests without";

/// The rows of leases and fences, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn leases() -> Vec<Row> {
    let mut rows: Vec<Row> =
        holder::rows().into_iter().chain(fences::rows()).chain(fenced::rows()).collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}

/// Something without a request.
fn row(
    family: Family,
    name: &'static str,
    call: impl FnMut(u64) -> bool + Clone + Send + 'static,
) -> Row {
    Row::new(family, Group::Clock, name, Box::new(Function(call)))
}
