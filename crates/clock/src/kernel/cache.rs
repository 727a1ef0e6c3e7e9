//! The last answer, kept for a while, and growing meanwhile.

use std::time::Duration;

use crate::{
    Unknown,
    sync::{AtomicU64, Ordering::Relaxed},
    uncertainty::UNSYNCHRONISED,
};

/// A clock that is off its rate by 500 ppm is off by one part in so many of the time that passes: `MAXFREQ` of Linux.
const DRIFT_DIVISOR: u32 = 2000;

/// Keeps one answer in one word.
///
/// Every access is relaxed. An answer and its age are one word, so that nobody reads half of each; the other word only
/// decides who asks. Neither guards anything else.
#[derive(Debug)]
pub(super) struct Cache {
    /// An [`Answer`] in bits: the newest is the greatest.
    answer: AtomicU64,
    /// From when on somebody may be the one to ask, in milliseconds.
    due_ms: AtomicU64,
    every: Duration,
}

impl Cache {
    /// For how long an answer is used at most, when one is read `every` so often.
    pub(super) const fn keeps(every: Duration) -> Duration {
        every.saturating_mul(2)
    }

    /// Keeps `bound`, read at `now` or later.
    pub(super) fn new(every: Duration, now: Duration, bound: Result<Duration, Unknown>) -> Self {
        let answer = AtomicU64::new(Answer::new(now, bound).to_bits());
        Self { answer, due_ms: AtomicU64::new(millis(now + every)), every }
    }

    /// The bound at `now`, by a clock that nobody sets: the last answer, or one that is read.
    ///
    /// Once in an interval one caller reads, and the others go on with the last answer meanwhile. Should that caller be held up,
    /// the next one is chosen an interval later; and an answer older than two intervals is not used at all.
    pub(super) fn bound(
        &self,
        now: Duration,
        read: impl FnOnce() -> Result<Duration, Unknown>,
    ) -> Result<Duration, Unknown> {
        let answer = Answer::from_bits(self.answer.load(Relaxed));
        let age = answer.age(now);
        if age < self.every || (!self.claim(now) && age < Self::keeps(self.every)) {
            return answer.bound_at(now);
        }
        self.replace(now, read())
    }

    /// Keeps `bound`, read at `now` or later, in place of what was read before; and returns it as it would be answered.
    pub(super) fn replace(&self, now: Duration, bound: Result<Duration, Unknown>) -> Result<Duration, Unknown> {
        let fresh = Answer::new(now, bound);
        // The greatest is the newest: one who was held up since it read does not undo another's later answer.
        self.answer.fetch_max(fresh.to_bits(), Relaxed);
        fresh.bound_at(now)
    }

    /// Whether the caller is the one to read.
    fn claim(&self, now: Duration) -> bool {
        let due = self.due_ms.load(Relaxed);
        let next = millis(now + self.every);
        due <= millis(now) && self.due_ms.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
    }
}

/// What was read, and when: 40 bits of milliseconds, and 24 bits of microseconds below 16 s, or a reason above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    read_ms: u64,
    bound: Result<Duration, Unknown>,
}

const BOUND_BITS: u32 = 24;
const BOUND_MASK: u64 = (1 << BOUND_BITS) - 1;
const FIRST_REASON: u64 = 16_000_000;

/// The latest time there is room for: 34 years after boot. From then on each answer is an old one, and is read anew.
const LAST_MS: u64 = (1 << (u64::BITS - BOUND_BITS)) - 1;

/// Every reason a kernel can have, by its place. The last stands for what no kernel says.
const REASONS: [Unknown; 7] = [
    Unknown::Unsynchronised,
    Unknown::NotMeasured,
    Unknown::LeapSecond,
    Unknown::Suspended,
    Unknown::Unreadable,
    Unknown::Unsupported,
    Unknown::Implausible,
];

impl Answer {
    /// The time is rounded down, so that the answer is never taken for younger than it is; the bound is rounded up.
    fn new(now: Duration, bound: Result<Duration, Unknown>) -> Self {
        let bound = bound.and_then(|bound| {
            let micros = bound.as_nanos().div_ceil(1000);
            let micros = u64::try_from(micros).unwrap_or(u64::MAX);
            if micros < FIRST_REASON { Ok(Duration::from_micros(micros)) } else { Err(Unknown::Unsynchronised) }
        });
        Self { read_ms: millis(now).min(LAST_MS), bound }
    }

    fn from_bits(bits: u64) -> Self {
        let (read_ms, code) = (bits >> BOUND_BITS, bits & BOUND_MASK);
        let bound = match code.checked_sub(FIRST_REASON) {
            None => Ok(Duration::from_micros(code)),
            Some(place) => {
                let place = usize::try_from(place).unwrap_or(usize::MAX);
                Err(REASONS.get(place).copied().unwrap_or(Unknown::Implausible))
            }
        };
        Self { read_ms, bound }
    }

    fn to_bits(self) -> u64 {
        let code = match self.bound {
            Ok(bound) => u64::try_from(bound.as_micros()).unwrap_or(FIRST_REASON).min(FIRST_REASON),
            Err(reason) => {
                let place = REASONS.iter().position(|known| *known == reason).unwrap_or(REASONS.len() - 1);
                FIRST_REASON + place as u64
            }
        };
        self.read_ms << BOUND_BITS | code
    }

    fn age(self, now: Duration) -> Duration {
        // Another thread may have read after this one looked at the time.
        now.saturating_sub(Duration::from_millis(self.read_ms))
    }

    /// The bound, grown by what a clock may have drifted since.
    fn bound_at(self, now: Duration) -> Result<Duration, Unknown> {
        let drift = self.age(now) / DRIFT_DIVISOR + Duration::from_nanos(1);
        let grown = self.bound?.saturating_add(drift);
        if grown < UNSYNCHRONISED { Ok(grown) } else { Err(Unknown::Unsynchronised) }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn never() -> Result<Duration, Unknown> {
        panic!("it was to be kept")
    }

    #[test]
    fn between_reads_the_bound_grows_by_drift() {
        let cache = Cache::new(SEC, 100 * SEC, Ok(4 * MS));
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
            let cache = Cache::new(SEC, SEC, Err(reason));
            assert_eq!(cache.bound(SEC + 999 * MS, never), Err(reason));
            assert!(cache.bound(2 * SEC, || Ok(MS)).is_ok());
            assert_eq!(cache.bound(3 * SEC, || Err(reason)), Err(reason));
        }
    }

    #[test]
    fn while_one_reads_the_others_go_on_with_the_last_answer() {
        let cache = Cache::new(SEC, SEC, Ok(4 * MS));
        let read = cache.bound(2 * SEC, || {
            assert!(cache.bound(2 * SEC + 5 * MS, never).unwrap() > 4 * MS);
            Ok(MS)
        });
        assert!(read.unwrap() < 2 * MS);
    }

    #[test]
    fn a_reader_that_is_held_up_is_replaced_and_does_not_undo_later_answers() {
        let cache = Cache::new(SEC, SEC, Ok(4 * MS));
        let held_up = cache.bound(2 * SEC, || {
            // A second later somebody else is chosen.
            assert_eq!(cache.bound(3 * SEC, || Err(Unknown::Unsynchronised)), Err(Unknown::Unsynchronised));
            Ok(4 * MS)
        });
        assert!(held_up.is_ok());
        assert_eq!(cache.bound(3 * SEC + MS, never), Err(Unknown::Unsynchronised), "the later answer stands");
    }

    #[test]
    fn an_answer_older_than_two_intervals_is_not_used_by_anybody() {
        let cache = Cache::new(SEC, SEC, Ok(4 * MS));
        let first = cache.bound(3600 * SEC, || {
            // Somebody else was chosen, and yet this one reads for itself.
            assert_eq!(cache.bound(3600 * SEC, || Err(Unknown::Unsynchronised)), Err(Unknown::Unsynchronised));
            Err(Unknown::Unsynchronised)
        });
        assert_eq!(first, Err(Unknown::Unsynchronised));
    }

    #[test]
    fn a_bound_that_grows_to_sixteen_seconds_is_none() {
        let cache = Cache::new(60 * SEC, SEC, Ok(UNSYNCHRONISED - 10 * MS));
        assert!(cache.bound(20 * SEC, never).is_ok());
        assert_eq!(cache.bound(22 * SEC, never), Err(Unknown::Unsynchronised));
        assert_eq!(Cache::new(SEC, SEC, Ok(Duration::MAX)).bound(SEC, never), Err(Unknown::Unsynchronised));
    }

    #[test]
    fn after_more_years_than_there_is_room_for_it_is_read_each_time() {
        let late = Duration::from_millis(LAST_MS) + 10 * SEC;
        let cache = Cache::new(SEC, late, Ok(MS));
        assert_eq!(cache.bound(late, || Err(Unknown::Unsynchronised)), Err(Unknown::Unsynchronised));
    }

    #[test]
    fn a_time_looked_at_before_another_thread_read_is_no_negative_age() {
        let cache = Cache::new(SEC, 10 * SEC, Ok(MS));
        assert_eq!(cache.bound(9 * SEC, never), Ok(MS + Duration::from_nanos(1)));
    }

    proptest! {
        #[test]
        fn an_answer_comes_back_from_its_bits(read_ms in 0..=LAST_MS, micros in 0..FIRST_REASON, reason in 0..REASONS.len()) {
            for bound in [Ok(Duration::from_micros(micros)), Err(REASONS[reason])] {
                let answer = Answer { read_ms, bound };
                prop_assert_eq!(Answer::from_bits(answer.to_bits()), answer);
            }
        }

        #[test]
        fn any_bits_are_some_answer(bits: u64, now: u32) {
            let answer = Answer::from_bits(bits);
            prop_assert!(answer.bound_at(SEC * now).is_ok_and(|bound| bound < UNSYNCHRONISED) || answer.bound_at(SEC * now).is_err());
        }

        /// The model: a kernel that adds 500 µs at the turn of each of its seconds, read at every call.
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
            let cache = Cache::new(every, now, judged(now));
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

    /// Whatever the interleaving: of two who find the answer due one reads, and both have an answer.
    #[test]
    fn one_of_two_reads_an_answer_that_is_due() {
        loom::model(|| {
            let cache = Arc::new(Cache::new(SEC, SEC, Ok(Duration::from_millis(4))));
            let asker = |cache: Arc<Cache>| {
                move || {
                    let mut read = 0;
                    let bound = cache.bound(2 * SEC, || {
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

    /// The later answer stands, whoever writes last.
    #[test]
    fn an_earlier_answer_never_replaces_a_later_one() {
        loom::model(|| {
            let cache = Arc::new(Cache::new(SEC, SEC, Ok(Duration::from_millis(4))));
            let earlier = {
                let cache = Arc::clone(&cache);
                thread::spawn(move || cache.bound(5 * SEC, || Ok(Duration::from_millis(4))))
            };
            let later = cache.bound(7 * SEC, || Err(Unknown::Unsynchronised));
            assert_eq!(later, Err(Unknown::Unsynchronised));
            let _ = earlier.join().unwrap();
            assert_eq!(cache.bound(7 * SEC, || unreachable!()), Err(Unknown::Unsynchronised));
        });
    }
}
