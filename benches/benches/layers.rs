//! `cargo bench -p steadfast-benches`: every subject in its group, and on one and two threads.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use steadfast_benches::{Group, Row, abort_on_panic, all, alone, enter, together};

fn groups(criterion: &mut Criterion) {
    abort_on_panic();
    let _guard = enter();
    // The shapes are for the table: criterion cannot take its subjects in turn.
    let mut rows = all().into_iter().filter(|row| row.shape.is_none()).collect::<Vec<_>>();
    let groups = [
        ("baseline", Group::Baseline),
        ("happy", Group::Happy),
        ("refused", Group::Refused),
        ("clock", Group::Clock),
        ("votes", Group::Votes),
        ("detector", Group::Detector),
    ];
    for (name, group) in groups {
        single(criterion, name, rows.iter_mut().filter(|row| row.group == group));
    }
    for threads in [1, 2] {
        contended(criterion, threads, &rows);
    }
}

fn single<'a>(criterion: &mut Criterion, name: &str, rows: impl Iterator<Item = &'a mut Row>) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    for row in rows {
        group.bench_function(row.id(), |bencher| {
            bencher.iter_custom(|calls| alone(&mut *row.subject, calls).took());
        });
    }
    group.finish();
}

/// The time of one call out of all that the threads make: with two threads that do not disturb each
/// other it is halved.
fn contended(criterion: &mut Criterion, threads: usize, rows: &[Row]) {
    let mut group = criterion.benchmark_group(format!("contended/{threads}"));
    group.throughput(Throughput::Elements(1));
    for row in rows.iter().filter(|row| row.contended) {
        let share = |calls: u64| calls.div_ceil(threads as u64);
        group.bench_function(row.id(), |bencher| {
            bencher.iter_custom(|calls| together(&*row.subject, threads, share(calls)));
        });
    }
    group.finish();
}

criterion_group! {
    name = layers;
    // There are a hundred of them, and each call takes nanoseconds.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .sample_size(40)
        .without_plots();
    targets = groups
}
criterion_main!(layers);
