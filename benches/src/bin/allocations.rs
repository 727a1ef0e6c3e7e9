//! Prints for each row its id, and the allocations and bytes of a thousand calls; with the argument
//! `memory`, the bytes that each of what there is to weigh takes. Part of `table`, and a program of
//! its own because counting costs time at each allocation, which the table would put down to the
//! subjects that allocate.

use std::env;

use steadfast_benches::{all, enter, memory};

const CALLS: u64 = 1000;

fn main() {
    let _guard = enter();
    match env::args().nth(1).as_deref() {
        Some("memory") => weigh(),
        _ => count(),
    }
}

fn count() {
    for mut row in all() {
        let counted = allocation_counter::measure(|| {
            row.subject.run(CALLS);
        });
        println!("{}\t{}\t{}", row.id(), counted.count_total, counted.bytes_total);
    }
}

/// One after the other, so that there is memory for each.
fn weigh() {
    for memory in memory() {
        let mut filled = None;
        let counted = allocation_counter::measure(|| filled = Some(memory.fill()));
        println!("{}\t{}\t{}", memory.name, counted.count_current, counted.bytes_current);
    }
}
