//! A count that grows in each thread by itself.
//!
//! To add to a shared counter is a read-modify-write, and where two cores do it, a cache line that
//! travels. Here each thread has a lane of its own, which no other thread writes: to count is a
//! load, an addition and a store. Two threads that did so on one lane would roll it back, by as
//! many as the one counted while the other stood between load and store. So a lane is *owned*, by
//! the thread with its number; and there are but so many: threads beyond them share one lane, to
//! which they do add by a read-modify-write.

use crate::sync::{AtomicU64, Ordering};

/// A count in lanes, each of which only its thread writes. It only grows.
#[derive(Debug)]
pub struct ThreadCount {
    owned: Box<[Lane]>,
    shared: Lane,
}

/// Two cache lines apart from its neighbours, because processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Lane(AtomicU64);

impl ThreadCount {
    /// A count with `owned` lanes and one that all other threads share. `start` says at what each
    /// lane begins: what is done at every 16th step of a lane, say, then comes at different times
    /// in different lanes, though all count in step.
    #[must_use]
    pub fn new(owned: usize, start: impl Fn(usize) -> u64) -> Self {
        let lane = |lane| Lane(AtomicU64::new(start(lane)));
        Self { owned: (0..owned).map(lane).collect(), shared: lane(owned) }
    }

    /// Counts one in the lane of the calling thread, which has the number `thread`, and says where
    /// that lane stands.
    ///
    /// `thread` is what [`thread_number`](crate::parts::thread_number) says in the calling thread:
    /// two threads that count under one number lose counts.
    #[inline]
    pub fn add(&self, thread: usize) -> u64 {
        // Relaxed: a lane publishes nothing but itself. A thread that takes the lane over has its
        // number from the thread before it through a lock, and so sees its last store.
        if let Some(Lane(lane)) = self.owned.get(thread) {
            let count = lane.load(Ordering::Relaxed) + 1;
            lane.store(count, Ordering::Relaxed);
            count
        } else {
            self.shared.0.fetch_add(1, Ordering::Relaxed) + 1
        }
    }

    /// The sum over all lanes, what they began with included. Of two sums by one thread, or of
    /// which the first happened before the second, the second is no smaller. O(lanes).
    #[must_use]
    pub fn sum(&self) -> u64 {
        // Relaxed: reads of one word that happen one after the other never go back in it.
        let lanes = self.owned.iter().chain([&self.shared]);
        lanes.map(|Lane(lane)| lane.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;
    use crate::thread_number::thread_number;

    #[test]
    fn lanes_begin_where_they_are_told_to_and_threads_beyond_them_share_the_last() {
        let count = ThreadCount::new(2, |lane| 10 * lane as u64);
        assert_eq!(count.sum(), 30);
        assert_eq!((count.add(0), count.add(0), count.add(1)), (1, 2, 11));
        assert_eq!((count.add(2), count.add(3), count.add(usize::MAX)), (21, 22, 23));
        assert_eq!(count.sum(), 36);
    }

    /// Threads that come and go, more than there are lanes, and one that sums all the while.
    #[test]
    fn nothing_is_lost_while_threads_come_and_go_and_no_sum_goes_back() {
        const GENERATIONS: u64 = 20;
        const THREADS: u64 = 6;
        const EACH: u64 = 5000;
        let (count, is_over) = (ThreadCount::new(4, |_| 0), AtomicBool::new(false));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let sum = count.sum();
                    assert!(sum >= last, "{sum} after {last}");
                    last = sum;
                }
            });
            for _ in 0..GENERATIONS {
                let run = || {
                    for _ in 0..EACH {
                        count.add(thread_number());
                    }
                };
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            }
            is_over.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        assert_eq!(count.sum(), GENERATIONS * THREADS * EACH);
    }
}

#[cfg(steadfast_loom)]
#[cfg(test)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    #[test]
    fn owners_and_threads_that_share_lose_nothing_and_no_sum_goes_back() {
        loom::model(|| {
            let count = Arc::new(ThreadCount::new(1, |_| 0));
            let spawn = |number| {
                let count = Arc::clone(&count);
                thread::spawn(move || count.add(number))
            };
            let threads = [spawn(0), spawn(1)];
            count.add(2);
            let sums = [count.sum(), count.sum()];
            assert!(1 <= sums[0] && sums[0] <= sums[1] && sums[1] <= 3, "{sums:?}");
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(count.sum(), 3);
        });
    }

    /// What ownership is for: two threads that count as the same owner do lose counts, and loom
    /// finds it.
    #[test]
    #[should_panic(expected = "rolled back")]
    fn two_threads_under_one_number_would_roll_the_lane_back() {
        loom::model(|| {
            let count = Arc::new(ThreadCount::new(1, |_| 0));
            let other = Arc::clone(&count);
            let thread = thread::spawn(move || other.add(0));
            count.add(0);
            thread.join().unwrap();
            assert_eq!(count.sum(), 2, "rolled back");
        });
    }
}
