//! Prints for each subject its name, and the allocations and bytes of a thousand calls. Part of `table`, and a program of its own because
//! counting costs time at each allocation, which would be put down to whoever allocates.

use steadfast_benches::{all, enter};

const CALLS: u64 = 1000;

fn main() {
    let _guard = enter();
    for mut row in all() {
        let counted = allocation_counter::measure(|| {
            row.subject.run(CALLS);
        });
        println!("{}\t{}\t{}", row.name, counted.count_total, counted.bytes_total);
    }
}
