//! The one timer of a detector, and what it knows of this process: whether it stood still.
//!
//! It is armed at the earliest deadline while a task reads the stream of transitions. Heartbeats
//! move it on, which wakes no task: tokio's `reset` only notes the later time. When it rings, the
//! runtime's own thread looks whether anything is due at all; if not, it moves the timer on itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, OnceLock, TryLockError, Weak},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use steadfast_core::parts::{Alarm, Waiters, lock};

use super::{CLOCK, NEVER, arming::Arming, bell::Bell, nanos};
use crate::{
    sync::{AtomicU64, Ordering},
    telemetry::Telemetry,
};

/// Shared by a hub and the waker of its timer, and so without the peers' keys.
#[derive(Debug)]
pub(crate) struct Timer {
    origin: Instant,
    local_pause: u64,
    pub(crate) arming: Arming,
    /// Since when silence counts: the end of the last pause of this process.
    resumed: AtomicU64,
    pauses: AtomicU64,
    /// Tasks that read the stream of transitions.
    pub(crate) readers: Waiters,
    alarm: std::sync::Mutex<Option<Pin<Box<Alarm>>>>,
    bell: Bell,
    waker: OnceLock<Waker>,
    pub(crate) telemetry: Telemetry,
    #[cfg(test)]
    pub(crate) rings: AtomicU64,
}

/// What the alarm wakes.
struct Wakes(Weak<Timer>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        if let Some(timer) = self.0.upgrade() {
            timer.ring();
        }
    }
}

impl Timer {
    pub(crate) fn new(
        origin: Instant,
        local_pause: Duration,
        shards: usize,
        telemetry: Telemetry,
    ) -> Arc<Self> {
        Arc::new(Self {
            origin,
            local_pause: nanos(local_pause),
            arming: Arming::new(shards),
            resumed: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            readers: Waiters::new(),
            alarm: std::sync::Mutex::new(None),
            bell: Bell::default(),
            waker: OnceLock::new(),
            telemetry,
            #[cfg(test)]
            rings: AtomicU64::new(0),
        })
    }

    /// The time now, as the hub counts it.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.at(CLOCK.now())
    }

    #[inline]
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }

    /// `None` beyond what an instant can hold.
    pub(crate) fn instant(&self, nanos: u64) -> Option<Instant> {
        self.origin.checked_add(Duration::from_nanos(nanos))
    }

    /// Since when silence counts at the earliest.
    #[inline]
    pub(crate) fn resumed(&self) -> u64 {
        // Acquire: pairs with the release in `look`. A thread that saw the timer disarmed by the
        // one that noted a pause sees the pause.
        self.resumed.load(Ordering::Acquire)
    }

    pub(crate) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// Notes that this process stood still if the timer should have rung long before `now` and has
    /// not. Call it without a lock, with a `now` that was read just before.
    #[inline]
    pub(crate) fn look(&self, now: u64) -> bool {
        let armed = self.arming.armed();
        now > armed.saturating_add(self.local_pause) && self.pause(armed, now)
    }

    #[cold]
    fn pause(&self, armed: u64, now: u64) -> bool {
        // Before the timer is disarmed: a thread that sees it disarmed sees this.
        self.resumed.fetch_max(now, Ordering::AcqRel);
        if !self.arming.disarm(armed) {
            return false;
        }
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.telemetry.local_pause(Duration::from_nanos(now - armed));
        // The timer will ring late, or never if its runtime is no longer driven: the readers set
        // another.
        self.readers.wake();
        true
    }

    /// Sets the timer for a reader that goes to sleep. `earliest` finds the first deadline, and
    /// runs none of the callers' code, since this thread has the alarm. True if it has passed
    /// already.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled; another reader sets the timer then.
    pub(crate) fn arm(self: &Arc<Self>, earliest: impl FnMut() -> u64) -> bool {
        let is_due = self.with_alarm(|alarm| {
            let at = self.arming.arm(earliest);
            let Some(at) = self.instant(at).filter(|_| at < NEVER) else {
                *alarm = None;
                return Ok(false);
            };
            // Another one each time: it belongs to the runtime that polls now.
            let fresh = alarm.insert(Box::pin(Alarm::new()));
            let is_due = catch_unwind(AssertUnwindSafe(|| {
                fresh.as_mut().set(at);
                self.poll(fresh).is_ready()
            }));
            if is_due.is_err() {
                *alarm = None;
            }
            is_due
        });
        if !matches!(is_due, Ok(false)) {
            self.arming.claim();
        }
        is_due.unwrap_or_else(|panic| {
            self.readers.wake();
            resume_unwind(panic)
        })
    }

    /// Moves the timer to what is the earliest deadline now. If there is none to move, the readers
    /// are woken to set one.
    pub(crate) fn reset(self: &Arc<Self>) {
        let is_set = self.with_alarm(|alarm| {
            let Some(alarm) = alarm else { return false };
            if self.arming.is_claimed() {
                // It has rung, and the readers know.
                return true;
            }
            let at = self.arming.arm(|| self.arming.earliest());
            let Some(at) = self.instant(at) else { return false };
            alarm.as_mut().set(at);
            true
        });
        if !is_set {
            self.arming.claim();
            self.readers.wake();
        }
    }

    /// A reader left, and unless `is_read` there is none. Asked under the lock of the alarm: a
    /// reader that comes meanwhile sets it after this, or is seen.
    pub(crate) fn stop(self: &Arc<Self>, is_read: impl Fn() -> bool) {
        let stopped = self.with_alarm(|alarm| {
            if is_read() {
                return None;
            }
            self.arming.claim();
            alarm.take()
        });
        drop(stopped);
    }

    fn poll(self: &Arc<Self>, alarm: &mut Pin<Box<Alarm>>) -> Poll<()> {
        let waker = self.waker.get_or_init(|| Arc::new(Wakes(Arc::downgrade(self))).into());
        alarm.as_mut().poll(&mut Context::from_waker(waker))
    }

    pub(super) fn with_alarm<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Option<Pin<Box<Alarm>>>) -> R,
    ) -> R {
        let result = work(&mut lock(&self.alarm));
        // It may have rung while this thread had it.
        self.answer(false);
        result
    }

    /// On the thread that drives the runtime whose timer it is, or on one that is just setting it
    /// and has the alarm.
    pub(super) fn ring(self: &Arc<Self>) {
        #[cfg(test)]
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
        self.answer(true);
    }

    /// Answers a ring, unless a thread has the alarm (this one, it may be: tokio wakes from within
    /// `poll` and `reset`): that thread answers when it has given it back.
    ///
    /// `drives` says whether this thread drives the alarm's runtime, which then cannot shut down
    /// meanwhile. Tokio panics where a timer is polled whose runtime has: any other thread leaves
    /// the alarm alone and wakes the readers, though it may have rung before anything is due.
    fn answer(self: &Arc<Self>, drives: bool) {
        let is_locked = || matches!(self.alarm.try_lock(), Err(TryLockError::WouldBlock));
        let mut is_second = false;
        while self.bell.take(is_locked) {
            // Tokio wakes at once what a task polls that has spent its cooperation budget: to set
            // the timer again and again from here would be done for ever.
            if self.is_late(drives && !is_second) {
                self.arming.claim();
                self.readers.wake();
            }
            is_second = true;
        }
    }

    /// Whether there is something to do for the readers, or it was not set anew.
    fn is_late(self: &Arc<Self>, may_move: bool) -> bool {
        let now = self.now();
        let is_due = self.look(now) || !self.arming.is_armed() || self.arming.earliest() <= now;
        is_due || !may_move || !self.move_on()
    }

    /// It rang before anything is due. True if it is set anew. On the thread that drives its
    /// runtime.
    fn move_on(self: &Arc<Self>) -> bool {
        let mut taken = lock(&self.alarm);
        let Some(alarm) = &mut *taken else { return false };
        let at = self.arming.arm(|| self.arming.earliest());
        let Some(at) = self.instant(at).filter(|_| at < NEVER) else { return false };
        alarm.as_mut().set(at);
        // One whose runtime has shut down is no longer of use, nor may it be polled here: a reader
        // sets another in its own.
        !alarm.is_orphaned() && self.poll(alarm).is_pending()
    }
}
