//! What is decided, against the definition, on every set of votes.

use proptest::prelude::*;
use steadfast_quorum::{Decision, NodeSet};

use crate::rules::{Subject, all};

/// Won if the nodes that voted yes are a quorum; lost if none would be, however the nodes still to
/// come might vote.
fn by_definition(subject: &Subject, yes: u64, no: u64) -> Decision {
    let open = ((1 << subject.nodes) - 1) & !yes & !no;
    let mut possible = false;
    // All subsets of those still to come.
    let mut more = open;
    loop {
        possible |= (subject.model)(yes | more);
        if more == 0 {
            break;
        }
        more = (more - 1) & open;
    }
    match ((subject.model)(yes), possible) {
        (true, _) => Decision::Won,
        (false, true) => Decision::Pending,
        (false, false) => Decision::Lost,
    }
}

#[test]
fn every_rule_decides_as_a_brute_force_model_does_on_all_sets_of_votes() {
    for subject in all(7) {
        for yes in 0..1 << subject.nodes {
            for no in 0..1 << subject.nodes {
                let decided = subject.rule.decide(NodeSet::from_bits(yes), NodeSet::from_bits(no));
                assert_eq!(
                    decided,
                    by_definition(&subject, yes, no),
                    "{}: {yes:b} {no:b}",
                    subject.name
                );
            }
        }
    }
}

#[test]
fn votes_of_strangers_change_nothing() {
    for subject in all(7) {
        let strangers = !subject.rule.members();
        for votes in 0..1 << subject.nodes {
            let (yes, no) = (NodeSet::from_bits(votes), NodeSet::from_bits(votes << 3));
            let decided = subject.rule.decide(yes, no);
            assert_eq!(subject.rule.decide(yes | strangers, no), decided, "{}", subject.name);
            assert_eq!(subject.rule.decide(yes, no | strangers), decided, "{}", subject.name);
        }
    }
}

proptest! {
    #[test]
    fn as_votes_come_in_nothing_is_decided_twice(
        which in any::<prop::sample::Index>(),
        votes in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        answers in any::<[bool; 7]>(),
    ) {
        let all = all(7);
        let subject = &all[which.index(all.len())];
        let (mut yes, mut no, mut decided) = (NodeSet::EMPTY, NodeSet::EMPTY, Decision::Pending);
        for node in votes {
            if answers[node] { yes.insert(node) } else { no.insert(node) };
            let now = subject.rule.decide(yes, no);
            prop_assert!(!decided.is_final() || now == decided, "{}: {:?} became {:?}", subject.name, decided, now);
            decided = now;
        }
        prop_assert!(decided.is_final(), "{}: all have voted", subject.name);
    }
}
