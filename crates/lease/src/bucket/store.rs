//! The store.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use object_store::{ObjectStore, path::Path};
use rand::RngExt;
use steadfast_core::{Executed, parts::lock};
use steadfast_store::within;
use tokio::time::sleep;

use super::{
    config::BucketConfig,
    objects::{Objects, Written},
    probe,
    record::{self, Record, WriteId},
    sights::{Sight, Sights},
};
use crate::{
    AcquireReply, AcquireTerms, LeaseName, Nonce, RenewReply, Slot, Store, StoreError, View, polled,
};

/// Keeps leases in an object store: Amazon S3, Google Cloud Storage, Azure Blob Storage, and what
/// else the crate `object_store` reaches with conditional writes.
///
/// Each name has one object of some hundred bytes, which is only ever replaced by a write that
/// names the version it replaces: of two writers one succeeds. An acquisition takes a read and a
/// write, a renewal and a release one write each.
///
/// # A store without a clock
/// Nothing in a bucket tells how old a version is by a clock that can be trusted, so no record says
/// until when a lease lasts. **A taker watches one version for the TTL that its holder recorded**,
/// and the margin of a hundredth and 2 ms, by a clock of its own that runs through suspend; each
/// renewal is another version, and the watch begins anew. What was watched for so long is taken
/// over by a write that names that version: a renewal that comes first wins.
///
/// So a process that sees a held lease for the first time waits for a whole TTL, whether or not the
/// holder is alive, and two processes may have watched for different times: one still takes a lease
/// for held that is over for the other. A release is seen at the next look.
///
/// # What it promises
/// - No step of any wall clock ends a lease or holds one up.
/// - **Tokens are in order** as long as the object is there: it records the last one. They also are
///   microseconds since 1970 by the clock of the client that was granted the lease, so they go back
///   only where the object is lost *and* the next client's clock is behind those before. Then a
///   [floor](crate::LeaseRequest::floor) heals it.
/// - An object that is deleted, or restored from an older version, while it is held, may be granted
///   to another: **two may hold**, until the holder's next renewal.
///
/// # The bucket
/// It must be able to write on a condition. [`open`](Self::open) tries that, with one object that
/// stays: some stores that speak the protocol of S3 pass over the condition, and
/// `object_store::local::LocalFileSystem` cannot replace by version at all. Whether it compares and
/// writes in one step cannot be tried: S3, Google and Azure do, emulators may not. The credentials
/// need leave to read, to write and to list; S3 does not say without the last that an object is not
/// there.
///
/// Requests are paid for: a lease of 60 s costs three writes a minute, a waiter a read at each
/// look. Google takes one write a second of one object. So a TTL of 30 s and more is in place here.
/// Objects are never deleted; a rule of the bucket may delete those under the prefix that were not
/// written for seven days.
///
/// The nonce that proves a grant is in the object: who reads the bucket can release its leases.
///
/// ```
/// use std::{sync::Arc, time::Duration};
///
/// use object_store::memory::InMemory; // or `aws::AmazonS3Builder`, by the feature `aws`
/// use steadfast_lease::{BucketConfig, BucketStore, LeaseClient, LeaseClientConfig, LeaseName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bucket = Arc::new(InMemory::new());
/// let store = BucketStore::open(BucketConfig::new().prefix("shop/leases"), bucket).await?;
/// let config = LeaseClientConfig::new().ttl(Duration::from_secs(60));
/// let client = LeaseClient::new(config, store)?;
/// let lease = client.try_acquire(LeaseName::new("nightly report")?).await?;
/// # lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BucketStore {
    shared: Arc<Shared>,
}

struct Shared {
    config: BucketConfig,
    objects: Objects,
    sights: Mutex<Sights>,
}

/// A write that is refused has met another, which was quicker. One that meets so many in a row is
/// told that the store is busy.
const MOST_TRIES: u32 = 16;
/// Before a write is repeated that was refused though no other was quicker. Doubled each time.
const AGAIN: Duration = Duration::from_millis(10);
const AGAIN_AT_MOST: Duration = Duration::from_secs(1);

impl BucketStore {
    /// Leases in this bucket. Six requests make sure that it can hold them.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when a value of the config is
    /// outside of what its setter names, when the bucket is not there or does not let the program
    /// in, or when it cannot write on a condition; otherwise as
    /// [`StoreErrorKind`](crate::StoreErrorKind) lists them.
    ///
    /// # Panics
    /// Outside of a tokio runtime with a timer.
    pub async fn open(
        config: BucketConfig,
        bucket: Arc<dyn ObjectStore>,
    ) -> Result<Self, StoreError> {
        let prefix = config.check().map_err(|error| StoreError::misconfigured().because(error))?;
        let (objects, limit) = (Objects::new(bucket, prefix), config.call_limit);
        let checked = within(limit, probe::check(&objects)).await;
        checked.map_err(|error| error.executed_as(Executed::No))?;
        let sights = Mutex::new(Sights::new(config.most_names));
        Ok(Self { shared: Arc::new(Shared { config, objects, sights }) })
    }
}

/// What a rule makes of a record.
struct Decided<T> {
    answer: T,
    /// Whether the record is written, also where it says the same: a renewal is a write.
    is_written: bool,
}

/// What the clocks say.
#[derive(Clone, Copy)]
struct Moment {
    now: Duration,
    micros: u64,
}

impl Shared {
    fn now(&self) -> Duration {
        self.config.clock.now().since_zero()
    }

    fn moment(&self) -> Moment {
        let since = self.config.wall_clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { now: self.now(), micros: u64::try_from(since.as_micros()).unwrap_or(u64::MAX) }
    }

    /// Reads the record.
    async fn look(&self, name: &LeaseName, path: &Path) -> Result<Option<Sight>, StoreError> {
        let Some(found) = self.objects.read(path, record::LONGEST).await? else {
            lock(&self.sights).forget(name);
            return Ok(None);
        };
        let record = Record::parse(&found.bytes)
            .ok_or_else(|| StoreError::corrupt().because("the object is no record of a lease"))?;
        // After the answer: by then it stood there for certain.
        let seen = Sight::new(record, Some(found.version), self.now());
        Ok(Some(lock(&self.sights).note(name, seen)))
    }

    /// Does to the record of a name what the rule decides, by a write that replaces just the
    /// version that the rule has seen.
    ///
    /// `outlasts` says whether a write counts that was executed, and then replaced by another's.
    async fn change<T: Clone>(
        &self,
        name: &LeaseName,
        outlasts: bool,
        rule: impl Fn(&mut Slot, Moment) -> Result<Decided<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let path = self.objects.path(name);
        // What is known may be old. A write by it proves that it is not, and no other answer is
        // given by it.
        let mut known = lock(&self.sights).known(name);
        let mut sent: Vec<Sent<T>> = vec![];
        for _ in 0..MOST_TRIES {
            let is_read = known.is_none();
            let mut seen = match known.take() {
                Some(seen) => Some(seen),
                None => self.look(name, &path).await.map_err(|error| in_doubt(error, &sent))?,
            };
            let record = seen.as_ref().map(|seen| &seen.record);
            if let Some(answer) = own(&sent, record, outlasts) {
                return Ok(answer);
            }
            self.pause_if_none_was_quicker(&sent, record).await;
            let moment = self.moment();
            let mut slot = seen.as_mut().map_or_else(Slot::default, |seen| seen.slot(moment.now));
            let decided = rule(&mut slot, moment).map_err(|error| in_doubt(error, &sent))?;
            let (before, version) = seen.map(|seen| (seen.record, seen.version)).unzip();
            let next = Record::behind(before.as_ref(), slot).filter(|_| decided.is_written);
            let Some(record) = next else {
                if is_read {
                    return Ok(decided.answer);
                }
                continue;
            };
            lock(&self.sights).doubt(name);
            let written = self.objects.write(&path, version.flatten(), record.to_bytes()).await;
            match written.map_err(|error| in_doubt(error, &sent))? {
                Written::Done(version) => {
                    // After the answer, as above.
                    let seen = Sight::new(record, version, self.now());
                    lock(&self.sights).note(name, seen);
                    return Ok(decided.answer);
                }
                Written::Refused => {
                    let replaces = before.map(|before| before.id);
                    sent.push(Sent { id: record.id, replaces, answer: decided.answer });
                }
            }
        }
        let busy = "each write was refused";
        Err(StoreError::unavailable(Executed::Maybe).because(busy))
    }

    /// A write was refused, and what it would have replaced is there all the same.
    async fn pause_if_none_was_quicker<T>(&self, sent: &[Sent<T>], record: Option<&Record>) {
        let id = record.map(|record| record.id);
        let times = sent.iter().rev().take_while(|sent| sent.replaces == id).count();
        if let Some(doublings) = times.checked_sub(1) {
            let doublings = u32::try_from(doublings).unwrap_or(u32::MAX);
            let pause = AGAIN.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
            let spread = rand::rng().random_range(0.5..1.0);
            sleep(pause.min(AGAIN_AT_MOST).mul_f64(spread)).await;
        }
    }
}

/// A write that was refused, or was executed and the answer to that was lost.
struct Sent<T> {
    id: WriteId,
    replaces: Option<WriteId>,
    answer: T,
}

/// What was answered by the write that stands there, if it is an own one.
fn own<T: Clone>(sent: &[Sent<T>], record: Option<&Record>, outlasts: bool) -> Option<T> {
    let Record { id, replaced, .. } = record?;
    let is_own = |sent: &&Sent<T>| sent.id == *id || (outlasts && sent.id == *replaced);
    sent.iter().find(is_own).map(|sent| sent.answer.clone())
}

/// A write that was refused may have been executed when it was sent the first time.
fn in_doubt<T>(error: StoreError, sent: &[Sent<T>]) -> StoreError {
    if sent.is_empty() { error } else { error.executed_as(Executed::Maybe) }
}

impl Store for BucketStore {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        let rule = |slot: &mut Slot, Moment { now, micros }: Moment| {
            // The same grant again: for as long as it was granted first, for the holder may count
            // on that, and takers wait for no more than is recorded.
            let before = slot.held(now).filter(|owner| owner.nonce == terms.nonce);
            let before = before.map_or(Duration::ZERO, |owner| owner.ttl);
            let answer = slot.acquire(terms, now, micros);
            let answer = answer.map_err(|error| StoreError::full().because(error))?;
            let is_written = matches!(answer, AcquireReply::Granted { .. });
            if let Some(owner) = slot.owner.as_mut().filter(|_| is_written) {
                owner.ttl = owner.ttl.max(before);
            }
            Ok(Decided { answer, is_written })
        };
        within(self.shared.config.call_limit, self.shared.change(name, false, rule)).await
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        let rule = |slot: &mut Slot, moment: Moment| {
            let answer = slot.renew(nonce, moment.now);
            let is_written = matches!(answer, RenewReply::Renewed { .. });
            Ok(Decided { answer, is_written })
        };
        within(self.shared.config.call_limit, self.shared.change(name, false, rule)).await
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        let rule = |slot: &mut Slot, moment: Moment| {
            let was_held = slot.release(nonce, moment.now);
            Ok(Decided { answer: was_held, is_written: was_held })
        };
        within(self.shared.config.call_limit, self.shared.change(name, true, rule)).await
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        let (shared, path) = (&*self.shared, self.shared.objects.path(name));
        let look = || async {
            let found = within(shared.config.call_limit, shared.look(name, &path)).await?;
            Ok(found.map_or_else(View::default, |mut seen| {
                let now = shared.now();
                seen.slot(now).observe(now)
            }))
        };
        polled::observe(seen, shared.config.look_every, look).await
    }
}

impl fmt::Debug for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketStore")
            .field("config", &self.shared.config)
            .field("objects", &self.shared.objects)
            .finish_non_exhaustive()
    }
}
