//! The rows of the layers, and of all tables.

use crate::{
    answers, chaos::chaos, clocks::clocks, detectors::detectors, frames, keys::keys,
    leases::leases, ours, peers, quorums::quorums, references, row::Row, shapes::shapes,
};

/// The rows of the layers, warm: those without a layer, ours, the peers'. Needs
/// [`enter`](crate::enter).
#[must_use]
pub fn catalogue() -> Vec<Row> {
    let mut rows: Vec<Row> = references::rows()
        .into_iter()
        .chain(ours::rows())
        .chain(answers::rows())
        .chain(frames::rows())
        .chain(peers::rows())
        .collect();
    rows.iter_mut().for_each(Row::warm_up);
    rows
}

/// The rows of all sections, warm. Needs [`enter`](crate::enter).
#[must_use]
pub fn all() -> Vec<Row> {
    let layers = catalogue().into_iter().chain(shapes());
    layers
        .chain(clocks())
        .chain(quorums())
        .chain(detectors())
        .chain(chaos())
        .chain(keys())
        .chain(leases())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_does_what_it_says_and_is_measured_against_one_that_is_there() {
        let _guard = crate::enter();
        let rows = all();
        let ids: HashSet<_> = rows.iter().map(Row::id).collect();
        assert_eq!(ids.len(), rows.len(), "names are unique");
        assert!(rows.iter().all(|row| ids.contains(&row.over_id())));
    }

    #[test]
    fn a_fork_speaks_to_the_same_instance() {
        let _guard = crate::enter();
        for row in all() {
            let mut fork = row.subject.fork();
            assert_eq!(fork.run(100), row.successes, "{}", row.id());
        }
    }
}
