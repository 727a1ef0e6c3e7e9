//! Where a clock reads wall time.

mod cached;
mod coarse;
pub(crate) mod reading;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use steadfast_core::{BootClock, ManualWallClock, SystemWallClock, WallClock};

pub use self::{cached::CachedClock, coarse::CoarseClock};
use crate::Physical;

/// A wall clock that a hybrid clock can stand on.
///
/// A [`WallClock`] of your own needs no more than `impl PhysicalClock for MyClock {}`, unless its
/// time is simulated: then [`monotonic`](Self::monotonic) must be simulated with it.
///
/// | source | what it reads | when |
/// |---|---|---|
/// | [`SystemWallClock`] | the system's wall clock, ~20 ns | the default |
/// | [`CoarseClock`] | the same at the kernel's last tick, as a rule up to 10 ms ago, ~3 ns | many events, milliseconds do not matter |
/// | [`CachedClock`] | what one task or thread last read from another clock, ~1 ns | the same, where there is no coarse clock |
/// | [`ManualWallClock`] | what it was told | tests |
pub trait PhysicalClock: WallClock {
    /// The wall time in grains.
    #[inline]
    fn physical(&self) -> Physical {
        Physical::from(self.now())
    }

    /// The wall time, read now even where [`now`](WallClock::now) and [`physical`](Self::physical)
    /// return an older reading. A clock of your own that keeps readings must read anew here.
    fn exact(&self) -> SystemTime {
        self.now()
    }

    /// Time since some moment on a monotonic clock: what the wall clock should have moved by. Read
    /// only when the wall clock looks as if it had jumped, and about once a second.
    ///
    /// The default is the system's [`BootClock`]: a machine that wakes from suspend has not had its
    /// wall clock set.
    fn monotonic(&self) -> Duration {
        BootClock::system().now().since_zero()
    }

    /// How far a reading is as a rule behind the time at which it is taken. Zero for a clock that
    /// is read anew each time.
    ///
    /// An estimate, and no bound: a timer interrupt may be late, and a task that keeps a clock
    /// fresh may be starved. A peer may be ahead by so much more before it is too far ahead;
    /// nothing that must be certain depends on it.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

impl PhysicalClock for SystemWallClock {
    #[inline]
    fn physical(&self) -> Physical {
        Physical::from_unix(reading::exact())
    }
}

impl PhysicalClock for ManualWallClock {
    /// The sum of all that it was advanced by: to advance it is to let time pass, to set it is a
    /// jump.
    fn monotonic(&self) -> Duration {
        self.elapsed()
    }
}

impl<C: PhysicalClock + ?Sized> PhysicalClock for Arc<C> {
    #[inline]
    fn physical(&self) -> Physical {
        (**self).physical()
    }

    fn exact(&self) -> SystemTime {
        (**self).exact()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn lag(&self) -> Duration {
        (**self).lag()
    }
}
