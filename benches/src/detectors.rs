//! Failure detectors: what a heartbeat costs and what it costs to ask how sure it is that a peer is
//! gone, beside other crates; what a detector of 100,000 peers makes of it; and the layers.

mod alone;
mod beats;
mod handles;
mod keyed;
mod memory;
mod peers;

pub use self::{
    keyed::PEERS,
    memory::{Memory, memory},
};
use crate::{row::Row, shapes::watched};

/// The name of the row in which instants are made and no detector is told of them: what is not a
/// detector's in the rows of those that read no clock.
pub const INSTANTS: &str = "making an instant, no detector";

/// The name of the row in which questions are gone through and no detector is asked.
pub const QUESTIONS: &str = "looking at an instant, no detector";

/// The name of the row that the handles are measured against, which read the clock at each event.
pub const CLOCK: &str = "reading the monotonic clock";

/// The rows of the detectors, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn detectors() -> Vec<Row> {
    let mut rows: Vec<Row> = alone::rows()
        .into_iter()
        .chain(peers::rows())
        .chain(handles::rows())
        .chain(keyed::rows())
        .chain(watched::rows())
        .collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}
