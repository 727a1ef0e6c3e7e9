//! Leases in the memory of one process.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use steadfast_core::{
    BootClock, BootInstant, ConfigError, Snapshot, SystemWallClock, WallClock,
    parts::{Waiters, lock},
};

use crate::{
    AcquireReply, AcquireTerms, LeaseName, Nonce, RenewReply, Slot, Store, StoreError, View,
    race::{Raced, race},
    retention,
};

/// How much a [`MemoryStore`] keeps, and by which clocks.
///
/// | | default | why |
/// |---|---|---|
/// | `most_names` | 100,000 | names are few: what is leased, not who asks |
/// | `retention` | 7 days | a token made by a clock goes back only if the clock steps back farther |
/// | `clock` | the system's, through suspend | leases end as their holders think |
/// | `wall_clock` | the system's | tokens grow over a restart |
#[derive(Clone)]
#[must_use]
pub struct MemoryConfig {
    most_names: NonZeroUsize,
    retention: Duration,
    clock: BootClock,
    wall_clock: Arc<dyn WallClock>,
}

impl MemoryConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            most_names: NonZeroUsize::new(100_000).expect("it is not zero"),
            retention: retention::DEFAULT,
            clock: BootClock::system(),
            wall_clock: Arc::new(SystemWallClock),
        }
    }

    /// How many names there may be, with those that were held within the retention.
    pub const fn most_names(mut self, most: NonZeroUsize) -> Self {
        self.most_names = most;
        self
    }

    /// For how long the last token of a name is kept that is not held: above zero, up to 10 years.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// The clock that leases expire by: [`BootClock::tokio`] in tests on paused time.
    pub fn clock(mut self, clock: BootClock) -> Self {
        self.clock = clock;
        self
    }

    /// The clock that tokens are made by.
    pub fn wall_clock(mut self, clock: impl WallClock) -> Self {
        self.wall_clock = Arc::new(clock);
        self
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConfig")
            .field("most_names", &self.most_names)
            .field("retention", &self.retention)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Keeps leases in the memory of one process: for tests, and for tasks that compete within one
/// server.
///
/// Tokens grow over a restart as long as the wall clock has not gone back meanwhile. Bounded, and
/// **full is a refusal**: the last token of a name is not forgotten within its retention.
///
/// Clones share the leases.
///
/// ```
/// use steadfast_lease::{MemoryConfig, MemoryStore};
///
/// let store = MemoryStore::new(MemoryConfig::new())?;
/// assert_eq!(store.snapshot().names, 0);
/// # Ok::<_, steadfast_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    config: MemoryConfig,
    names: Mutex<Names>,
    /// All that observe any name: they look again at each change. Names in one process are few, and
    /// so are the changes.
    observers: Waiters,
}

/// No panic leaves it half changed: nothing foreign runs under its lock but hashes and comparisons
/// of names.
#[derive(Debug, Default)]
struct Names {
    kept: HashMap<LeaseName, Kept>,
    /// When each name may be forgotten, as far as was known when it was put here: what is due is
    /// looked at, and comes back if it was held since.
    due: BinaryHeap<Reverse<(Duration, LeaseName)>>,
    refused: u64,
}

#[derive(Debug, Default)]
struct Kept {
    slot: Slot,
    /// When it was last granted or released.
    touched: Duration,
}

/// A [`MemoryStore`] as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemorySnapshot {
    /// How many names it keeps, held or not.
    pub names: usize,
    /// How many acquisitions were refused for want of room.
    pub refused: u64,
}

/// How many names are looked at that may be forgotten when a new one comes: more than the one that
/// it adds, so that they go faster than they come.
const SWEPT_BY_NEW: usize = 2;

impl MemoryStore {
    /// A store of its own, in which nothing is held.
    ///
    /// # Errors
    /// When the retention is zero or above 10 years.
    pub fn new(config: MemoryConfig) -> Result<Self, ConfigError> {
        retention::check(config.retention)?;
        let shared = Shared { config, names: Mutex::default(), observers: Waiters::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Does something to the record of a name, an empty one if there is none, that does not add
    /// one.
    fn with<T>(&self, name: &LeaseName, change: impl FnOnce(&mut Slot, Duration) -> T) -> T {
        let now = self.shared.now();
        match lock(&self.shared.names).kept.get_mut(name) {
            Some(kept) => change(&mut kept.slot, now),
            None => change(&mut Slot::default(), now),
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.config.clock.now().since_zero()
    }

    /// Zero before 1970.
    fn micros(&self) -> u64 {
        let since: Duration = self.wall_now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn wall_now(&self) -> SystemTime {
        self.config.wall_clock.now()
    }
}

impl Names {
    /// Has a record of the name, if there is room for it.
    fn make_room(&mut self, name: &LeaseName, now: Duration, config: &MemoryConfig) -> bool {
        if self.kept.contains_key(name) {
            return true;
        }
        self.sweep(now, SWEPT_BY_NEW, config.retention);
        if self.kept.len() >= config.most_names.get() {
            self.sweep(now, usize::MAX, config.retention);
        }
        let has_room = self.kept.len() < config.most_names.get();
        if has_room {
            self.kept.insert(name.clone(), Kept { touched: now, ..Kept::default() });
            self.due.push(Reverse((now.saturating_add(config.retention), name.clone())));
        } else {
            self.refused += 1;
        }
        has_room
    }

    /// Forgets names that were last held longer ago than the retention, out of `most` that are due.
    fn sweep(&mut self, now: Duration, most: usize, retention: Duration) {
        // Each is looked at once: what comes back is due later than now.
        for _ in 0..most.min(self.due.len()) {
            let Some(Reverse((at, _))) = self.due.peek() else { return };
            if *at > now {
                return;
            }
            let Some(Reverse((_, name))) = self.due.pop() else { return };
            let Some(kept) = self.kept.get(&name) else { continue };
            let held_until = kept.slot.owner.as_ref().map(|owner| owner.until);
            let idle_since = held_until.unwrap_or_default().max(kept.touched);
            let forget_at = idle_since.saturating_add(retention);
            if forget_at > now {
                self.due.push(Reverse((forget_at, name)));
            } else {
                self.kept.remove(&name);
            }
        }
    }
}

impl Store for MemoryStore {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        let shared = &*self.shared;
        // The clocks are the user's, and are not read under the lock.
        let (now, micros) = (shared.now(), shared.micros());
        let reply = {
            let mut names = lock(&shared.names);
            if !names.make_room(name, now, &shared.config) {
                return Err(StoreError::full());
            }
            let kept = names.kept.entry(name.clone()).or_default();
            let reply = kept.slot.acquire(terms, now, micros);
            if matches!(reply, Ok(AcquireReply::Granted { .. })) {
                kept.touched = now;
            }
            reply
        };
        if matches!(reply, Ok(AcquireReply::Granted { .. })) {
            shared.observers.wake();
        }
        reply.map_err(|error| StoreError::full().because(error))
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        Ok(self.with(name, |slot, now| slot.renew(nonce, now)))
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        let now = self.shared.now();
        let was_held = lock(&self.shared.names).kept.get_mut(name).is_some_and(|kept| {
            let was_held = kept.slot.release(nonce, now);
            if was_held {
                kept.touched = now;
            }
            was_held
        });
        if was_held {
            self.shared.observers.wake();
        }
        Ok(was_held)
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        let waiter = self.shared.observers.join();
        loop {
            let view = self.with(name, |slot, now| slot.observe(now));
            if seen.is_none_or(|seen| !seen.is_same(&view)) {
                return Ok(view);
            }
            let look = |view: &View| {
                let now = self.with(name, |slot, now| slot.observe(now));
                (!view.is_same(&now)).then_some(now)
            };
            let changed = std::future::poll_fn(|cx| waiter.poll(cx, || look(&view)));
            let expires_at = match &view.held {
                Some(held) => self.shared.config.clock.now().saturating_add(held.left),
                None => BootInstant::MAX,
            };
            match race(changed, self.shared.config.clock.wait_until(expires_at)).await {
                Raced::First(view) => return Ok(view),
                // It has expired, or was renewed: look again.
                Raced::Second(()) => {}
            }
        }
    }
}

impl MemoryStore {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> MemorySnapshot {
        let names = lock(&self.shared.names);
        MemorySnapshot { names: names.kept.len(), refused: names.refused }
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
