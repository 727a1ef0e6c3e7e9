//! A boot clock that stands still until it is moved.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{BootClock, BootInstant, Source};
use crate::lock::lock;

/// A [`BootClock`] that stands still until it is moved, for tests: to advance it by a night is what
/// a suspended machine sees when it wakes. Needs no runtime.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::{BootInstant, ManualBootClock};
///
/// let manual = ManualBootClock::new(BootInstant::ZERO);
/// let clock = manual.clock();
/// let deadline = clock.now().saturating_add(Duration::from_secs(10));
/// manual.advance(Duration::from_secs(8 * 3600));
/// assert!(clock.now() > deadline);
/// ```
#[derive(Clone, Debug)]
pub struct ManualBootClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: BootInstant,
    /// The tasks that wait, in the order in which they are due.
    waiting: BTreeMap<Place, Waker>,
    next: u64,
}

/// When a wait is due, and a number that no other wait of the clock has.
pub(super) type Place = (BootInstant, u64);

impl ManualBootClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: BootInstant) -> Self {
        Self(Arc::new(Mutex::new(State { now, waiting: BTreeMap::new(), next: 0 })))
    }

    /// The clock to hand to what is tested. All clocks of one manual clock show the same time.
    #[must_use]
    pub fn clock(&self) -> BootClock {
        BootClock { source: Source::Manual(self.clone()) }
    }

    /// Lets time pass, and wakes the waits that are then due. The clock stops at
    /// [`BootInstant::MAX`].
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.now = state.now.saturating_add(by);
        // Due are all waits with a moment up to now, whatever their number.
        let later = match state.now.checked_add(Duration::from_nanos(1)) {
            Some(after) => state.waiting.split_off(&(after, 0)),
            None => BTreeMap::new(),
        };
        let due = mem::replace(&mut state.waiting, later);
        // Outside the lock: a waker may run the task at once, and the task may look at the clock.
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> BootInstant {
        self.lock().now
    }

    /// How many tasks wait for this clock to move.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The look at the time and the registration are one step under the lock, so that an `advance`
    /// on another thread falls before both or after both: no wake-up is lost between them.
    pub(super) fn poll(
        &self,
        at: BootInstant,
        place: &mut Option<Place>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // Cloned and dropped outside the lock, here and below: a waker may look at the clock, or be
        // the last handle of a task that holds another wait for it.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.now >= at {
            return Poll::Ready(());
        }
        let place = *place.get_or_insert_with(|| {
            state.next += 1;
            (at, state.next)
        });
        let before = state.waiting.insert(place, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }

    pub(super) fn leave(&self, place: Place) {
        let waker = self.lock().waiting.remove(&place);
        drop(waker);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A waker that panics while it is cloned or dropped leaves the map sound.
        lock(&self.0)
    }
}
