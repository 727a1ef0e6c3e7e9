//! How much room is taken, and how much there is.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::MemorySnapshot;

/// The bounds, shared by all shards: a bound for each shard would refuse a key while others have
/// room.
///
/// Relaxed throughout: the counters guard no other memory, and each is modified in one order.
#[derive(Debug)]
pub(super) struct Room {
    records: AtomicUsize,
    bytes: AtomicUsize,
    refused: AtomicU64,
    most_records: usize,
    most_bytes: usize,
}

impl Room {
    pub(super) fn new(most_records: usize, most_bytes: usize) -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            most_records,
            most_bytes,
        }
    }

    /// Takes room for one more record of so many bytes, if there is.
    #[must_use]
    pub(super) fn take_record(&self, bytes: usize) -> bool {
        if !take(&self.records, 1, self.most_records) {
            return false;
        }
        let taken = self.take_bytes(bytes);
        if !taken {
            self.records.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    #[must_use]
    pub(super) fn take_bytes(&self, bytes: usize) -> bool {
        bytes == 0 || take(&self.bytes, bytes, self.most_bytes)
    }

    pub(super) fn give_record(&self, bytes: usize) {
        self.records.fetch_sub(1, Ordering::Relaxed);
        self.give_bytes(bytes);
    }

    pub(super) fn give_bytes(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot {
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// A loop and not an addition that is taken back: two claims for the last place would refuse each
/// other.
fn take(counter: &AtomicUsize, by: usize, most: usize) -> bool {
    let add = |taken: usize| taken.checked_add(by).filter(|&sum| sum <= most);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}
