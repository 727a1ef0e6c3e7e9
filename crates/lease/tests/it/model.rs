//! Every course that two holders, a store and a network between them can take, stepped by the
//! crate's own [`Holder`](steadfast_lease::Holder) and [`Slot`](steadfast_lease::Slot).
//!
//! Messages are lost, delayed for ever and overtaken; clocks drift. A mutation of one rule has a
//! counterexample, so the search is known to bite.
//!
//! The whole of it, 3 grants with 2 attempts of each holder, is run by
//! `STEADFAST_MODEL=full cargo test --release -p steadfast-lease --test it model`.

mod search;
mod world;

use search::{Outcome, search};
use world::{Bounds, Broken, Rules};

fn bounds() -> Bounds {
    if std::env::var("STEADFAST_MODEL").is_ok_and(|size| size == "full") {
        Bounds { grants: 3, attempts: 2 }
    } else {
        Bounds { grants: 2, attempts: 1 }
    }
}

/// What a mutation breaks, in how many steps. Mutations may need more than the small bounds.
fn broken(rules: Rules) -> (Broken, usize) {
    match search(rules, Bounds { grants: 3, attempts: 2 }) {
        Outcome::Broken { what, trace } => (what, trace.len() - 1),
        Outcome::Sound { states, .. } => panic!("{rules:?}: nothing is found in {states} states"),
    }
}

#[test]
fn in_no_course_are_two_holders_valid_at_once_or_do_tokens_go_back() {
    match search(Rules::GOOD, bounds()) {
        Outcome::Sound { states, depth } => println!("{states} states, {depth} steps deep"),
        Outcome::Broken { what, trace } => panic!("{what:?} after {trace:#?}"),
    }
}

#[test]
fn with_a_clock_in_the_tokens_they_grow_through_a_store_that_loses_its_record() {
    let rules = Rules { loses_record: true, ..Rules::GOOD };
    match search(rules, bounds()) {
        Outcome::Sound { states, depth } => println!("{states} states, {depth} steps deep"),
        Outcome::Broken { what, trace } => panic!("{what:?} after {trace:#?}"),
    }
}

#[test]
fn a_deadline_that_is_counted_from_the_reply_lets_two_hold() {
    let found = broken(Rules { counts_from_reply: true, ..Rules::GOOD });
    assert_eq!(found.0, Broken::TwoHolders);
}

#[test]
fn without_a_margin_a_slow_clock_lets_two_hold() {
    let found = broken(Rules { has_margin: false, ..Rules::GOOD });
    assert_eq!(found.0, Broken::TwoHolders);
}

#[test]
fn a_release_that_does_not_compare_the_nonce_frees_the_successors_lease() {
    let found = broken(Rules { release_compares: false, ..Rules::GOOD });
    assert_eq!(found.0, Broken::FreedByAnother);
}

#[test]
fn a_plain_counter_goes_back_when_the_store_loses_its_record() {
    let found = broken(Rules { loses_record: true, has_clock_token: false, ..Rules::GOOD });
    assert_eq!(found.0, Broken::TokenBack);
}

#[test]
fn a_taker_that_obeys_its_own_shorter_ttl_takes_a_lease_that_is_held() {
    let found = broken(Rules { obeys_own_ttl: true, ..Rules::GOOD });
    assert_eq!(found.0, Broken::TwoHolders);
}
