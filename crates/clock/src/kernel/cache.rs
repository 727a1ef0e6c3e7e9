//! The last answer, kept for a while, and growing meanwhile.

use std::time::Duration;

use steadfast_core::parts::lock;

use super::suspend::Uptime;
use crate::{Unknown, sync::Mutex, uncertainty::UNSYNCHRONISED};

/// A clock that is off its rate by 500 ppm is off by one part in so many of the time that passes:
/// `MAXFREQ` of Linux.
const DRIFT_DIVISOR: u32 = 2000;

/// Keeps one answer. Its lock is held for a comparison or a copy, never while the kernel is read.
#[derive(Debug)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
    every: Duration,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    /// From then on one caller may be the one to read.
    due: Duration,
}

impl Cache {
    /// For how long an answer is used at most, when one is read `every` so often.
    pub(super) const fn keeps(every: Duration) -> Duration {
        every.saturating_mul(2)
    }

    /// Keeps `bound`, read at `now` or later.
    pub(super) fn new(every: Duration, now: Uptime, bound: Result<Duration, Unknown>) -> Self {
        let answer = Answer { read: now, bound };
        Self { kept: Mutex::new(Kept { answer, due: now.boot.saturating_add(every) }), every }
    }

    /// The bound at `now`: the last answer, or one that is read.
    ///
    /// Once in an interval one caller reads, and the others go on with the last answer meanwhile.
    /// If that caller is held up, another one is chosen an interval later; and an answer that is
    /// older than two intervals, or from before the machine slept, is not used: each caller that
    /// finds such a one reads.
    pub(super) fn bound(
        &self,
        now: Uptime,
        read: impl FnOnce() -> Result<Duration, Unknown>,
    ) -> Result<Duration, Unknown> {
        if let Some(answer) = self.usable(now) {
            return answer.bound_at(now);
        }
        let fresh = Answer { read: now, bound: read() };
        let mut kept = lock(&self.kept);
        // A caller that was held up since it read does not replace another one's later answer.
        if kept.answer.read.boot <= now.boot {
            kept.answer = fresh;
        }
        drop(kept);
        fresh.bound_at(now)
    }

    /// The last answer, unless it cannot be used or this caller is the one to read the next.
    fn usable(&self, now: Uptime) -> Option<Answer> {
        let mut kept = lock(&self.kept);
        let (answer, age) = (kept.answer, kept.answer.age(now));
        if now.has_slept_since(answer.read) {
            return None;
        }
        if age >= self.every && kept.due <= now.boot {
            kept.due = now.boot.saturating_add(self.every);
            return None;
        }
        (age < Self::keeps(self.every)).then_some(answer)
    }
}

/// What was read, and when or later.
#[derive(Clone, Copy, Debug)]
struct Answer {
    read: Uptime,
    bound: Result<Duration, Unknown>,
}

impl Answer {
    fn age(self, now: Uptime) -> Duration {
        // Another thread may have read after this one looked at the time.
        now.boot.saturating_sub(self.read.boot)
    }

    /// The bound, grown by what a clock may have drifted since.
    fn bound_at(self, now: Uptime) -> Result<Duration, Unknown> {
        let drift = self.age(now) / DRIFT_DIVISOR + Duration::from_nanos(1);
        let grown = self.bound?.saturating_add(drift);
        if grown < UNSYNCHRONISED { Ok(grown) } else { Err(Unknown::Unsynchronised) }
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use std::{
        cell::Cell,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    const REASONS: [Unknown; 7] = [
        Unknown::Unsynchronised,
        Unknown::NotMeasured,
        Unknown::LeapSecond,
        Unknown::Suspended,
        Unknown::Unreadable,
        Unknown::Unsupported,
        Unknown::Implausible,
    ];

    /// A cache on a machine that never slept.
    struct Awake(Cache);

    impl Awake {
        fn new(every: Duration, now: Duration, bound: Result<Duration, Unknown>) -> Self {
            Self(Cache::new(every, Uptime { boot: now, awake: now }, bound))
        }

        fn bound(
            &self,
            now: Duration,
            read: impl FnOnce() -> Result<Duration, Unknown>,
        ) -> Result<Duration, Unknown> {
            self.0.bound(Uptime { boot: now, awake: now }, read)
        }
    }

    fn never() -> Result<Duration, Unknown> {
        panic!("it was to be kept")
    }

    #[test]
    fn between_reads_the_bound_grows_by_drift() {
        let cache = Awake::new(SEC, 100 * SEC, Ok(4 * MS));
        for (passed, grown_us) in [(0, 0), (200, 100), (999, 500)] {
            let bound = cache.bound(100 * SEC + passed * MS, never).unwrap();
            let grown = bound - 4 * MS;
            assert!(grown.as_micros().abs_diff(grown_us) <= 1, "{passed} ms: {grown:?}");
        }
        assert!(cache.bound(101 * SEC, || Ok(MS)).unwrap() < 2 * MS, "it is read anew");
        assert!(cache.bound(101 * SEC + 999 * MS, never).unwrap() < 2 * MS);
    }

    #[test]
    fn an_unknown_bound_is_kept_as_long_as_a_known_one() {
        for reason in REASONS {
            let cache = Awake::new(SEC, SEC, Err(reason));
            assert_eq!(cache.bound(SEC + 999 * MS, never), Err(reason));
            assert!(cache.bound(2 * SEC, || Ok(MS)).is_ok());
            assert_eq!(cache.bound(3 * SEC, || Err(reason)), Err(reason));
        }
    }

    #[test]
    fn while_one_reads_the_others_go_on_with_the_last_answer() {
        let cache = Awake::new(SEC, SEC, Ok(4 * MS));
        let read = cache.bound(2 * SEC, || {
            assert!(cache.bound(2 * SEC + 5 * MS, never).unwrap() > 4 * MS);
            Ok(MS)
        });
        assert!(read.unwrap() < 2 * MS);
    }

    #[test]
    fn a_reader_that_is_held_up_is_replaced_and_does_not_undo_later_answers() {
        let cache = Awake::new(SEC, SEC, Ok(4 * MS));
        let held_up = cache.bound(2 * SEC, || {
            // A second later another caller is chosen.
            assert_eq!(
                cache.bound(3 * SEC, || Err(Unknown::Unsynchronised)),
                Err(Unknown::Unsynchronised)
            );
            Ok(4 * MS)
        });
        assert!(held_up.is_ok());
        assert_eq!(
            cache.bound(3 * SEC + MS, never),
            Err(Unknown::Unsynchronised),
            "the later answer stands"
        );
    }

    #[test]
    fn a_reader_that_panics_is_replaced_an_interval_later_and_takes_nothing_with_it() {
        let cache = Awake::new(SEC, SEC, Ok(4 * MS));
        let panicked = catch_unwind(AssertUnwindSafe(|| cache.bound(2 * SEC, never)));
        assert!(
            panicked.is_err() && !cache.0.kept.is_poisoned(),
            "no lock is held while the kernel is read"
        );
        assert!(cache.bound(2 * SEC + 999 * MS, never).unwrap() > 4 * MS);
        assert!(cache.bound(3 * SEC, || Ok(MS)).unwrap() < 2 * MS);
    }

    #[test]
    fn an_answer_older_than_two_intervals_is_not_used_by_anybody() {
        let cache = Awake::new(SEC, SEC, Ok(4 * MS));
        let first = cache.bound(3600 * SEC, || {
            // Another caller was chosen, and yet this one reads for itself.
            assert_eq!(
                cache.bound(3600 * SEC, || Err(Unknown::Unsynchronised)),
                Err(Unknown::Unsynchronised)
            );
            Err(Unknown::Unsynchronised)
        });
        assert_eq!(first, Err(Unknown::Unsynchronised));
    }

    #[test]
    fn a_bound_that_grows_to_sixteen_seconds_is_none() {
        let cache = Awake::new(60 * SEC, SEC, Ok(UNSYNCHRONISED - 10 * MS));
        assert!(cache.bound(20 * SEC, never).is_ok());
        assert_eq!(cache.bound(22 * SEC, never), Err(Unknown::Unsynchronised));
        assert_eq!(
            Awake::new(SEC, SEC, Ok(Duration::MAX)).bound(SEC, never),
            Err(Unknown::Unsynchronised)
        );
    }

    #[test]
    fn a_time_looked_at_before_another_thread_read_is_no_negative_age() {
        let cache = Awake::new(SEC, 10 * SEC, Ok(MS));
        assert_eq!(cache.bound(9 * SEC, never), Ok(MS + Duration::from_nanos(1)));
    }

    proptest! {
        /// The model: a kernel that adds 500 µs at the turn of each of its seconds, read at every
        /// call.
        #[test]
        fn a_kept_bound_is_never_below_what_the_kernel_would_say_and_is_read_once_an_interval(
            written_us in 1..1_000_000_u64,
            phase_ms in 0..1000_u64,
            every_ms in 1..5000_u64,
            pauses_us in proptest::collection::vec(0..3_000_000_u64, 1..60),
        ) {
            let says = |at: Duration| Duration::from_micros(written_us + 500 * (at + Duration::from_millis(phase_ms)).as_secs());
            let every = Duration::from_millis(every_ms);
            // What `Account::judge` makes of it: one step more.
            let judged = |at| Ok(says(at) + Duration::from_micros(500));
            let (mut now, mut last_read) = (Duration::ZERO, Duration::ZERO);
            let cache = Awake::new(every, now, judged(now));
            for pause in pauses_us {
                now += Duration::from_micros(pause);
                let read = Cell::new(false);
                let bound = cache.bound(now, || { read.set(true); judged(now) }).unwrap();
                prop_assert!(bound >= says(now), "{:?} at {:?}, the kernel {:?}", bound, now, says(now));
                prop_assert!(bound <= says(now) + Duration::from_micros(1001), "{:?}, the kernel {:?}", bound, says(now));
                if read.get() {
                    prop_assert!(now - last_read + MS >= every);
                    last_read = now;
                } else {
                    prop_assert!(now - last_read < every);
                }
            }
        }
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn at(secs: u32) -> Uptime {
        Uptime { boot: SEC * secs, awake: SEC * secs }
    }

    /// Whatever the interleaving: of two who find the answer due one reads, and both have an
    /// answer.
    #[test]
    fn one_of_two_reads_an_answer_that_is_due() {
        loom::model(|| {
            let cache = Arc::new(Cache::new(SEC, at(1), Ok(Duration::from_millis(4))));
            let asker = |cache: Arc<Cache>| {
                move || {
                    let mut read = 0;
                    let bound = cache.bound(at(2), || {
                        read += 1;
                        Ok(Duration::from_millis(1))
                    });
                    assert!(bound.is_ok());
                    read
                }
            };
            let other = thread::spawn(asker(Arc::clone(&cache)));
            let here = asker(Arc::clone(&cache))();
            assert_eq!(here + other.join().unwrap(), 1);
        });
    }

    /// The later answer stands, whichever thread writes last.
    #[test]
    fn an_earlier_answer_never_replaces_a_later_one() {
        loom::model(|| {
            let cache = Arc::new(Cache::new(SEC, at(1), Ok(Duration::from_millis(4))));
            let earlier = {
                let cache = Arc::clone(&cache);
                thread::spawn(move || cache.bound(at(5), || Ok(Duration::from_millis(4))))
            };
            let later = cache.bound(at(7), || Err(Unknown::Unsynchronised));
            assert_eq!(later, Err(Unknown::Unsynchronised));
            let _ = earlier.join().unwrap();
            assert_eq!(cache.bound(at(7), || unreachable!()), Err(Unknown::Unsynchronised));
        });
    }
}
