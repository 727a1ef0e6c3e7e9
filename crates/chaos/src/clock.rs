//! A wall clock that goes wrong when it is told to.

mod model;

use std::{
    fmt,
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use steadfast_core::{BootClock, BootInstant, SystemWallClock, WallClock, parts::lock};

use self::model::Model;

/// Another wall clock, made wrong: it is set, it drifts, it stands still, and it has a second too
/// many or too few.
///
/// It is right until it is told otherwise, and all of it can be changed while the clock is read.
/// The faults add up, each on top of what the others have done.
///
/// ```
/// use std::time::Duration;
/// use steadfast_chaos::ClockFault;
/// use steadfast_core::{SystemWallClock, WallClock};
///
/// let clock = ClockFault::new(SystemWallClock);
/// clock.freeze();
/// let stuck = clock.now();
/// clock.step_back(Duration::from_secs(3600));
/// assert_eq!(clock.now(), stuck - Duration::from_secs(3600));
/// clock.heal();
/// assert!(clock.now() >= stuck);
/// ```
///
/// What a reading would be outside of what [`SystemTime`] can say, it is that of the clock behind.
///
/// # For a hybrid clock
/// `PhysicalClock` of `steadfast-clock` is one line for a type of your own that reads this one.
///
/// # Locks
/// The clock behind is read under a lock, so that no reader sees a time from before a change after
/// one from behind it. It cannot read this one.
pub struct ClockFault<C = SystemWallClock> {
    clock: C,
    monotonic: BootClock,
    // No line under it panics but in the clock behind, before anything is written.
    model: Mutex<Model>,
}

/// A second more or less than there is on a clock's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leap {
    /// A second that comes twice, as with each leap second so far: the clock is set back.
    Inserted,
    /// A second that does not come: the clock is set forward. UTC allows for it, and has had none.
    Deleted,
}

impl<C> ClockFault<C> {
    /// `clock`, right for now.
    #[must_use]
    pub fn new(clock: C) -> Self {
        Self { clock, monotonic: BootClock::system(), model: Mutex::default() }
    }

    /// Measures drift and smears by this clock: a manual one, or tokio's where that is paused.
    /// Otherwise it is the system's.
    #[must_use]
    pub fn monotonic(self, monotonic: BootClock) -> Self {
        Self { monotonic, ..self }
    }

    /// The clock behind.
    pub const fn inner(&self) -> &C {
        &self.clock
    }

    /// Sets the clock forward.
    pub fn step_forward(&self, by: Duration) {
        self.model().step(nanos(by));
    }

    /// Sets the clock back.
    pub fn step_back(&self, by: Duration) {
        self.model().step(-nanos(by));
    }

    /// From now on it gains so many microseconds in a second, or loses them if negative. What it
    /// has drifted by stays. Quartz is within some 100 ppm; −1 000 000 stands still, and less runs
    /// backwards.
    pub fn drift(&self, ppm: i32) {
        let mut model = self.model();
        model.drift(ppm, self.monotonic.now());
    }

    /// Goes wrong by one second little by little, in equal parts of `over`, as the large clouds do
    /// with a leap second, over a day.
    ///
    /// A smear that is under way stops where it is.
    pub fn smear(&self, leap: Leap, over: Duration) {
        let mut model = self.model();
        model.smear(leap, over, self.monotonic.now());
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }
}

impl<C: WallClock> ClockFault<C> {
    /// The same clock, ahead by so many nanoseconds, behind if negative: up to 292 years.
    #[must_use]
    pub fn ahead_by_nanos(self, nanos: i64) -> Self {
        self.set_offset_nanos(nanos);
        self
    }

    /// Sets the clock to be ahead by so many nanoseconds of the one behind, or behind it if
    /// negative. A drift or a smear that is under way goes on from there.
    pub fn set_offset_nanos(&self, nanos: i64) {
        self.change(|model, right, now| model.set(nanos.into(), right, now));
    }

    /// How many nanoseconds it is ahead of the one behind, or behind it if negative.
    #[must_use]
    pub fn offset_nanos(&self) -> i128 {
        self.change(|model, right, now| model.read(right, now) - right)
    }

    /// The clock stands still until [`thaw`](Self::thaw), as in a machine that is suspended. Steps
    /// still move it.
    pub fn freeze(&self) {
        self.change(Model::freeze);
    }

    /// A clock that stood still goes on from where it stood, late by so much. Nothing otherwise.
    pub fn thaw(&self) {
        self.change(Model::thaw);
    }

    /// The second that the clock shows now comes twice, or the one after it not at all, as on the
    /// last day of a month: at the end of the second the clock is set back or forward by one.
    ///
    /// A clock that is set before has no leap, and one leap takes the place of another.
    pub fn leap(&self, leap: Leap) {
        self.change(|model, right, now| model.leap(leap, right, now));
    }

    /// The clock is right again.
    pub fn heal(&self) {
        *self.model() = Model::default();
    }

    /// What this clock says when the one behind says `right`. A leap whose moment has come happens.
    pub fn distort(&self, right: SystemTime) -> SystemTime {
        let mut model = self.model();
        let shown = model.read(since_epoch(right), self.monotonic.now());
        drop(model);
        at(shown).unwrap_or(right)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Model, i128, BootInstant) -> T) -> T {
        let mut model = self.model();
        let right = since_epoch(self.clock.now());
        change(&mut model, right, self.monotonic.now())
    }
}

impl Default for ClockFault {
    /// The system's wall clock.
    fn default() -> Self {
        Self::new(SystemWallClock)
    }
}

impl<C: WallClock> WallClock for ClockFault<C> {
    fn now(&self) -> SystemTime {
        let mut model = self.model();
        let right = self.clock.now();
        at(model.read(since_epoch(right), self.monotonic.now())).unwrap_or(right)
    }
}

impl<C: fmt::Debug> fmt::Debug for ClockFault<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockFault")
            .field("clock", &self.clock)
            .field("model", &*self.model())
            .finish_non_exhaustive()
    }
}

fn nanos(length: Duration) -> i128 {
    // Below 2⁶⁴ seconds: 2⁹⁴.
    length.as_nanos().cast_signed()
}

fn since_epoch(time: SystemTime) -> i128 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

fn at(nanos: i128) -> Option<SystemTime> {
    const SECOND: u128 = 1_000_000_000;
    let length = nanos.unsigned_abs();
    let seconds = u64::try_from(length / SECOND).ok()?;
    let rest = u32::try_from(length % SECOND).expect("below a second");
    let length = Duration::new(seconds, rest);
    if nanos < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(length)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(length)
    }
}

#[cfg(test)]
mod tests;
