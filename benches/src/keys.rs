//! Idempotency keys: what the layer of a server takes, beside another crate's, and what the store
//! in memory takes of it.

mod layers;
mod peers;
mod records;
mod requests;

use crate::row::Row;

/// The name of the row that requests without a key are measured against.
pub const UNKEYED: &str = "bare service, 1 KiB";
/// The name of the row that requests with a key are measured against.
pub(crate) const KEYED: &str = "bare service, 1 KiB, keys that nothing looks at";

/// The rows of the keys, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn keys() -> Vec<Row> {
    let rows = layers::rows().into_iter().chain(peers::rows()).chain(records::rows());
    let mut rows: Vec<Row> = rows.collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}
