//! Quorums: what it costs to ask a rule, beside another crate's; and what a call over five services
//! costs that all answer at once.

mod calls;
mod peers;
mod rules;
mod votes;

pub(crate) use self::{
    calls::{NEEDED, five, made, three_of_five},
    votes::Asking,
};
use crate::row::Row;

/// The name of the row in which votes are looked at and no rule is asked: what is not a rule's in
/// the rows of rules.
pub const VOTES: &str = "looking at the votes, no rule";

/// The rows of the quorums, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn quorums() -> Vec<Row> {
    let mut rows: Vec<Row> =
        rules::rows().into_iter().chain(peers::rows()).chain(calls::rows()).collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}
