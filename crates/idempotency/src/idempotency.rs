//! The handle.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use steadfast_core::{
    Backoff, ConfigError, Detach, DetachConfig, Executed, Failure, Jitter, ReserveError,
    SystemWallClock, WallClock,
};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    Answer, Census, Claim, Codec, Fingerprint, IdempotencyConfig, Outcome, RecordId, Refused,
    Store, StoreError, View,
    flights::{Ended, Flights, Joined, Leader},
    shared::{Shared, Shown, now},
    signal::Signal,
    task::Task,
    telemetry::Telemetry,
};

mod snapshot;

pub use self::snapshot::IdempotencySnapshot;

/// Runs an operation once for each key, and answers its duplicates. Clones share the state.
///
/// A request with a key asks the store for it. The first runs the operation, in a task of its own
/// that is started before the key is claimed: a caller that leaves at any moment strands nothing,
/// and what it began is finished and stored. The claim is renewed at a third of its lease until
/// then. What the end of the operation means is an [`Outcome`].
///
/// Duplicates in this process wait for the first, and those of other processes ask the store now
/// and then, both within `wait`; then they get the stored reply or are [`Refused`].
///
/// An operation that blocks its thread holds up its own renewal: one that may block for longer than
/// a lease belongs on a thread of its own, such as tokio's `spawn_blocking`.
///
/// The operation runs in a task, so values of `tokio::task_local!` do not reach it. With the
/// feature `tracing` it runs in the span of its caller.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use bytes::Bytes;
/// use steadfast_idempotency::{
///     AsBytes, Fingerprint, Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, RecordId,
/// };
///
/// let store = MemoryStore::new(MemoryConfig::new())?;
/// let payments = Idempotency::new(IdempotencyConfig::new().named("payments"), store)?;
///
/// let pay = || {
///     let id = RecordId::new("alice", "7f3a").expect("short, and not empty");
///     let payload = Fingerprint::of(["POST", "/pay", "amount=5"]);
///     payments.run(id, payload, AsBytes, |_claim| async {
///         Ok::<_, steadfast_core::Error<std::io::Error>>(Bytes::from("receipt 1"))
///     })
/// };
/// assert_eq!(pay().await?, "receipt 1");
/// assert_eq!(pay().await?, "receipt 1");
/// let snapshot = payments.snapshot();
/// assert_eq!((snapshot.ran, snapshot.replayed), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Idempotency {
    shared: Arc<Shared>,
}

impl Idempotency {
    /// A handle of its own over `store`.
    ///
    /// # Errors
    /// When a number is outside the range that its setter names, or the handle is to be
    /// transactional and the store is not.
    pub fn new(config: IdempotencyConfig, store: impl Store) -> Result<Self, ConfigError> {
        Self::with_wall_clock(config, store, SystemWallClock)
    }

    /// The same on a wall clock of its own, for tests: ages of keys are counted by it, and nothing
    /// else.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_wall_clock(
        config: IdempotencyConfig,
        store: impl Store,
        wall_clock: impl WallClock,
    ) -> Result<Self, ConfigError> {
        let (name, settings) = config.check()?;
        let can_be = !settings.is_transactional || store.is_transactional();
        let rule = "a store whose claims can be completed in a transaction of the operation's";
        ConfigError::require(can_be, "transactional", settings.is_transactional, rule)?;
        let (first, longest) = (Duration::from_millis(20), Duration::from_millis(500));
        let shared = Shared {
            #[cfg(feature = "postgres")]
            completion: store.completion_statement(),
            store: Box::new(store),
            telemetry: Telemetry::new(name),
            backoff: Backoff::exponential(first, longest)?.with_jitter(Jitter::Equal),
            stop: Signal::default(),
            flights: Flights::default(),
            detach: Detach::new(DetachConfig::new().most(settings.most_in_flight))?,
            waiting: AtomicUsize::new(0),
            made_at: now(),
            looked_in: AtomicU64::new(0),
            settings,
            wall_clock: Box::new(wall_clock),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The name in metrics and events.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.telemetry.name
    }

    /// Runs `operation` once for `id`, or answers with the result of the run there was.
    ///
    /// A result means what the codec says, which is stored unless it says otherwise. An error frees
    /// the key if its grounds promise that nothing was executed, and abandons it otherwise.
    ///
    /// Dropped before it is first polled, it does nothing; later, the operation goes on.
    ///
    /// # Errors
    /// The operation's own, to the caller whose run it was; [`Refused`] to the others.
    ///
    /// # Panics
    /// When the operation does, once its key is settled. Outside of a tokio runtime with a timer.
    pub async fn run<T, E, C, F, Fut>(
        &self,
        id: RecordId,
        fingerprint: Fingerprint,
        codec: C,
        operation: F,
    ) -> Result<T, E>
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Refused> + Failure + Send + 'static,
        C: Codec<T> + Send + Sync + 'static,
    {
        self.run_by(id, fingerprint, Arc::new(codec), operation).await
    }

    /// [`run`](Self::run) by a codec that is shared.
    pub(crate) async fn run_by<T, E, C, F, Fut>(
        &self,
        id: RecordId,
        fingerprint: Fingerprint,
        codec: Arc<C>,
        operation: F,
    ) -> Result<T, E>
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Refused> + Failure + Send + 'static,
        C: Codec<T> + Send + Sync + 'static,
    {
        let encoder = Arc::clone(&codec);
        let answer = self.execute(id, fingerprint, |claim| async move {
            let result = operation(claim).await;
            let outcome = match &result {
                Ok(result) => encoder.outcome(result),
                Err(error) => Outcome::of_failure(error),
            };
            (result, outcome)
        });
        match answer.await? {
            Answer::Executed(result) => result,
            Answer::Replayed(reply) => {
                codec.decode(reply).map_err(|_| self.shared.refuse(Refused::unreadable()).into())
            }
        }
    }

    /// The same for an operation that says itself what its end means: what layers are built on.
    ///
    /// # Errors
    /// [`Refused`]. The operation's own result, an error or not, is an [`Answer::Executed`].
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub async fn execute<T, F, Fut>(
        &self,
        id: RecordId,
        fingerprint: Fingerprint,
        operation: F,
    ) -> Result<Answer<T>, Refused>
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = (T, Outcome)> + Send + 'static,
        T: Send + 'static,
    {
        let shared = &self.shared;
        shared.check_age(&id)?;
        let began = now();
        let wait_until = began + shared.settings.wait;
        loop {
            let flight = match shared.flights.join(&id, fingerprint, began) {
                Joined::Leader(leader) => {
                    let (sender, said) = oneshot::channel();
                    let task = Task::new(shared, id, fingerprint, wait_until, sender);
                    self.spawn(leader, task, operation)?;
                    return shared.answer(said.await);
                }
                Joined::Follower(flight) => flight,
            };
            match shared.follow(&flight, fingerprint, wait_until).await {
                Ended::Again => {}
                Ended::Stored(reply) => return shared.replay(reply),
                Ended::Refused(refused) => return Err(shared.refuse(refused)),
            }
        }
    }

    /// The record of `id` as it is now; `None` if there is none.
    ///
    /// A customer writes: "my payment is refused with 409, for hours". Its key was abandoned: the
    /// payment may have been executed, and nothing that the handle knows of says whether it was. An
    /// operator looks, asks the books, and frees the key, or leaves it:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use steadfast_idempotency::*;
    /// # let store = MemoryStore::new(MemoryConfig::new())?;
    /// # let payments = Idempotency::new(IdempotencyConfig::new(), store)?;
    /// # let is_in_the_books = |_: &RecordId| false;
    /// # let payload = Fingerprint::of(["amount=5"]);
    /// // As the layer names records: the principal, and the key that its client sent.
    /// let id = RecordId::new("alice", "7f3a")?;
    /// # payments.execute(id.clone(), payload, async |_| ((), Outcome::Abandon)).await?;
    /// let Some(view) = payments.look(&id).await? else { return Ok(()) };
    /// println!("{:?}, attempt {}, for {:?}", view.state, view.attempt, view.age);
    /// if view.state == ViewState::Abandoned && !is_in_the_books(&id) {
    ///     // The client's next attempt runs.
    ///     assert!(payments.forget(&id).await?);
    /// }
    /// # assert_eq!(payments.look(&id).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the store fails, or does not answer within `store_limit`.
    pub async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        self.shared.within_limit("look", self.shared.store.boxed_look(id)).await
    }

    /// Removes the record of `id` whatever its state, and says whether there was one. **The next
    /// request with this key runs.** An operation that is under way goes on, and finds its claim
    /// lost.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        self.shared.within_limit("forget", self.shared.store.boxed_forget(id)).await
    }

    /// Removes up to `most` records that have expired, and says how many.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        let purge = self.shared.store.boxed_purge_expired(most);
        self.shared.within_limit("purge_expired", purge).await
    }

    /// How many keys of the store are not done, in whatever process; `None` from a store that
    /// cannot count them. With the feature `metrics` it shows them in gauges, which keep their
    /// values until the next census: a program takes one every minute or so, and gives an alarm
    /// where keys are abandoned or the oldest in flight is much older than an operation takes.
    ///
    /// What is under way in this process its [snapshot](steadfast_core::Snapshot) says at any time.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn census(&self) -> Result<Option<Census>, StoreError> {
        let census = self.shared.within_limit("census", self.shared.store.boxed_census()).await?;
        if let Some(census) = &census {
            self.shared.telemetry.show(census);
        }
        self.shared.show_oldest();
        Ok(census)
    }

    /// Refuses new requests, and waits for those under way: up to `limit`. Then it cancels the
    /// operations that are left, abandons their keys, and waits until the store was told, up to
    /// twice the `store_limit`.
    ///
    /// Dropping the future ends the wait and nothing else.
    pub async fn shutdown(&self, limit: Duration) {
        let Shared { detach, stop, settings, .. } = &*self.shared;
        if timeout(limit, detach.shutdown()).await.is_err() {
            stop.raise();
            // What is left then hangs in the store or in an operation that does not yield.
            let _ = timeout(settings.store_limit * 2, detach.idle()).await;
        }
    }

    /// Whether the two are clones of one handle.
    #[cfg(feature = "http")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    #[cfg(feature = "http")]
    pub(crate) fn most_reply_bytes(&self) -> usize {
        self.shared.settings.most_reply_bytes
    }

    /// Counts a refusal of a layer's own.
    #[cfg(feature = "http")]
    pub(crate) fn refuse(&self, refused: Refused) -> Refused {
        self.shared.refuse(refused)
    }

    /// # Errors
    /// When there is no place for one more: before anything is claimed.
    fn spawn<T, F, Fut>(
        &self,
        leader: Leader,
        mut task: Task<T>,
        operation: F,
    ) -> Result<(), Refused>
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = (T, Outcome)> + Send + 'static,
        T: Send + 'static,
    {
        let place = self.shared.detach.reserve().map_err(|error| {
            self.shared.refuse(match error {
                ReserveError::ShutDown => Refused::shut_down(Executed::No),
                ReserveError::NoRuntime => panic!("{error}"),
                _ => Refused::full(),
            })
        })?;
        let shared = Arc::clone(&self.shared);
        let work = async move {
            let _shown = Shown::new(shared);
            task.lead(&leader, operation).await;
            task.release_late().await;
        };
        #[cfg(feature = "tracing")]
        let work = tracing::Instrument::instrument(work, tracing::Span::current());
        // In a box: the work is large, and moved several times on its way to where it runs.
        place.spawn(Box::pin(work));
        Ok(())
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").field("name", &self.name()).finish_non_exhaustive()
    }
}
