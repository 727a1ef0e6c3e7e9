//! Waiting for a moment of a boot clock.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{BootClock, BootInstant, Source, manual::Place, timerfd::KernelTimer};
use crate::alarm::Alarm;

/// tokio's timer stands still in suspend. After so much time awake the clock itself is read again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pin_project! {
    /// The future of [`BootClock::wait_until`].
    #[must_use = "futures do nothing unless polled"]
    pub struct BootWait {
        clock: BootClock,
        at: BootInstant,
        // Of a manual clock.
        place: Option<Place>,
        // Of the others.
        timer: Timer,
        #[pin]
        alarm: Alarm,
    }

    impl PinnedDrop for BootWait {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (Some(place), Source::Manual(manual)) = (this.place.take(), &this.clock.source) {
                manual.leave(place);
            }
        }
    }
}

/// What ends the wait.
#[derive(Debug)]
enum Timer {
    Unset,
    Kernel(KernelTimer),
    /// tokio's, and whether it is set.
    Alarm(bool),
}

impl BootWait {
    pub(super) const fn new(clock: BootClock, at: BootInstant) -> Self {
        Self { clock, at, place: None, timer: Timer::Unset, alarm: Alarm::new() }
    }

    /// The moment it waits for.
    #[must_use]
    pub const fn deadline(&self) -> BootInstant {
        self.at
    }
}

impl Future for BootWait {
    type Output = ();

    /// Each poll reads the clock first. So the wait ends on time even in a task that spends its
    /// whole cooperation budget each time: there tokio's timers and descriptors say nothing, but
    /// wake the task again.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let at = *this.at;
        // Ends: each round either sets a timer or found one that rang.
        loop {
            let step = match &this.clock.source {
                Source::Manual(manual) => return manual.poll(at, this.place, cx),
                Source::Tokio(_) => Duration::MAX,
                _ => LOOK_EVERY,
            };
            let remaining = at.saturating_duration_since(this.clock.now());
            if remaining.is_zero() {
                return Poll::Ready(());
            }
            match this.timer {
                Timer::Unset => {
                    let kernel = matches!(this.clock.source, Source::System)
                        .then(|| KernelTimer::until(at))
                        .flatten();
                    *this.timer = kernel.map_or(Timer::Alarm(false), Timer::Kernel);
                }
                Timer::Kernel(timer) => {
                    // It rings once: what is left, should the clock not be there yet, is the
                    // alarm's.
                    ready!(timer.poll(cx));
                    *this.timer = Timer::Alarm(false);
                }
                Timer::Alarm(false) => {
                    let now = Instant::now();
                    let due = now.checked_add(remaining.min(step)).unwrap_or(now + LOOK_EVERY);
                    this.alarm.as_mut().set(due.into_std());
                    *this.timer = Timer::Alarm(true);
                }
                Timer::Alarm(true) => {
                    ready!(this.alarm.as_mut().poll(cx));
                    *this.timer = Timer::Alarm(false);
                }
            }
        }
    }
}

impl fmt::Debug for BootWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootWait")
            .field("clock", &self.clock)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        thread,
    };

    use futures::{FutureExt, future::join_all};
    use tokio::time::timeout;

    use super::*;
    use crate::ManualBootClock;

    const MS: Duration = Duration::from_millis(1);
    const SEC: Duration = Duration::from_secs(1);
    const NIGHT: Duration = Duration::from_secs(8 * 3600);

    fn clocks() -> [BootClock; 3] {
        [
            BootClock::system(),
            BootClock::tokio(),
            ManualBootClock::new(BootInstant::from_nanos(5)).clock(),
        ]
    }

    #[test]
    fn a_moment_that_has_passed_is_not_waited_for_and_needs_no_runtime() {
        for clock in clocks() {
            for at in [clock.now(), BootInstant::ZERO] {
                assert_eq!(clock.wait_until(at).now_or_never(), Some(()), "{clock:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_system_clock_wakes_on_time_and_never_early() {
        let clock = BootClock::system();
        for pause in [Duration::from_nanos(1), MS, 30 * MS] {
            let at = clock.now().saturating_add(pause);
            clock.wait_until(at).await;
            let late = clock.now().saturating_duration_since(at);
            assert!(clock.now() >= at && late < SEC, "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_twin_on_tokios_clock_follows_paused_time_to_the_millisecond() {
        let clock = BootClock::tokio();
        let other = clock.clone();
        let start = Instant::now();
        clock.wait_until(BootInstant::ZERO.saturating_add(NIGHT + MS)).await;
        assert_eq!(Instant::now() - start, NIGHT + MS);
        assert_eq!(other.now().since_zero(), NIGHT + MS);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_moment_there_is_never_comes_and_never_panics() {
        for clock in clocks() {
            assert!(timeout(NIGHT, clock.wait_until(BootInstant::MAX)).await.is_err(), "{clock:?}");
        }
    }

    #[tokio::test]
    async fn a_manual_clock_that_another_thread_advances_wakes_what_is_due_and_no_more() {
        let manual = ManualBootClock::new(BootInstant::ZERO);
        let clock = manual.clock();
        let soon = tokio::spawn(clock.wait_until(BootInstant::ZERO.saturating_add(SEC)));
        let mut later = pin!(clock.wait_until(BootInstant::ZERO.saturating_add(2 * NIGHT)));
        assert!(later.as_mut().now_or_never().is_none());
        let other = manual.clone();
        thread::spawn(move || {
            while other.waiting() < 2 {
                thread::yield_now();
            }
            other.advance(NIGHT);
        });
        soon.await.unwrap();
        assert_eq!((clock.now().since_zero(), manual.waiting()), (NIGHT, 1));
        assert!(later.as_mut().now_or_never().is_none());
        manual.advance(Duration::MAX);
        later.await;
        assert_eq!(manual.waiting(), 0);
    }

    /// The race that a look before the registration would lose.
    #[test]
    fn no_wake_up_is_lost_between_the_look_and_the_registration() {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        for _ in 0..500 {
            let manual = ManualBootClock::new(BootInstant::ZERO);
            let flag = Arc::new(Flag(AtomicBool::new(false)));
            let waker = Waker::from(Arc::clone(&flag));
            let mut wait = pin!(manual.clock().wait_until(BootInstant::from_nanos(1)));
            thread::scope(|scope| {
                let advanced = scope.spawn(|| manual.advance(SEC));
                let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
                advanced.join().unwrap();
                assert!(polled.is_ready() || flag.0.load(Ordering::SeqCst));
            });
        }
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_leaves_nothing_behind() {
        let manual = ManualBootClock::new(BootInstant::ZERO);
        for clock in [manual.clock(), BootClock::system(), BootClock::tokio()] {
            for _ in 0..1000 {
                let at = clock.now().saturating_add(NIGHT);
                assert!(clock.wait_until(at).now_or_never().is_none());
            }
        }
        assert_eq!(manual.waiting(), 0);
    }

    /// A task whose last handle is the waker in the map, and which waits for the same clock.
    #[test]
    fn a_waker_that_holds_another_wait_of_the_same_clock_is_dropped_outside_the_lock() {
        struct Holds(
            #[expect(dead_code, reason = "it is dropped with the waker")] Pin<Box<BootWait>>,
        );
        impl Wake for Holds {
            fn wake(self: Arc<Self>) {}
        }
        let manual = ManualBootClock::new(BootInstant::ZERO);
        let holding = || {
            let mut held = Box::pin(manual.clock().wait_until(BootInstant::MAX));
            assert!(held.as_mut().now_or_never().is_none());
            Waker::from(Arc::new(Holds(held)))
        };
        let mut wait = Box::pin(manual.clock().wait_until(BootInstant::from_nanos(1)));
        for _ in 0..2 {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&holding())).is_pending());
        }
        drop(wait);
        assert_eq!(manual.waiting(), 0);
    }

    /// More than there may be timers of the kernel's.
    #[tokio::test]
    async fn a_thousand_waits_at_once_all_end() {
        let clock = BootClock::system();
        let (ended, start) = (AtomicUsize::new(0), clock.now());
        let waits = (0..1000_u64).map(|number| {
            let wait = clock.wait_until(start.saturating_add(Duration::from_micros(50 * number)));
            wait.map(|()| ended.fetch_add(1, Ordering::Relaxed))
        });
        timeout(60 * SEC, join_all(waits)).await.unwrap();
        assert_eq!(ended.load(Ordering::Relaxed), 1000);
        assert!(clock.now() >= start.saturating_add(Duration::from_micros(50 * 999)));
    }

    #[tokio::test]
    async fn a_task_that_spends_its_whole_budget_each_time_is_woken_on_time() {
        // Both timers of the system's clock (the crowd takes all of the kernel's), and tokio's
        // twin.
        let mut crowd: Vec<_> =
            (0..100).map(|_| Box::pin(BootClock::system().wait_until(BootInstant::MAX))).collect();
        for crowded in [false, true] {
            for clock in [BootClock::system(), BootClock::tokio()] {
                if crowded {
                    crowd
                        .iter_mut()
                        .for_each(|wait| assert!(wait.as_mut().now_or_never().is_none()));
                }
                let mut wait = pin!(clock.wait_until(clock.now().saturating_add(20 * MS)));
                let (sender, mut messages) = tokio::sync::mpsc::unbounded_channel::<()>();
                let until_rung = poll_fn(|cx| {
                    for () in [(); 1000] {
                        let _ = sender.send(());
                    }
                    while let Poll::Ready(Some(())) = messages.poll_recv(cx) {}
                    wait.as_mut().poll(cx)
                });
                timeout(10 * SEC, until_rung).await.unwrap();
            }
        }
    }

    /// Suspend, as far as a test can have it: the clock is ahead of tokio's timer all at once.
    #[tokio::test(start_paused = true)]
    async fn without_a_timer_of_the_kernels_a_suspend_is_seen_within_a_second() {
        let slept = Arc::new(AtomicU64::new(0));
        let clock = BootClock { source: Source::Slept(Arc::clone(&slept)) };
        let start = Instant::now();
        let mut wait = pin!(clock.wait_until(clock.now().saturating_add(NIGHT)));
        assert!(timeout(5 * SEC + SEC / 2, wait.as_mut()).await.is_err());
        slept.store(u64::try_from(NIGHT.as_nanos()).unwrap(), Ordering::Relaxed);
        wait.await;
        let took = Instant::now() - start;
        assert!(took < 6 * SEC + SEC / 2, "{took:?}");
    }

    /// The crowd takes all timers of the kernel's, so that the last wait is of the other kind.
    #[test]
    fn a_wait_goes_on_in_another_runtime_when_its_own_is_gone() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clock = BootClock::system();
        let at = clock.now().saturating_add(SEC / 2);
        let mut waits = [at, at].map(|at| Box::pin(clock.wait_until(at)));
        let mut crowd: Vec<_> =
            (0..100).map(|_| Box::pin(clock.wait_until(BootInstant::MAX))).collect();
        let own = runtime();
        own.block_on(async {
            let [first, last] = &mut waits;
            assert!(first.as_mut().now_or_never().is_none());
            crowd.iter_mut().for_each(|wait| assert!(wait.as_mut().now_or_never().is_none()));
            assert!(last.as_mut().now_or_never().is_none());
        });
        drop(own);
        for mut wait in waits {
            let polls = AtomicUsize::new(0);
            runtime().block_on(poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                let before = BootClock::system().now();
                let polled = wait.as_mut().poll(cx);
                let took = BootClock::system().now().saturating_duration_since(before);
                assert!(took < 100 * MS, "{took:?} in one poll");
                polled
            }));
            assert!(BootClock::system().now() >= at && polls.into_inner() < 10);
        }
    }

    /// It would turn in one poll until the moment comes.
    #[test]
    fn a_wait_in_a_runtime_that_is_shut_down_panics() {
        for clock in [BootClock::system(), BootClock::tokio()] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let (handle, at) = (runtime.handle().clone(), clock.now().saturating_add(60 * SEC));
            let (started, is_waiting) = std::sync::mpsc::channel();
            let wait = async move {
                let mut wait = pin!(clock.wait_until(at));
                assert!(wait.as_mut().now_or_never().is_none());
                started.send(()).unwrap();
                wait.await;
            };
            let blocked = thread::spawn(move || handle.block_on(wait));
            is_waiting.recv().unwrap();
            runtime.shutdown_background();
            assert!(blocked.join().is_err());
        }
    }
}
