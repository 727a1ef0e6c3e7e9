//! The kernel's estimate: read now and then, judged, and not believed of a clock that slept.

use std::time::Duration;

use steadfast_core::parts::lock;

use super::{
    account::Account,
    cache::Cache,
    suspend::{SuspendGuard, Uptime},
};
use crate::{Unknown, sync::Mutex};

/// All that is kept of what the kernel said. The clocks and the kernel are arguments.
#[derive(Debug)]
pub(super) struct Estimate {
    cache: Cache,
    /// For how long an answer is used at most.
    keeps: Duration,
    /// Locked for a comparison, never while the kernel is read.
    guard: Mutex<SuspendGuard>,
}

impl Estimate {
    /// Reads once, and from then on once in `every`, when it is asked.
    pub(super) fn new(
        every: Duration,
        uptime: impl Fn() -> Uptime,
        read: impl FnOnce() -> Result<Account, Unknown>,
    ) -> Self {
        // Before the read, so that the age of the answer is never taken for less than it is.
        let now = uptime();
        let keeps = Cache::keeps(every);
        let bound = read().and_then(|account| account.judge(keeps));
        Self {
            cache: Cache::new(every, now, bound),
            keeps,
            guard: Mutex::new(SuspendGuard::new(now)),
        }
    }

    /// The bound now, or why there is none.
    pub(super) fn bound(
        &self,
        uptime: impl Fn() -> Uptime,
        read: impl FnOnce() -> Result<Account, Unknown>,
    ) -> Result<Duration, Unknown> {
        let now = uptime();
        self.cache.bound(now, || read().and_then(|account| self.judge(now, account, uptime())))
    }

    fn judge(&self, before: Uptime, account: Account, after: Uptime) -> Result<Duration, Unknown> {
        let was_kept = lock(&self.guard).accept(before, account.max_error_us, after);
        // What the kernel itself knows to be wrong comes first.
        let bound = account.judge(self.keeps)?;
        if was_kept { Ok(bound) } else { Err(Unknown::Suspended) }
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    /// A machine, its kernel, and its daemon.
    #[derive(Debug, Default)]
    struct Machine {
        awake: Cell<Duration>,
        slept: Cell<Duration>,
        /// What the daemon wrote, and when.
        written: Cell<(i64, Duration)>,
    }

    impl Machine {
        fn new() -> Self {
            let machine = Self::default();
            machine.pass(1000 * SEC);
            machine.speak(10_000);
            machine
        }

        fn pass(&self, by: Duration) {
            self.awake.set(self.awake.get() + by);
        }

        fn sleep(&self, by: Duration) {
            self.slept.set(self.slept.get() + by);
        }

        fn speak(&self, max_error_us: i64) {
            self.written.set((max_error_us, self.awake.get()));
        }

        fn uptime(&self) -> Uptime {
            Uptime { boot: self.awake.get() + self.slept.get(), awake: self.awake.get() }
        }

        fn account(&self) -> Account {
            let (written, at) = self.written.get();
            let max_error_us = written + 500 * (self.awake.get() - at).as_secs() as i64;
            Account {
                state: 0,
                status: 0,
                max_error_us,
                estimated_error_us: 10,
                offset: 0,
                wall_secs: 0,
            }
        }

        fn estimate(&self, every: Duration) -> Estimate {
            Estimate::new(every, || self.uptime(), || Ok(self.account()))
        }

        fn ask(&self, estimate: &Estimate) -> Result<Duration, Unknown> {
            estimate.bound(|| self.uptime(), || Ok(self.account()))
        }
    }

    #[test]
    fn after_a_sleep_nothing_is_known_until_the_daemon_has_spoken() {
        let machine = Machine::new();
        let estimate = machine.estimate(SEC);
        assert!(machine.ask(&estimate).is_ok());
        machine.sleep(3600 * SEC);
        for _ in 0..5 {
            assert_eq!(machine.ask(&estimate), Err(Unknown::Suspended));
            machine.pass(700 * MS);
        }
        machine.speak(9_000);
        machine.pass(SEC);
        assert!(machine.ask(&estimate).is_ok());
    }

    #[test]
    fn an_answer_from_before_a_sleep_is_not_used_however_young_it_is() {
        let machine = Machine::new();
        let estimate = machine.estimate(60 * SEC);
        machine.pass(SEC);
        machine.sleep(SEC / 2);
        assert_eq!(machine.ask(&estimate), Err(Unknown::Suspended));
        assert_eq!(machine.ask(&estimate), Err(Unknown::Suspended), "and the new one is kept");
    }

    #[test]
    fn what_the_daemon_said_before_the_sleep_is_not_taken_for_news() {
        let machine = Machine::new();
        let estimate = machine.estimate(SEC);
        machine.pass(100 * SEC);
        machine.speak(100);
        machine.sleep(SEC);
        for _ in 0..5 {
            assert_eq!(machine.ask(&estimate), Err(Unknown::Suspended));
            machine.pass(SEC);
        }
    }

    #[test]
    fn a_sleep_in_the_middle_of_a_read_is_seen() {
        let machine = Machine::new();
        let estimate = machine.estimate(SEC);
        machine.pass(SEC);
        let read = || {
            machine.sleep(SEC);
            Ok(machine.account())
        };
        assert_eq!(estimate.bound(|| machine.uptime(), read), Err(Unknown::Suspended));
        assert_eq!(machine.ask(&estimate), Err(Unknown::Suspended));
    }

    #[test]
    fn what_the_kernel_knows_to_be_wrong_is_said_of_a_clock_that_slept_too() {
        let machine = Machine::new();
        let estimate = machine.estimate(SEC);
        machine.sleep(SEC);
        let unreadable = estimate.bound(|| machine.uptime(), || Err(Unknown::Unreadable));
        assert_eq!(unreadable, Err(Unknown::Unreadable));
        // As Linux does it where a hardware clock is read by a driver.
        machine.pass(SEC);
        machine.speak(16_000_000);
        assert_eq!(machine.ask(&estimate), Err(Unknown::Unsynchronised));
        machine.pass(SEC);
        machine.speak(20_000);
        assert!(machine.ask(&estimate).is_ok());
    }

    proptest! {
        /// The model remembers who spoke when.
        #[test]
        fn a_bound_is_from_after_the_last_sleep(
            every_ms in 1..60_000_u64,
            steps in proptest::collection::vec((0..4_u8, 100..100_000_u64), 1..80),
        ) {
            let machine = Machine::new();
            let estimate = machine.estimate(Duration::from_millis(every_ms));
            let mut spoken_since = true;
            for (step, number) in steps {
                match step {
                    0 => machine.pass(Duration::from_millis(number)),
                    1 => {
                        machine.sleep(Duration::from_millis(number));
                        spoken_since = false;
                    }
                    2 => {
                        machine.speak(i64::try_from(number).unwrap());
                        spoken_since = true;
                    }
                    _ => prop_assert!(spoken_since || machine.ask(&estimate) == Err(Unknown::Suspended)),
                }
            }
            // And it comes back: once it was asked, an error that is smaller is news.
            let _ = machine.ask(&estimate);
            machine.pass(Duration::from_millis(2 * every_ms));
            machine.speak(10);
            prop_assert!(machine.ask(&estimate).is_ok());
        }
    }
}
