//! Every course that two holders, a store and a network between them can take, stepped by the
//! crate's own [`Holder`](steadfast_lease::Holder) and [`Slot`](steadfast_lease::Slot).
//!
//! Messages are lost, delayed for ever and overtaken; clocks drift. A mutation of one rule has a
//! counterexample, so the search is known to bite.
//!
//! The whole of it, 3 grants with 2 attempts of each holder, is searched in a release build: the
//! step `model` of `cargo xtask test`. A debug build would need minutes for it.

use crate::{
    explore::{Model, Step, explore},
    world::{Bounds, Broken, Rules, World},
};

/// What is stepped, and how far.
struct Lease {
    rules: Rules,
    bounds: Bounds,
}

/// Two holders may be exchanged, and a world fits a number: millions of them are kept.
impl Model for Lease {
    type State = u128;
    /// The world after it.
    type Action = World;
    type Promise = Broken;

    fn start(&self) -> u128 {
        World::default().packed()
    }

    fn next(&self, state: &u128, found: &mut Vec<Step<Self>>) {
        let mut steps = vec![];
        World::unpacked(*state).steps(self.rules, self.bounds, &mut steps);
        found.extend(steps.into_iter().map(|(world, broken)| {
            (world, broken.map_or_else(|| Ok(world.canonical().packed()), Err))
        }));
    }
}

const WHOLE: Bounds = Bounds { grants: 3, attempts: 2 };

const SMALL: Bounds = Bounds { grants: 2, attempts: 1 };

fn holds(name: &str, rules: Rules, least: usize) {
    let (bounds, least) = if cfg!(debug_assertions) { (SMALL, 1) } else { (WHOLE, least) };
    explore(&Lease { rules, bounds }).holds(name, least);
}

/// What a mutation breaks, in so many steps. Mutations may need more than the small bounds.
fn broken(name: &str, rules: Rules, steps: usize) -> Broken {
    explore(&Lease { rules, bounds: WHOLE }).breaks(name, steps)
}

#[test]
fn in_no_course_are_two_holders_valid_at_once_or_do_tokens_go_back() {
    holds("good rules", Rules::GOOD, 2_700_000);
}

#[test]
fn with_a_clock_in_the_tokens_they_grow_through_a_store_that_loses_its_record() {
    let rules = Rules { loses_record: true, ..Rules::GOOD };
    holds("a store that loses its record", rules, 8_500_000);
}

#[test]
fn a_deadline_that_is_counted_from_the_reply_lets_two_hold() {
    let found =
        broken("the deadline from the reply", Rules { counts_from_reply: true, ..Rules::GOOD }, 9);
    assert_eq!(found, Broken::TwoHolders);
}

#[test]
fn without_a_margin_a_slow_clock_lets_two_hold() {
    let found = broken("no margin", Rules { has_margin: false, ..Rules::GOOD }, 9);
    assert_eq!(found, Broken::TwoHolders);
}

#[test]
fn a_release_that_does_not_compare_the_nonce_frees_the_successors_lease() {
    let found =
        broken("a release without compare", Rules { release_compares: false, ..Rules::GOOD }, 6);
    assert_eq!(found, Broken::FreedByAnother);
}

#[test]
fn a_plain_counter_goes_back_when_the_store_loses_its_record() {
    let found = broken(
        "a plain counter",
        Rules { loses_record: true, has_clock_token: false, ..Rules::GOOD },
        5,
    );
    assert_eq!(found, Broken::TokenBack);
}

#[test]
fn a_taker_that_obeys_its_own_shorter_ttl_takes_a_lease_that_is_held() {
    let found = broken("the taker's own TTL", Rules { obeys_own_ttl: true, ..Rules::GOOD }, 8);
    assert_eq!(found, Broken::TwoHolders);
}
