//! What a peer publishes, for readers that take no lock: a seqlock.
//!
//! The writer makes the sequence odd, writes, and makes it even again; a reader that sees the same
//! even number before and after has read what one write wrote. Every word is an atomic, so a torn
//! read is thrown away and never undefined. Each store of a word *releases* the odd number before
//! it, and each load *acquires*: a reader that saw any word of a later write sees that write's odd
//! number too, in its second look at the sequence.

use crate::{
    status::Standing,
    sync::{AtomicU32, AtomicU64, Ordering, spin_loop, yield_now},
};

/// One state of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// Nanoseconds from the hub's origin to the last heartbeat.
    pub(crate) arrival: u64,
    /// Of the curve.
    pub(crate) location: f64,
    /// Of the curve.
    pub(crate) scale: f64,
    pub(crate) standing: Standing,
}

/// The place where it stands. One writer at a time, which the peer's lock sees to.
#[derive(Debug)]
pub(crate) struct Published {
    sequence: AtomicU32,
    standing: AtomicU32,
    arrival: AtomicU64,
    location: AtomicU64,
    scale: AtomicU64,
}

/// How often a reader looks again before it lets another thread run: the writer may have been
/// preempted between its two stores.
const SPINS: u32 = 64;

impl Published {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            sequence: AtomicU32::new(0),
            standing: AtomicU32::new(record.standing.word()),
            arrival: AtomicU64::new(record.arrival),
            location: AtomicU64::new(record.location.to_bits()),
            scale: AtomicU64::new(record.scale.to_bits()),
        }
    }

    /// Loads its cache line.
    #[inline]
    pub(crate) fn touch(&self) {
        self.sequence.load(Ordering::Relaxed);
    }

    /// What was published last.
    pub(crate) fn read(&self) -> Record {
        let mut spins = 0_u32;
        loop {
            // Acquire: pairs with the release that ends a write.
            let before = self.sequence.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let record = self.words(Ordering::Acquire);
                // Relaxed: the loads above acquired what it must not miss.
                if self.sequence.load(Ordering::Relaxed) == before {
                    return record;
                }
            }
            spins += 1;
            if spins.is_multiple_of(SPINS) || cfg!(steadfast_loom) {
                yield_now();
            } else {
                spin_loop();
            }
        }
    }

    /// The same for the writer, who has the lock under which it was written.
    pub(crate) fn own(&self) -> Record {
        self.words(Ordering::Relaxed)
    }

    /// Only under the peer's lock.
    pub(crate) fn write(&self, record: Record) {
        // Relaxed: the lock orders the writers.
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Release: a reader that sees one of these sees the odd number as well.
        self.standing.store(record.standing.word(), Ordering::Release);
        self.arrival.store(record.arrival, Ordering::Release);
        self.location.store(record.location.to_bits(), Ordering::Release);
        self.scale.store(record.scale.to_bits(), Ordering::Release);
        // Release: pairs with the reader's first look.
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    fn words(&self, order: Ordering) -> Record {
        Record {
            standing: Standing::from_word(self.standing.load(order)),
            arrival: self.arrival.load(order),
            location: f64::from_bits(self.location.load(order)),
            scale: f64::from_bits(self.scale.load(order)),
        }
    }
}

#[cfg(test)]
#[cfg(steadfast_loom)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    fn record(n: u32) -> Record {
        Record {
            arrival: n.into(),
            location: n.into(),
            scale: n.into(),
            standing: Standing::from_word(n),
        }
    }

    #[test]
    fn loom_a_reader_sees_what_one_write_wrote_and_none_older_than_it_has_seen() {
        // Each spin of the reader is a branch of its own.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let published = Arc::new(Published::new(record(0)));
            let writer = Arc::clone(&published);
            let thread = thread::spawn(move || {
                writer.write(record(1));
            });
            let first = published.read();
            assert!((0..2).any(|n| first == record(n)), "{first:?}");
            thread.join().unwrap();
            assert_eq!(published.read(), record(1));
        });
    }
}
