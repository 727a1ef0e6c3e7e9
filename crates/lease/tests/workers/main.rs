//! Processes that are killed while they write the file of a lease, that are stopped while they hold
//! one, and that are stopped in a transaction that has passed the fence. The executable starts
//! itself again as a worker.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod fenced;
mod files;
mod stopped;

use std::env;

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compete", directory, log] => files::compete(directory, log),
        ["hold", directory, log] => stopped::hold(directory, log),
        ["write", url, limit_ms, token] => fenced::write(url, limit_ms, token),
        _ => run(args.iter().find(|arg| !arg.starts_with('-'))),
    }
}

/// The tests whose names contain the filter, one after the other.
fn run(filter: Option<&String>) {
    let tests: [(&str, fn()); 4] = [
        ("tokens_grow_and_no_lease_is_stuck_while_processes_are_killed", files::killed),
        ("a_holder_that_is_stopped_finds_its_lease_lost_at_its_first_look", stopped::stopped),
        (
            "a_holder_stopped_in_its_transaction_holds_up_its_successor_for_the_limit_only",
            fenced::stopped,
        ),
        ("without_the_limit_it_holds_up_its_successor_until_it_wakes", fenced::unlimited),
    ];
    for (name, test) in tests {
        if filter.is_none_or(|filter| name.contains(filter.as_str())) {
            test();
            println!("ok: {name}");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
