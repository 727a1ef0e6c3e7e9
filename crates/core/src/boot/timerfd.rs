//! A timer of the kernel's that runs through suspend, where there is one.

#[cfg(all(target_os = "linux", feature = "timerfd"))]
pub(super) use self::kernel::KernelTimer;
#[cfg(not(all(target_os = "linux", feature = "timerfd")))]
pub(super) use self::none::KernelTimer;

#[cfg(all(target_os = "linux", feature = "timerfd"))]
mod kernel {
    use std::{
        os::fd::OwnedFd,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::{Context, Poll},
    };

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};

    use crate::BootInstant;

    /// A `timerfd` on `CLOCK_BOOTTIME`: the kernel wakes it on time, and right after a suspend that
    /// it was due in.
    #[derive(Debug)]
    pub(in crate::boot) struct KernelTimer {
        descriptor: AsyncFd<OwnedFd>,
        _permit: Permit,
    }

    impl KernelTimer {
        /// Set to `at`. `None` when no descriptor is to be had.
        pub(in crate::boot) fn until(at: BootInstant) -> Option<Self> {
            let permit = Permit::take()?;
            let timer = timerfd_create(
                TimerfdClockId::Boottime,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )
            .ok()?;
            timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &once(at)).ok()?;
            #[allow(
                deprecated,
                reason = "unsound for types whose descriptor can change: this one owns its own"
            )]
            let descriptor = AsyncFd::with_interest(timer, Interest::READABLE).ok()?;
            Some(Self { descriptor, _permit: permit })
        }

        /// Ready when it has rung, or rings no more because its runtime is gone.
        pub(in crate::boot) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
            self.descriptor.poll_read_ready(cx).map(drop)
        }
    }

    fn once(at: BootInstant) -> Itimerspec {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // The kernel counts in 63 bits. What is cut lies 292 years after boot.
        let nanos = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        Itimerspec { it_interval: zero, it_value: value }
    }

    /// A process has few file descriptors (a soft limit of 1024 is common) and needs them for its
    /// connections.
    const MOST: usize = 64;

    /// Relaxed: it counts, and guards nothing.
    static OPEN: AtomicUsize = AtomicUsize::new(0);

    #[derive(Debug)]
    struct Permit;

    impl Permit {
        fn take() -> Option<Self> {
            // Made before the check, so that a refused one is given back.
            let open = OPEN.fetch_add(1, Relaxed);
            let permit = Self;
            (open < MOST).then_some(permit)
        }
    }

    impl Drop for Permit {
        fn drop(&mut self) {
            OPEN.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(not(all(target_os = "linux", feature = "timerfd")))]
mod none {
    use std::task::{Context, Poll};

    use crate::BootInstant;

    /// There is none.
    #[derive(Debug)]
    pub(in crate::boot) enum KernelTimer {}

    impl KernelTimer {
        pub(in crate::boot) const fn until(_: BootInstant) -> Option<Self> {
            None
        }

        pub(in crate::boot) const fn poll(&self, _: &mut Context<'_>) -> Poll<()> {
            match *self {}
        }
    }
}
