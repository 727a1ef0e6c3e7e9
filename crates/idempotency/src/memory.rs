//! Records in the memory of one process.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};

use bytes::Bytes;
use steadfast_core::{
    ConfigError, Snapshot, TimeSource,
    parts::{Stopwatch, lock},
};

use self::{room::Room, shard::Shard};
use crate::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, Store, StoreError, View,
};

mod room;
mod shard;

/// How much a [`MemoryStore`] keeps.
///
/// | | default | why |
/// |---|---|---|
/// | `most_records` | 1,000,000 | eleven keys a second, kept for a day; with the default bytes those are full first |
/// | `most_bytes` | 256 MiB | what a server can spare: 450,000 records without a reply, 170,000 with one of 1 KiB |
/// | `time_source` | tokio's | leases end as paused tests expect; the coarse clock is cheaper, and exact to 10 ms |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct MemoryConfig {
    most_records: NonZeroUsize,
    most_bytes: usize,
    time_source: TimeSource,
}

impl MemoryConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            most_records: NonZeroUsize::new(1_000_000).expect("a million is not zero"),
            most_bytes: 256 << 20,
            time_source: TimeSource::Tokio,
        }
    }

    /// How many records there may be.
    pub const fn most_records(mut self, most: NonZeroUsize) -> Self {
        self.most_records = most;
        self
    }

    /// How many bytes records may take, counted as their replies, their names, and a flat sum for
    /// all else. At least 1 KiB.
    pub const fn most_bytes(mut self, most: usize) -> Self {
        self.most_bytes = most;
        self
    }

    /// Which clock leases and retentions are counted on.
    pub const fn time_source(mut self, source: TimeSource) -> Self {
        self.time_source = source;
        self
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps records in the memory of one process: for one server, for tests, and where a restart may
/// forget what was done.
///
/// Bounded in records and in bytes. **Full is a refusal**: a record that has not expired is never
/// evicted, because its key would run again. Expired records make room as new ones come, a few at a
/// time; [`purge_expired`](Store::purge_expired) takes all that are due. Each claim has room for a
/// short reply, so that a completion without one never fails.
///
/// A reply is kept as it comes: a slice of a larger buffer keeps the whole buffer alive, and is
/// counted as the slice. A record whose completion has brought its end forward may be removed as
/// late as a lease after it; it answers nothing meanwhile.
///
/// Clones share the records.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use steadfast_idempotency::{MemoryConfig, MemoryStore};
///
/// let records = NonZeroUsize::new(10_000).unwrap();
/// let store = MemoryStore::new(MemoryConfig::new().most_records(records))?;
/// assert_eq!(store.snapshot().records, 0);
/// # Ok::<_, steadfast_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    shards: Box<[Mutex<Shard>]>,
    room: Room,
    clock: Stopwatch,
    /// Where the last sweep ended, and the next begins: sweeps that end early get to every shard.
    /// Relaxed: it is a hint.
    swept: AtomicUsize,
}

/// A [`MemoryStore`] as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemorySnapshot {
    /// How many records there are, those among them that have expired and still take room.
    pub records: usize,
    /// How many bytes they take.
    pub bytes: usize,
    /// How many claims and replies were refused for want of room.
    pub refused: u64,
}

/// How many expired records a new claim removes at most: more than the one that it adds, so that
/// they go faster than they come.
const SWEPT_BY_CLAIM: usize = 2;
/// How many are removed at most where there is no room.
const SWEPT_FOR_ROOM: usize = 16;
/// How many are removed at most before the lock is free again.
const SWEPT_AT_ONCE: usize = 256;

impl MemoryStore {
    /// A store of its own, without records.
    ///
    /// # Errors
    /// When `most_bytes` is below 1,024.
    pub fn new(config: MemoryConfig) -> Result<Self, ConfigError> {
        let MemoryConfig { most_records, most_bytes, time_source } = config;
        ConfigError::require(most_bytes >= 1024, "most_bytes", most_bytes, "at least 1,024")?;
        // Several shards a thread, so that two threads seldom meet in one; and many, so that a map
        // that grows holds up few.
        let shards = available_parallelism().map_or(1, NonZeroUsize::get).clamp(8, 32) * 8;
        let shared = Shared {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            room: Room::new(most_records.get(), most_bytes),
            clock: Stopwatch::start(time_source),
            swept: AtomicUsize::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Tries again as long as a shard gives up what has expired, a few at a time: what is asked for
    /// takes the time that its room takes, and not that of all that has expired.
    fn with_room<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Result<T, StoreError> {
        loop {
            if let Some(done) = attempt() {
                return Ok(done);
            }
            if self.shared.sweep(SWEPT_FOR_ROOM) == 0 {
                self.shared.room.refuse();
                return Err(StoreError::full());
            }
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.nanos())
    }

    fn shard(&self, id: &RecordId) -> &Mutex<Shard> {
        // The maps of the shards use the bits at both ends.
        &self.shards[(id.word() >> 32) as usize % self.shards.len()]
    }

    fn sweep(&self, most: usize) -> usize {
        let (now, mut swept) = (self.now(), 0);
        let first = self.swept.load(Ordering::Relaxed);
        for n in 0..self.shards.len() {
            let at = (first + n) % self.shards.len();
            while swept < most {
                let at_once = SWEPT_AT_ONCE.min(most - swept);
                let here = lock(&self.shards[at]).sweep(now, at_once, &self.room);
                swept += here.removed;
                if !here.may_have_more {
                    break;
                }
            }
            if swept >= most {
                self.swept.store(at + 1, Ordering::Relaxed);
                break;
            }
        }
        swept
    }
}

impl Store for MemoryStore {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        let shared = &*self.shared;
        let shard = shared.shard(id);
        self.with_room(|| {
            let now = shared.now();
            let mut shard = lock(shard);
            shard.sweep(now, SWEPT_BY_CLAIM, &shared.room);
            shard.claim(id, terms, now, &shared.room)
        })
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (shared, now) = (&*self.shared, self.shared.now());
        Ok(lock(shared.shard(id))
            .with(id, &shared.room, |slot| slot.renew(token, lease, retention, now)))
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let shared = &*self.shared;
        let shard = shared.shard(id);
        self.with_room(|| {
            let now = shared.now();
            lock(shard).complete(id, token, reply.clone(), retention, now, &shared.room)
        })
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        let (shared, now) = (&*self.shared, self.shared.now());
        Ok(lock(shared.shard(id)).with(id, &shared.room, |slot| slot.release(token, now)))
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let (shared, now) = (&*self.shared, self.shared.now());
        Ok(lock(shared.shard(id))
            .with(id, &shared.room, |slot| slot.abandon(token, retention, now)))
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        let (shared, now) = (&*self.shared, self.shared.now());
        Ok(lock(shared.shard(id)).with(id, &shared.room, |slot| slot.look(now)))
    }

    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        let (shared, now) = (&*self.shared, self.shared.now());
        Ok(lock(shared.shard(id)).with(id, &shared.room, |slot| slot.forget(now)))
    }

    async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        Ok(self.shared.sweep(most))
    }

    /// Reads all records, those of one shard at a time under its lock.
    async fn census(&self) -> Result<Option<Census>, StoreError> {
        let (mut census, now) = (Census::default(), self.shared.now());
        for shard in &self.shared.shards {
            lock(shard).count(&mut census, now);
        }
        Ok(Some(census))
    }
}

impl MemoryStore {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        self.shared.room.snapshot()
    }
}

impl Snapshot for MemoryStore {
    type State = MemorySnapshot;

    fn snapshot(&self) -> MemorySnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{Fingerprint, OnAbandoned};

    #[tokio::test(start_paused = true)]
    async fn sweeps_that_end_early_get_to_every_shard() {
        let store = MemoryStore::new(MemoryConfig::new()).unwrap();
        let records = || store.shared.shards.iter().map(|shard| lock(shard).len());
        let terms = ClaimTerms {
            token: ClaimToken::from_bytes([7; 16]),
            fingerprint: Fingerprint::from_bytes([7; 32]),
            lease: Duration::from_secs(1),
            retention: Duration::from_secs(1),
            on_abandoned: OnAbandoned::Refuse,
        };
        let mut n = 0_u32;
        while records().any(|records| records < 2) {
            n += 1;
            let id = RecordId::new("alice", n.to_be_bytes()).unwrap();
            assert!(store.claim(&id, &terms).now_or_never().unwrap().is_ok());
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        let before: Vec<_> = records().collect();
        for _ in 0..before.len() {
            assert_eq!(store.purge_expired(1).now_or_never().unwrap().unwrap(), 1);
        }
        assert!(records().zip(before).all(|(after, before)| after == before - 1));
    }
}
