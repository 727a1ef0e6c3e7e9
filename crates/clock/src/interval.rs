//! A time that is known within bounds, and what can be said of two of them.

use std::time::{Duration, SystemTime};

use crate::{Physical, Timestamp};

/// A stretch of time that contains the true time: what a clock says when it also says how wrong it
/// may be. Both ends belong to it.
///
/// A moment is an interval without width, and a [`Timestamp`] is the grain of 100 µs in which it
/// was stamped, so that [`compare`](Self::compare) takes all three. The idea and its use are
/// TrueTime's (Corbett et al., *Spanner*, OSDI 2012, section 3): `TT.after(t)` is
/// [`Certainty::After`], `TT.before(t)` is [`Certainty::Before`].
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use steadfast_clock::{Certainty, Interval};
///
/// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
/// let ms = Duration::from_millis(1);
/// let now = Interval::around(noon, 5 * ms);
/// assert_eq!(now.compare(noon + 6 * ms), Certainty::Before);
/// assert_eq!(now.compare(noon - 6 * ms), Certainty::After);
/// assert_eq!(now.compare(noon + 5 * ms), Certainty::Unsure);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    earliest: SystemTime,
    latest: SystemTime,
}

/// Whether one time comes before another, when neither is known exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// Before the other, whatever the true times are.
    Before,
    /// After the other, whatever the true times are: the other has certainly passed.
    After,
    /// The two overlap: either may come first.
    Unsure,
}

impl Interval {
    /// From one end to the other, whichever comes first.
    #[must_use]
    pub fn between(one: SystemTime, other: SystemTime) -> Self {
        Self { earliest: one.min(other), latest: one.max(other) }
    }

    /// From `bound` before `reading` to `bound` after it: what a clock off by at most `bound` knows
    /// of the true time. Cut where [`SystemTime`] ends.
    #[must_use]
    pub fn around(reading: SystemTime, bound: Duration) -> Self {
        Self { earliest: earlier(reading, bound), latest: later(reading, bound) }
    }

    /// The true time is not before this.
    #[must_use]
    pub const fn earliest(self) -> SystemTime {
        self.earliest
    }

    /// The true time is not after this.
    #[must_use]
    pub const fn latest(self) -> SystemTime {
        self.latest
    }

    /// From the earliest to the latest: twice the bound.
    #[must_use]
    pub fn width(self) -> Duration {
        self.latest.duration_since(self.earliest).expect("the earliest is never after the latest")
    }

    /// Whether `time` may be the true time. Both ends may.
    #[must_use]
    pub fn contains(self, time: SystemTime) -> bool {
        self.earliest <= time && time <= self.latest
    }

    /// Whether some time lies in both: exactly when comparing them is [`Certainty::Unsure`].
    #[must_use]
    pub fn overlaps(self, other: impl Into<Self>) -> bool {
        self.compare(other) == Certainty::Unsure
    }

    /// Whether this comes before or after `other`, which is a [`SystemTime`], a [`Timestamp`] or an
    /// interval.
    ///
    /// A timestamp has passed when the earliest is at or after the end of its grain, for its
    /// physical half is rounded down.
    #[must_use]
    pub fn compare(self, other: impl Into<Self>) -> Certainty {
        let other = other.into();
        if self.latest < other.earliest {
            Certainty::Before
        } else if self.earliest > other.latest {
            Certainty::After
        } else {
            Certainty::Unsure
        }
    }

    /// The first timestamp that is not before the latest end: the one to commit under.
    ///
    /// Spanner's start rule: what is stamped no earlier than the latest end is stamped no earlier
    /// than the true time. Give it to [`Hlc::update`](crate::Hlc::update) for a stamp that is
    /// unique as well. The update is refused when the latest end is further ahead of the wall clock
    /// than [`max_drift`](crate::HlcConfig::max_drift): set that above the largest bound under
    /// which commits are to go on (with the defaults a bound of 500 ms stops them), and on the
    /// nodes that hear of such stamps. Times outside of what a [`Physical`] can say are cut to it.
    #[must_use]
    pub fn latest_stamp(self) -> Timestamp {
        let since_epoch =
            self.latest.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Physical::from_grains(Physical::grains_in(since_epoch)).into()
    }

    /// How much later this interval must become until it is certainly after `other`; zero if it is.
    #[cfg(feature = "tokio")]
    pub(crate) fn until_after(self, other: Self) -> Duration {
        // Strictly after: one nanosecond past the other's end.
        other
            .latest
            .duration_since(self.earliest)
            .map_or(Duration::ZERO, |wait| wait.saturating_add(NANO))
    }
}

const NANO: Duration = Duration::from_nanos(1);

impl From<SystemTime> for Interval {
    /// A moment that is known exactly.
    fn from(moment: SystemTime) -> Self {
        Self { earliest: moment, latest: moment }
    }
}

impl From<Timestamp> for Interval {
    /// The grain of the physical half, without the moment at which the next one begins.
    fn from(stamp: Timestamp) -> Self {
        let start = SystemTime::from(stamp.physical());
        Self { earliest: start, latest: later(start, Physical::GRAIN - NANO) }
    }
}

/// So much later, or the last time there is.
fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or_else(|| furthest(time, |time, step| time.checked_add(step)))
}

/// So much earlier, or the first time there is.
fn earlier(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_sub(by).unwrap_or_else(|| furthest(time, |time, step| time.checked_sub(step)))
}

/// As far as steps lead that the type can still hold. Its ends differ between systems and have no
/// name: halving the steps finds them.
fn furthest(
    from: SystemTime,
    go: impl Fn(SystemTime, Duration) -> Option<SystemTime>,
) -> SystemTime {
    let secs = (0..u64::BITS).rev().map(|bit| Duration::from_secs(1 << bit));
    let nanos = (0..30).rev().map(|bit| Duration::from_nanos(1 << bit));
    secs.chain(nanos).fold(from, |time, step| go(time, step).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
    }

    #[test]
    fn a_moment_at_an_end_is_unsure_and_a_nanosecond_past_it_is_certain() {
        let now = Interval::between(at(100), at(200));
        for (moment, expected) in [
            (99, Certainty::After),
            (100, Certainty::Unsure),
            (150, Certainty::Unsure),
            (200, Certainty::Unsure),
            (201, Certainty::Before),
        ] {
            assert_eq!(now.compare(at(moment)), expected, "{moment}");
            assert_eq!(now.contains(at(moment)), expected == Certainty::Unsure, "{moment}");
        }
    }

    #[test]
    fn a_timestamp_has_passed_at_the_end_of_its_grain_and_not_before() {
        // Grain 7 is from 700 µs to 800 µs.
        let stamp = Timestamp::new(Physical::from_grains(7), u16::MAX);
        let exactly = |nanos| Interval::from(at(nanos)).compare(stamp);
        assert_eq!(exactly(699_999), Certainty::Before);
        assert_eq!(exactly(700_000), Certainty::Unsure);
        assert_eq!(exactly(799_999), Certainty::Unsure);
        assert_eq!(exactly(800_000), Certainty::After);
    }

    #[test]
    fn the_ends_of_system_time_cut_intervals_and_break_nothing() {
        let first = earlier(SystemTime::UNIX_EPOCH, Duration::MAX);
        let last = later(SystemTime::UNIX_EPOCH, Duration::MAX);
        assert_eq!(
            last.checked_add(Duration::from_micros(1)),
            None,
            "that was not the last time there is"
        );
        assert_eq!(
            first.checked_sub(Duration::from_micros(1)),
            None,
            "that was not the first time there is"
        );
        for reading in [first, SystemTime::UNIX_EPOCH, last] {
            let all = Interval::around(reading, Duration::MAX);
            assert_eq!((all.earliest(), all.latest()), (first, last));
            assert!(all.width() > Duration::from_secs(1 << 40) && all.contains(reading));
            assert!(all.overlaps(Timestamp::MAX) && all.overlaps(first) && all.overlaps(last));
        }
        assert_eq!(Interval::from(last).latest_stamp().physical(), Physical::MAX);
        assert_eq!(Interval::from(first).latest_stamp(), Timestamp::MIN);
    }

    #[test]
    fn the_stamp_to_commit_under_is_never_before_the_latest_end() {
        let stamp_at = |nanos| Interval::from(at(nanos)).latest_stamp();
        assert_eq!(stamp_at(700_000), Timestamp::from(Physical::from_grains(7)));
        assert_eq!(
            stamp_at(700_001),
            Timestamp::from(Physical::from_grains(8)),
            "rounded down it would be too early"
        );
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn the_wait_until_after_is_exact_to_the_nanosecond() {
        let (now, target) =
            (Interval::between(at(100), at(200)), Interval::between(at(90), at(150)));
        let moved = |by: u64| Interval::between(at(100 + by), at(200 + by)).compare(target);
        assert_eq!(now.until_after(target), Duration::from_nanos(51));
        assert_eq!((moved(50), moved(51)), (Certainty::Unsure, Certainty::After));
        assert_eq!(now.until_after(at(99).into()), Duration::ZERO);
        assert_eq!(now.until_after(at(100).into()), NANO);
    }

    proptest! {
        #[test]
        fn the_interval_of_a_clock_within_its_bound_contains_the_true_time(
            truth: u64,
            bound in 0..1_000_000_000_u64,
            off in -1.0..1.0_f64,
        ) {
            let error = Duration::from_nanos((bound as f64 * off.abs()) as u64);
            let reading = if off < 0.0 { at(truth) - error } else { at(truth) + error };
            let interval = Interval::around(reading, Duration::from_nanos(bound));
            prop_assert!(interval.contains(at(truth)));
            prop_assert_eq!(interval.width(), Duration::from_nanos(2 * bound));
        }

        #[test]
        fn what_is_certain_of_two_intervals_holds_for_all_times_in_them(
            ends: [u8; 4],
            picks: [u8; 2],
        ) {
            let [a, b] = [(ends[0], ends[1]), (ends[2], ends[3])].map(|(one, other)| (one.min(other), one.max(other)));
            let interval = |(earliest, latest): (u8, u8)| Interval::between(at(latest.into()), at(earliest.into()));
            let (one, other) = (interval(a), interval(b));
            let expected = match one.compare(other) {
                Certainty::Before => Certainty::After,
                Certainty::After => Certainty::Before,
                Certainty::Unsure => Certainty::Unsure,
            };
            prop_assert_eq!(other.compare(one), expected, "one way says what the other way says");
            prop_assert_eq!(one.overlaps(other), (0..=u8::MAX).any(|t| (a.0..=a.1).contains(&t) && (b.0..=b.1).contains(&t)));
            let pick = |(earliest, latest): (u8, u8), by: u8| at((earliest + by % (latest - earliest).saturating_add(1)).into());
            let (x, y) = (pick(a, picks[0]), pick(b, picks[1]));
            prop_assert!(one.contains(x) && other.contains(y));
            match one.compare(other) {
                Certainty::Before => prop_assert!(x < y),
                Certainty::After => prop_assert!(x > y),
                Certainty::Unsure => {}
            }
        }

        #[test]
        fn a_stamp_is_compared_as_the_grain_it_was_rounded_to(nanos in 0..10_000_000_u64, now in 0..10_000_000_u64) {
            let stamp = Timestamp::from(Physical::from(at(nanos)));
            match Interval::from(at(now)).compare(stamp) {
                Certainty::Before => prop_assert!(now < nanos),
                Certainty::After => prop_assert!(now > nanos),
                Certainty::Unsure => prop_assert!(now.abs_diff(nanos) < 100_000),
            }
        }
    }
}
