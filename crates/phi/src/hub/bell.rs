//! Whether the alarm has rung, against the threads that have it.
//!
//! *A thread that rings notes it, then tries the alarm's lock; a thread that has the lock gives it
//! back, then looks for a ring.* Both have a fence between (store buffering), so at least one of
//! them sees the other, and no ring is left without an answer.

use crate::sync::{AtomicBool, Ordering, fence};

/// A ring that waits for its answer.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicBool);

impl Bell {
    /// Notes a ring. The caller looks for it next.
    pub(crate) fn ring(&self) {
        // Release: pairs with the acquire in `take`. A swap, not a store: where one answer takes
        // two rings it sees what came before either.
        self.0.swap(true, Ordering::Release);
    }

    /// Takes a ring, to be answered. Not if the lock is taken (by this thread, it may be): the
    /// thread that has it looks when it has given it back, as does the one that only tried it here.
    pub(crate) fn take(&self, is_locked: impl Fn() -> bool) -> bool {
        loop {
            // Pairs with itself: between the note and the try there, between the giving back and
            // the look here. Each turn has its own, since each try may have kept another thread
            // from answering; the models do not tell that from a fence for all turns.
            fence(Ordering::SeqCst);
            if !self.0.load(Ordering::Relaxed) || is_locked() {
                return false;
            }
            // Acquire: pairs with the releases in `ring`.
            if self.0.swap(false, Ordering::Acquire) {
                return true;
            }
        }
    }
}

/// The lock in them is an atomic: loom's mutex orders all of its users, as no real one does, and a
/// model with it needs none of the fences.
#[cfg(all(test, steadfast_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::sync::AtomicU64;

    struct Alarm {
        bell: Bell,
        locked: AtomicBool,
        rings: AtomicU64,
        answered: AtomicU64,
    }

    impl Alarm {
        /// A thread has its lock.
        fn locked() -> Arc<Self> {
            let (rings, answered) = (AtomicU64::new(0), AtomicU64::new(0));
            let (bell, locked) = (Bell::default(), AtomicBool::new(true));
            Arc::new(Self { bell, locked, rings, answered })
        }

        /// The thread that has the lock.
        fn unlock(&self) {
            // A swap, not a store: loom orders no two stores that race.
            self.locked.swap(false, Ordering::Release);
        }

        fn is_locked(&self) -> bool {
            let (order, locked) = (Ordering::Acquire, &self.locked);
            let is_locked = locked.compare_exchange(false, true, order, Ordering::Relaxed).is_err();
            if !is_locked {
                self.unlock();
            }
            is_locked
        }

        fn ring(&self) {
            self.rings.fetch_add(1, Ordering::Relaxed);
            self.bell.ring();
            self.answer();
        }

        fn answer(&self) {
            while self.bell.take(|| self.is_locked()) {
                let rings = self.rings.load(Ordering::Relaxed);
                self.answered.fetch_max(rings, Ordering::Relaxed);
            }
        }

        fn check(&self, rings: u64) {
            assert!(!self.bell.0.load(Ordering::Relaxed), "no ring is left");
            assert_eq!(self.answered.load(Ordering::Relaxed), rings, "the answer saw the last one");
        }
    }

    #[test]
    fn loom_a_ring_while_a_thread_has_the_lock_is_answered_by_one_of_the_two() {
        loom::model(|| {
            let alarm = Alarm::locked();
            let other = Arc::clone(&alarm);
            let thread = thread::spawn(move || other.ring());
            alarm.unlock();
            alarm.answer();
            thread.join().unwrap();
            alarm.check(1);
        });
    }

    #[test]
    fn loom_rings_at_once_are_answered_though_each_tries_the_lock() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let alarm = Alarm::locked();
            alarm.unlock();
            let others = [Arc::clone(&alarm), Arc::clone(&alarm)];
            let [one, two] = others.map(|alarm| thread::spawn(move || alarm.ring()));
            alarm.ring();
            one.join().unwrap();
            two.join().unwrap();
            alarm.check(3);
        });
    }
}
