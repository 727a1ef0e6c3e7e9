//! Prints for each row its id, and the allocations and bytes of a thousand calls. Part of `table`,
//! and a program of its own because counting costs time at each allocation, which the table would
//! put down to the subjects that allocate.

use steadfast_benches::{all, enter};

const CALLS: u64 = 1000;

fn main() {
    let _guard = enter();
    for mut row in all() {
        let counted = allocation_counter::measure(|| {
            row.subject.run(CALLS);
        });
        println!("{}\t{}\t{}", row.id(), counted.count_total, counted.bytes_total);
    }
}
