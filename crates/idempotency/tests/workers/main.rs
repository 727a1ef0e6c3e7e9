//! Exactly one effect, whatever becomes of the processes that have it: workers over a real
//! PostgreSQL that are killed, stopped past their leases, and cut off from the server. The
//! executable starts itself again as a worker.
//!
//! The ledger has no key of its own: only the claim keeps a payment from being booked twice.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod ledger;
mod soak;
mod steps;
mod worker;

use std::env;

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pay", url, payment, step, then] => worker::pay(url, payment, step, then),
        ["serve", url, seed] => worker::serve(url, seed.parse().unwrap()),
        _ => run(args.iter().find(|arg| !arg.starts_with('-'))),
    }
}

/// The tests whose names contain the filter, one after the other.
fn run(filter: Option<&String>) {
    let tests: [(&str, fn()); 4] = [
        ("killed_at_any_step_there_is_exactly_one_effect", steps::killed),
        ("stopped_past_the_lease_at_any_step_there_is_exactly_one_effect", steps::stopped),
        ("many_payments_and_random_kills_leave_one_effect_each", soak::transactional),
        ("without_the_transaction_the_same_kills_are_seen", soak::seen),
    ];
    for (name, test) in tests {
        if filter.is_none_or(|filter| name.contains(filter.as_str())) {
            test();
            println!("ok: {name}");
        }
    }
}
