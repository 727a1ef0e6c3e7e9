//! The rows of the tables, and those of the layers.

use std::fmt;

use crate::{clocks, ours, peers, quorums, references, subject::Subject};

/// The name of the row that all others but the failing ones are measured against.
pub const BARE: &str = "bare service";

/// The name of the row that those with failures are measured against.
pub const FAILING: &str = "bare service, 1 % failures";

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// What there is without any layer.
    Reference,
    /// A layer of this workspace.
    Ours,
    /// Somebody else's.
    Peer,
}

/// What happens to the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// There is no layer.
    Baseline,
    /// They pass.
    Happy,
    /// They are refused.
    Refused,
    /// There are none: a clock is read, or gives out a timestamp.
    Clock,
    /// There are none: a rule is asked what votes decide.
    Votes,
}

/// One line of the table.
pub struct Row {
    /// What it is.
    pub name: &'static str,
    /// Where it comes from.
    pub family: Family,
    /// What happens to the requests.
    pub group: Group,
    /// The row whose time is taken off this one's; itself, where only the whole time means something.
    pub over: &'static str,
    /// Out of a hundred calls.
    pub successes: u64,
    /// Whether more than one thread can call it without waiting for a timer.
    pub contended: bool,
    /// What is measured.
    pub subject: Box<dyn Subject>,
}

impl Row {
    pub(crate) fn new(family: Family, group: Group, name: &'static str, subject: Box<dyn Subject>) -> Self {
        let successes = if group == Group::Refused { 0 } else { 100 };
        Self { name, family, group, over: BARE, successes, contended: true, subject }
    }

    pub(crate) fn over(self, over: &'static str) -> Self {
        Self { over, ..self }
    }

    pub(crate) fn succeeds_in(self, successes: u64) -> Self {
        Self { successes, ..self }
    }

    pub(crate) fn uncontended(self) -> Self {
        Self { contended: false, ..self }
    }

    /// Makes enough calls to be in the steady state, and makes sure that the subject does what the row says.
    ///
    /// # Panics
    /// When it does not: what is measured would mean nothing.
    pub fn warm_up(&mut self) {
        const CALLS: u64 = 10_000;
        let succeeded = self.subject.run(CALLS);
        assert_eq!(succeeded, CALLS / 100 * self.successes, "{}: successes", self.name);
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).field("group", &self.group).finish_non_exhaustive()
    }
}

/// The rows of the layers, warm: those without a layer, ours, the peers'. Needs [`enter`](crate::enter).
#[must_use]
pub fn catalogue() -> Vec<Row> {
    let mut rows: Vec<Row> = references::rows().into_iter().chain(ours::rows()).chain(peers::rows()).collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}

/// The rows of all sections, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn all() -> Vec<Row> {
    catalogue().into_iter().chain(clocks()).chain(quorums()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_does_what_it_says_and_is_measured_against_one_that_is_there() {
        let _guard = crate::enter();
        let rows = all();
        let names: HashSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len(), "names are unique");
        assert!(rows.iter().all(|row| names.contains(row.over)));
    }

    #[test]
    fn a_fork_speaks_to_the_same_instance() {
        let _guard = crate::enter();
        for row in all() {
            let mut fork = row.subject.fork();
            assert_eq!(fork.run(100), row.successes, "{}", row.name);
        }
    }
}
