//! `cargo run --profile bench -p steadfast-benches --bin table`: what each layer adds to a call, beside its peers, in one run.
//!
//! It judges the gates and never fails over them: a time is a property of the machine as well.

mod counts;
mod gates;
mod report;
mod scaling;
mod single;

use std::process::ExitCode;

use steadfast_benches::{abort_on_panic, catalogue, enter};

fn main() -> ExitCode {
    abort_on_panic();
    let counts = match counts::counts() {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("no count of allocations: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _guard = enter();
    let mut rows = catalogue();
    eprintln!("{} subjects: one thread, in turn …", rows.len());
    let times = single::measure(&mut rows);
    eprintln!("two threads against one …");
    let rates = scaling::measure(&rows);
    let table = report::table(&rows, &times, &counts, &rates);
    print!("{}", report::markdown(&table));
    print!("\n{}", gates::markdown(&table));
    ExitCode::SUCCESS
}
