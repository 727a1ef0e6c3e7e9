//! A gauge with one owner.
//!
//! A gauge has one value for each name, and cannot be read back. Handles of one name would
//! overwrite each other's value, and the first to be dropped would zero the gauge of one that
//! lives. So the first handle of a name that has something to show owns the name: it shows its own
//! value, and gives the name back when it is dropped; then the next handle takes it.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Gauge, gauge};

use crate::{describe, lock::lock};

/// The metrics and names that have an owner.
static TAKEN: Mutex<BTreeSet<(&'static str, Arc<str>)>> = Mutex::new(BTreeSet::new());
/// How many names have been given back. A handle that lost the name tries again only after this
/// counter has moved.
static GIVEN_BACK: AtomicU64 = AtomicU64::new(0);

/// A gauge of seconds, or of a count, with a label for the handle's name: set when the value
/// changes, and back to zero with the handle.
///
/// Of several handles with one name the first that has something to show is shown, and the next
/// once that one is gone.
pub struct OwnedGauge {
    metric: &'static str,
    label: &'static str,
    name: Arc<str>,
    /// Made when the name is taken; made before the program installs its recorder, it would stay a
    /// no-op.
    gauge: OnceLock<Gauge>,
    /// The nanoseconds, or the count, last shown.
    shown: AtomicU64,
    /// What `GIVEN_BACK` was when this handle last asked for the name, plus one.
    asked: AtomicU64,
}

impl OwnedGauge {
    /// A gauge named `metric`, labelled `label = name`.
    #[must_use]
    pub const fn new(metric: &'static str, label: &'static str, name: Arc<str>) -> Self {
        Self {
            metric,
            label,
            name,
            gauge: OnceLock::new(),
            shown: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }
    }

    /// Shows `value` in seconds, unless another handle shows its own under this name.
    pub fn set(&self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.show(nanos, value.as_secs_f64());
    }

    /// Shows a count, as [`set`](Self::set) does a time. A gauge shows one or the other.
    #[expect(clippy::cast_precision_loss, reason = "counts of 2^53 and more are shown roughly")]
    pub fn set_count(&self, count: u64) {
        self.show(count, count as f64);
    }

    fn show(&self, word: u64, value: f64) {
        // Relaxed: of two values set at once either may stay, until the next change.
        if self.shown.load(Ordering::Relaxed) != word
            && let Some(gauge) = self.gauge()
            && self.shown.swap(word, Ordering::Relaxed) != word
        {
            gauge.set(value);
        }
    }

    /// Shows what `value` returns, which is asked for only where something can be shown: not by the
    /// [silent](crate::parts::silent::OwnedGauge) twin.
    pub fn set_with(&self, value: impl FnOnce() -> Option<Duration>) {
        if let Some(value) = value() {
            self.set(value);
        }
    }

    fn gauge(&self) -> Option<&Gauge> {
        self.gauge.get().or_else(|| self.take())
    }

    #[cold]
    fn take(&self) -> Option<&Gauge> {
        // Relaxed: it moves under the lock that is taken next, so a thread that reads the new value
        // finds the name free.
        let asked = GIVEN_BACK.load(Ordering::Relaxed).wrapping_add(1);
        if self.asked.swap(asked, Ordering::Relaxed) == asked || !taken().insert(self.key()) {
            return None;
        }
        Some(self.gauge.get_or_init(|| {
            describe::gauge(self.metric);
            gauge!(self.metric, self.label => Arc::clone(&self.name))
        }))
    }

    fn key(&self) -> (&'static str, Arc<str>) {
        (self.metric, Arc::clone(&self.name))
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<(&'static str, Arc<str>)>> {
    // Nothing panics under this lock, and a set of names cannot be half changed.
    lock(&TAKEN)
}

impl Drop for OwnedGauge {
    fn drop(&mut self) {
        if let Some(gauge) = self.gauge.get() {
            // Before the name is free: the next handle's value is not to be zeroed.
            gauge.set(0.0);
            let mut taken = taken();
            taken.remove(&self.key());
            GIVEN_BACK.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for OwnedGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedGauge")
            .field("metric", &self.metric)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}
