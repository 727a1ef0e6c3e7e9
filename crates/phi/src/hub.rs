//! The state behind a detector, shared by its handles.

mod advance;
mod arming;
mod bell;
mod changes;
mod index;
mod judge;
mod published;
mod ring;
mod schedule;
#[cfg(all(test, not(steadfast_loom)))]
mod tests;
mod timer;
mod watched;

use std::{
    fmt,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use steadfast_core::{
    TimeSource,
    parts::{Waiters, Wakers, lane_count, lock},
};

use self::{
    changes::Changes,
    index::Index,
    published::Record,
    schedule::{Placed, Schedule},
    timer::Timer,
    watched::State,
};
pub(crate) use self::{
    ring::{Queued, Ring},
    schedule::Gone,
    watched::Watched,
};
use crate::{
    DetectorFull, Heard, Heartbeat, Status,
    config::Settings,
    curve::Curve,
    estimator::Circumstances,
    status::Level,
    sync::{AtomicU64, Ordering},
    telemetry::{Counted, Telemetry},
    units::whole_nanoseconds,
};

pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// After all instants that are counted: 584 years.
pub(crate) const NEVER: u64 = u64::MAX - 1;

/// Peers of one shard at the capacity: few enough that a heap is shallow and threads rarely meet
/// at its lock, so many that the list of tops is soon read.
const PEERS_PER_SHARD: usize = 256;

/// A queue holds two transitions of each peer, suspected and convicted, so that a subscriber that
/// reads misses none when all fall silent at once. At least and at most so many:
const QUEUE: (usize, usize) = (64, 1 << 20);

/// A hub's count of time begins an hour before it is made: a paused clock may have stood still
/// since before that.
const BEFORE: Duration = Duration::from_secs(3600);

/// All peers of one detector.
pub(crate) struct Hub<K> {
    pub(crate) settings: Settings,
    /// Woken at each transition.
    pub(crate) waiters: Waiters,
    pub(crate) timer: Arc<Timer>,
    pub(crate) ring: Ring<Watched<K>>,
    schedule: Schedule<K>,
    /// `None` where one peer is watched alone.
    index: Option<Index<K>>,
    reports: AtomicU64,
}

pub(crate) fn nanos(span: Duration) -> u64 {
    whole_nanoseconds(span).min(NEVER - 1)
}

impl<K> Hub<K> {
    fn make(settings: Settings, shards: usize, queue: usize, telemetry: Telemetry) -> Self {
        let now = CLOCK.now();
        let origin = now.checked_sub(BEFORE).unwrap_or(now);
        Self {
            waiters: Waiters::new(),
            timer: Timer::new(origin, settings.local_pause, shards, telemetry),
            ring: Ring::new(queue),
            schedule: Schedule::new(shards),
            index: None,
            reports: AtomicU64::new(0),
            settings,
        }
    }

    /// For one peer, and the peer.
    pub(crate) fn alone(
        settings: Settings,
        key: K,
        counted: &Arc<Counted>,
    ) -> (Arc<Self>, Arc<Watched<K>>) {
        let watched = Watched::new(key, &settings, 0);
        let hub = Self::make(settings, 1, QUEUE.0, Telemetry::alone(counted));
        (Arc::new(hub), Arc::new(watched))
    }

    /// Takes in a heartbeat.
    #[inline]
    pub(crate) fn heartbeat(&self, peer: &Arc<Watched<K>>, heartbeat: Heartbeat) -> Heard {
        self.heartbeat_at(peer, heartbeat, self.timer.now())
    }

    /// The same, with the time that was read just before.
    #[inline]
    fn heartbeat_at(&self, peer: &Arc<Watched<K>>, heartbeat: Heartbeat, now: u64) -> Heard {
        self.timer.look(now);
        peer.touch();
        let (mut changes, mut placed) = (Changes::none(), Placed::default());
        let mut state = lock(&peer.state);
        let (heard, was_trusted) = self.hear(peer, &mut state, heartbeat, now, &mut changes);
        if !state.is_forgotten() {
            let due = self.due(&peer.published.own());
            if due < state.filed {
                placed = self.schedule.file(&self.timer.arming, peer, &mut state, due);
            }
        }
        drop(state);
        // Woken as they are dropped if another waker panics first.
        let asked = if was_trusted || heard == Heard::Stale { None } else { peer.heard() };
        if placed.is_littered {
            self.schedule.sweep(&self.timer.arming, peer.shard as usize);
        }
        if placed.is_early {
            self.timer.reset();
        } else if self.timer.arming.is_time(now) {
            self.move_on(now);
        }
        // Last: a waker that panics must find the timer set.
        changes.report(self);
        asked.into_iter().for_each(Wakers::wake);
        heard
    }

    /// What the heartbeat was, and whether the peer was trusted until then.
    fn hear(
        &self,
        peer: &Arc<Watched<K>>,
        state: &mut State,
        heartbeat: Heartbeat,
        now: u64,
        changes: &mut Changes<K>,
    ) -> (Heard, bool) {
        let mut record = peer.published.own();
        let before = record.standing;
        // A transition that another thread has made since the clock was read comes before this.
        let now = if before.status == Status::Trusted { now } else { self.timer.now().max(now) };
        self.catch_up(peer, state, &mut record, now, changes);
        let was_trusted = record.standing.status == Status::Trusted;
        let is_first = record.standing.status == Status::Unknown;
        let resumed = self.timer.resumed();
        // Threads may come in another order than they read the clock.
        let at = if is_first { now } else { now.max(record.arrival) };
        let circumstances = Circumstances {
            convicted: record.standing.status == Status::Convicted,
            paused: !is_first && resumed > record.arrival,
        };
        let since = (!is_first).then(|| at - record.arrival);
        let rules = &*self.settings.rules;
        let heard = state.estimator.heartbeat(rules, heartbeat, since, circumstances);
        if heard != Heard::Stale {
            let is_on_time = record.standing.status != Status::Suspected
                || now < self.reached(&record, Level::Suspect);
            let standing = record.standing.rise(is_on_time, self.settings.trust_after);
            if standing.status != record.standing.status {
                let phi = if is_first { 0.0 } else { self.phi(&record, at) };
                let to = standing.status;
                let instant = self.timer.instant(at).unwrap_or_else(|| CLOCK.now());
                self.note(changes, peer, state, (record.standing.status, to, phi), instant);
            }
            let Curve { location, scale, .. } = state.estimator.curve(rules);
            record = Record { arrival: at, location, scale, standing };
            peer.count(heard == Heard::Mistake);
        }
        if heard != Heard::Stale || record.standing != before {
            peer.published.write(record);
        }
        (heard, was_trusted)
    }

    /// Makes the transitions that silence alone has brought about until `until`.
    fn catch_up(
        &self,
        peer: &Arc<Watched<K>>,
        state: &State,
        record: &mut Record,
        until: u64,
        changes: &mut Changes<K>,
    ) {
        while let Some(level) = record.standing.next() {
            let due = self.reached(record, level);
            if due > until || due == NEVER {
                return;
            }
            let (from, to) = (record.standing.status, record.standing.fall());
            record.standing = to;
            let at = self.timer.instant(due).unwrap_or_else(|| CLOCK.now());
            self.note(changes, peer, state, (from, to.status, self.threshold(level)), at);
        }
    }

    /// Under the peer's lock, which keeps its transitions in order.
    fn note(
        &self,
        changes: &mut Changes<K>,
        peer: &Arc<Watched<K>>,
        state: &State,
        (from, to, phi): (Status, Status, f64),
        at: Instant,
    ) {
        if state.is_forgotten() {
            return;
        }
        if let Some(place) = changes.made.iter_mut().find(|place| place.is_none()) {
            *place = Some((from, to, phi));
        }
        if self.ring.is_read() {
            let transition = Queued { peer: Arc::clone(peer), from, to, phi, at };
            changes.displaced.extend(self.ring.push(transition));
        }
    }

    /// How many reports were made, this one included.
    pub(crate) fn report(&self) -> u64 {
        self.reports.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl<K: Eq + Hash> Hub<K> {
    /// For as many as the settings allow.
    pub(crate) fn new(settings: Settings) -> Self {
        let capacity = settings.capacity.get();
        let shards = (capacity / PEERS_PER_SHARD).next_power_of_two().min(4 * 64.max(lane_count()));
        let queue = capacity.saturating_mul(2).clamp(QUEUE.0, QUEUE.1);
        let telemetry = Telemetry::new(&Counted::new(Arc::clone(&settings.name)));
        let hub = Self::make(settings, shards, queue, telemetry);
        Self { index: Some(Index::new(capacity)), ..hub }
    }

    /// Calls `ask` with the peer of `key`, if there is one.
    pub(crate) fn with<R>(&self, key: &K, ask: impl FnOnce(&Arc<Watched<K>>) -> R) -> Option<R> {
        let index = self.index.as_ref()?;
        index.with(index.hash(key), key, ask)
    }

    pub(crate) fn forget(&self, key: &K) -> bool {
        let Some(index) = &self.index else { return false };
        let hash = index.hash(key);
        let Some(peer) = index.with(hash, key, Arc::clone) else { return false };
        // Before the key is free: a successor's transitions come after the last of this one's.
        let mut state = lock(&peer.state);
        if state.is_forgotten() {
            return false;
        }
        self.schedule.discard(&peer, &mut state);
        let status = peer.published.own().standing.status;
        drop(state);
        index.remove(hash, &peer);
        self.timer.telemetry.forgotten(status);
        self.schedule.sweep(&self.timer.arming, peer.shard as usize);
        true
    }

    pub(crate) fn all(&self) -> Vec<Arc<Watched<K>>> {
        self.index.as_ref().map_or_else(Vec::new, Index::all)
    }

    pub(crate) fn len(&self) -> usize {
        self.index.as_ref().map_or(1, Index::len)
    }
}

impl<K: Eq + Hash + Clone> Hub<K> {
    /// The heartbeat of a key: the way of every call.
    pub(crate) fn heartbeat_of(
        &self,
        key: &K,
        heartbeat: Heartbeat,
    ) -> Result<Heard, DetectorFull> {
        if let Some(index) = &self.index {
            // First: reading the clock waits for all loads before it.
            let now = self.timer.now();
            let hash = index.hash(key);
            let heard = index.with(hash, key, |peer| self.heartbeat_at(peer, heartbeat, now));
            if let Some(heard) = heard {
                return Ok(heard);
            }
        }
        Ok(self.heartbeat(&self.peer(key)?, heartbeat))
    }

    /// The peer of `key`, added if there is none.
    pub(crate) fn peer(&self, key: &K) -> Result<Arc<Watched<K>>, DetectorFull> {
        let Some(index) = &self.index else { return Err(DetectorFull { capacity: 1 }) };
        let hash = index.hash(key);
        if let Some(peer) = index.with(hash, key, Arc::clone) {
            return Ok(peer);
        }
        let shards = self.timer.arming.shards() as u64;
        // High bits: the map takes others for its places.
        let shard = ((hash >> 40) % shards) as u32;
        let make = || Watched::new(key.clone(), &self.settings, shard);
        let (peer, is_new) = index.add(hash, key, make)?;
        if is_new {
            self.timer.telemetry.added();
        }
        Ok(peer)
    }
}

impl<K> fmt::Debug for Hub<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
