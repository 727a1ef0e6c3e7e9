//! Two threads against one. Two workers hold a handle to each subject; in each round and for each
//! subject one of them makes calls alone while the other sleeps, and then both at once. The ratio
//! is taken within the round, so that a slow second slows both sides.

use std::{collections::HashMap, thread};

use steadfast_benches::{Line, Rendezvous, Row, Subject, alone, enter};

use crate::single::{PASSES, chunk, quantile};

const ROUNDS: usize = 100;

/// Turns are longer than on one thread: at their ends the threads do not overlap to the nanosecond.
const CHUNKS: u64 = 5;

/// Calls in a second, of all threads, and how many times more the two make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) one: f64,
    pub(crate) two: f64,
    pub(crate) ratio: f64,
}

/// What one worker saw of one subject in one round: its calls alone, if it was its turn, and its
/// calls beside the other.
struct Seen {
    solo: Option<Line>,
    duo: Line,
}

/// What a subject does in each round.
#[derive(Clone, Copy)]
struct Turn {
    calls: u64,
    /// It goes through all it holds first, unmeasured.
    is_pass: bool,
}

/// The rates of those rows that threads can share, by id.
pub(crate) fn measure(rows: &[Row]) -> HashMap<String, Rates> {
    let shared = rows.iter().filter(|row| row.contended);
    let (passes, chunks): (Vec<&Row>, Vec<&Row>) = shared.partition(|row| row.pass.is_some());
    let mut rates = share(&chunks, ROUNDS);
    rates.extend(share(&passes, PASSES));
    rates
}

fn turn(row: &Row) -> Turn {
    match row.pass {
        Some(calls) => Turn { calls, is_pass: true },
        None => Turn { calls: chunk(&mut *row.subject.fork()) * CHUNKS, is_pass: false },
    }
}

fn share(rows: &[&Row], rounds: usize) -> HashMap<String, Rates> {
    let turns: Vec<Turn> = rows.iter().map(|row| turn(row)).collect();
    let rendezvous = Rendezvous::new(2);
    let (first, second) = thread::scope(|scope| {
        let start = |worker| {
            let forks: Vec<_> = rows.iter().map(|row| row.subject.fork()).collect();
            let (turns, rendezvous) = (&turns, &rendezvous);
            scope.spawn(move || work(forks, (turns, rounds), rendezvous, worker))
        };
        let workers = (start(0), start(1));
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().expect("a subject does not panic")
        };
        (join(workers.0), join(workers.1))
    });
    let seen = |all, index| of_subject(all, rows.len(), index);
    let rates = |(index, row): (usize, &&Row)| {
        (row.id(), rates(turns[index].calls, seen(&first, index), seen(&second, index)))
    };
    rows.iter().enumerate().map(rates).collect()
}

/// All rounds of one worker, subject by subject.
fn work(
    mut forks: Vec<Box<dyn Subject>>,
    (turns, rounds): (&[Turn], usize),
    rendezvous: &Rendezvous,
    worker: usize,
) -> Vec<Seen> {
    let _guard = enter();
    let mut seen = Vec::with_capacity(rounds * forks.len());
    for round in 0..rounds {
        for (fork, &Turn { calls, is_pass }) in forks.iter_mut().zip(turns) {
            rendezvous.meet_asleep();
            let is_ours = round % 2 == worker;
            if is_pass && is_ours {
                fork.run(calls);
            }
            let solo = is_ours.then(|| alone(&mut **fork, calls));
            rendezvous.meet();
            seen.push(Seen { solo, duo: alone(&mut **fork, calls) });
        }
    }
    seen
}

fn of_subject(all: &[Seen], subjects: usize, index: usize) -> impl Iterator<Item = &Seen> {
    all.iter().skip(index).step_by(subjects)
}

fn rates<'a>(
    calls: u64,
    first: impl Iterator<Item = &'a Seen>,
    second: impl Iterator<Item = &'a Seen>,
) -> Rates {
    let (mut one, mut two, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for (a, b) in first.zip(second) {
        let solo = a.solo.or(b.solo).expect("in each round one of the two has its turn").took();
        let duo = Line::over_all(&[a.duo, b.duo]);
        one.push(calls as f64 / solo.as_secs_f64());
        two.push(2.0 * calls as f64 / duo.as_secs_f64());
        ratio.push(2.0 * solo.as_secs_f64() / duo.as_secs_f64());
    }
    Rates {
        one: quantile(&mut one, 0.5),
        two: quantile(&mut two, 0.5),
        ratio: quantile(&mut ratio, 0.5),
    }
}
