//! A number for each thread that runs: the smallest that no other running thread has.
//!
//! A thread that has a number below some bound can own what stands at that place, and write it with
//! plain stores: no other thread writes there. That needs two things. A number goes back when its
//! thread ends, or a program that starts threads for ever would soon have none left that own
//! anything. And it goes back *through a lock*, which the next thread to have the number takes as
//! well: what the one thread wrote last, the next one reads first.

use std::{cell::Cell, cmp::Reverse, collections::BinaryHeap, sync::Mutex};

use crate::lock::lock;

/// The numbers that running threads have. No clock, no thread local: the threads are its callers.
#[derive(Debug)]
struct Numbers {
    /// The smallest number that no thread ever had.
    next: usize,
    /// What ended threads gave back: at most as many as ever ran at once.
    free: BinaryHeap<Reverse<usize>>,
}

impl Numbers {
    const fn new() -> Self {
        Self { next: 0, free: BinaryHeap::new() }
    }

    fn take(&mut self) -> usize {
        self.free.pop().map_or_else(
            || {
                self.next += 1;
                self.next - 1
            },
            |Reverse(number)| number,
        )
    }

    fn give_back(&mut self, number: usize) {
        self.free.push(Reverse(number));
    }
}

/// No panic leaves it half changed: its methods call nothing foreign.
static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers::new());

/// The thread has not asked yet.
const UNASKED: usize = usize::MAX;
/// The thread is ending and has given its number back. No lane has this number, so that such a
/// thread owns none.
const ENDING: usize = usize::MAX - 1;

thread_local! {
    /// Without a destructor, so that it can be read for as long as the thread runs: destructors of
    /// other thread locals may make calls, and drop futures.
    static NUMBER: Cell<usize> = const { Cell::new(UNASKED) };

    /// Gives the number back when the thread ends.
    static HELD: Held = const { Held(Cell::new(ENDING)) };
}

struct Held(Cell<usize>);

impl Drop for Held {
    fn drop(&mut self) {
        // First the thread stops to write as the owner, then another one may begin to.
        let _ = NUMBER.try_with(|number| number.set(ENDING));
        if self.0.get() != ENDING {
            lock(&NUMBERS).give_back(self.0.get());
        }
    }
}

/// This thread's number: no other running thread has the same. Its remainder by the number of lanes
/// is the thread's lane of a [`Striped`](crate::parts::Striped), and below the number of lanes it
/// is a lane of a [`ThreadCount`](crate::parts::ThreadCount) that the thread owns.
///
/// Threads are numbered from 0 as they first ask, and give their number back when they end. While a
/// thread ends, in the destructors of its thread locals, it may have none any more: then the answer
/// is too large a number to own anything, and other threads may be told the same.
#[inline]
#[must_use]
pub fn thread_number() -> usize {
    match NUMBER.try_with(Cell::get) {
        Ok(number) if number != UNASKED => number,
        _ => ask(),
    }
}

#[cold]
#[inline(never)]
fn ask() -> usize {
    // To be held first, so that no number is taken that would never go back.
    let number = HELD
        .try_with(|held| {
            held.0.set(lock(&NUMBERS).take());
            held.0.get()
        })
        .unwrap_or(ENDING);
    NUMBER.try_with(|own| own.set(number)).map_or(ENDING, |()| number)
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeSet, HashSet},
        sync::{Barrier, mpsc},
        thread,
    };

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_smallest_free_number_is_taken_and_none_twice(
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..200),
        ) {
            let (mut numbers, mut taken) = (Numbers::new(), BTreeSet::new());
            for (takes, which) in steps {
                if takes || taken.is_empty() {
                    let smallest = (0..).find(|number| !taken.contains(number)).unwrap();
                    prop_assert_eq!(numbers.take(), smallest);
                    taken.insert(smallest);
                } else {
                    let number = *taken.iter().nth(which.index(taken.len())).unwrap();
                    taken.remove(&number);
                    numbers.give_back(number);
                }
            }
        }
    }

    #[test]
    fn threads_that_run_at_once_have_different_numbers_and_each_keeps_its_own() {
        let barrier = Barrier::new(16);
        let numbers: HashSet<usize> = thread::scope(|scope| {
            let ask = || {
                let number = thread_number();
                barrier.wait();
                assert_eq!(thread_number(), number);
                number
            };
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(numbers.len(), 16);
    }

    #[test]
    fn a_program_that_starts_threads_for_ever_runs_out_of_no_numbers() {
        // Other tests run beside this one; a thousand at once they are not.
        let most = (0..2000).map(|_| thread::spawn(thread_number).join().unwrap()).max();
        assert!(most.unwrap() < 1000, "{most:?}");
    }

    /// Asks for the number while the thread ends, before or after it has been given back.
    struct AsksAtTheEnd(Cell<Option<mpsc::Sender<[usize; 2]>>>);

    impl Drop for AsksAtTheEnd {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.send([thread_number(), thread_number()]).unwrap();
            }
        }
    }

    thread_local! {
        static EARLY: AsksAtTheEnd = const { AsksAtTheEnd(Cell::new(None)) };
        static LATE: AsksAtTheEnd = const { AsksAtTheEnd(Cell::new(None)) };
    }

    #[test]
    fn a_thread_that_asks_while_it_ends_panics_never_and_owns_nothing_that_it_gave_back() {
        let (sender, answers) = mpsc::channel();
        let own = thread::spawn(move || {
            EARLY.with(|early| early.0.set(Some(sender.clone())));
            let own = thread_number();
            LATE.with(|late| late.0.set(Some(sender)));
            own
        });
        let own = own.join().unwrap();
        for answer in answers {
            assert!(answer == [own; 2] || answer == [ENDING; 2], "{answer:?}, had {own}");
        }
    }

    #[test]
    fn a_thread_that_asks_for_the_first_time_while_it_ends_is_answered() {
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || EARLY.with(|early| early.0.set(Some(sender)))).join().unwrap();
        let [first, second] = answers.recv().unwrap();
        assert_eq!(first, second);
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;
    use crate::thread_count::ThreadCount;

    /// The life of a thread: it takes a number, counts, and gives the number back as it ends.
    fn live(numbers: &Mutex<Numbers>, count: &ThreadCount, requests: u64) {
        let number = lock(numbers).take();
        for _ in 0..requests {
            count.add(number);
        }
        lock(numbers).give_back(number);
    }

    /// One lane that can be owned: whether the second thread comes while the first one runs, and
    /// counts in the shared lane, or after it, and takes the lane over, nothing is lost.
    #[test]
    fn a_lane_goes_from_a_thread_that_ended_to_the_next_with_its_last_count() {
        loom::model(|| {
            let shared = Arc::new((Mutex::new(Numbers::new()), ThreadCount::new(1, |_| 0)));
            let other = Arc::clone(&shared);
            // Not joined before the second one lives: nothing but the numbers' lock stands between.
            let first = thread::spawn(move || live(&other.0, &other.1, 2));
            live(&shared.0, &shared.1, 2);
            first.join().unwrap();
            assert_eq!(shared.1.sum(), 4);
        });
    }

    /// What the lock is for: a number that goes back by a relaxed store lets the next owner read an
    /// older count, and loom finds it.
    #[test]
    #[should_panic(expected = "rolled back")]
    fn a_number_that_went_back_without_a_lock_would_roll_the_lane_back() {
        use loom::sync::atomic::{AtomicBool, Ordering};

        loom::model(|| {
            let shared = Arc::new((AtomicBool::new(false), ThreadCount::new(1, |_| 0)));
            let other = Arc::clone(&shared);
            let first = thread::spawn(move || {
                other.1.add(0);
                other.0.store(true, Ordering::Relaxed);
            });
            let is_free = shared.0.load(Ordering::Relaxed);
            shared.1.add(if is_free { 0 } else { 1 });
            first.join().unwrap();
            assert_eq!(shared.1.sum(), 2, "rolled back");
        });
    }

    #[test]
    fn three_threads_over_two_lanes_lose_nothing() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shared = Arc::new((Mutex::new(Numbers::new()), ThreadCount::new(1, |_| 0)));
            let spawn = || {
                let other = Arc::clone(&shared);
                thread::spawn(move || live(&other.0, &other.1, 1))
            };
            let threads = [spawn(), spawn()];
            live(&shared.0, &shared.1, 1);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(shared.1.sum(), 3);
        });
    }
}
