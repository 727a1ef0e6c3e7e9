//! A hybrid timestamp in one word, and the physical half of it.

use std::time::{Duration, SystemTime};

/// How many bits of a timestamp are its logical half.
const LOGICAL_BITS: u32 = 16;

/// Wall time in grains of 100 µs since the Unix epoch, in 48 bits: the physical half of a
/// [`Timestamp`].
///
/// It lasts until December 2861. Conversions round down to the grain; times before the epoch are
/// the epoch, times after the end are the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Physical(u64);

impl Physical {
    /// 100 µs. Fine enough that the 65,536 timestamps of one grain last for 655 million ticks a
    /// second, more than one atomic word can be asked for; coarse enough that 48 bits last for 891
    /// years.
    pub const GRAIN: Duration = Duration::from_micros(100);

    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// The last grain, on 16 December 2861.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The latest a clock accepts from a wall clock or a peer: a year before [`MAX`](Self::MAX),
    /// room that ticks alone would take years to use up, so that no clock ever wraps.
    pub const LIMIT: Self = Self(Self::MAX.0 - 365 * 24 * 3600 * Self::PER_SEC);

    const PER_SEC: u64 = 10_000;
    const NANOS: u32 = 100_000;

    /// So many grains since the epoch; cut to [`MAX`](Self::MAX).
    #[inline]
    #[must_use]
    pub const fn from_grains(grains: u64) -> Self {
        if grains > Self::MAX.0 { Self::MAX } else { Self(grains) }
    }

    /// The time since the Unix epoch, rounded down.
    #[inline]
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        let grains = since_epoch.as_secs().saturating_mul(Self::PER_SEC);
        Self::from_grains(grains.saturating_add((since_epoch.subsec_nanos() / Self::NANOS) as u64))
    }

    /// A length of time in grains, rounded up: for bounds that must not turn into nothing.
    #[must_use]
    pub(crate) fn grains_in(length: Duration) -> u64 {
        let grains = length.as_nanos().div_ceil(u128::from(Self::NANOS));
        u64::try_from(grains).unwrap_or(u64::MAX)
    }

    /// Grains since the epoch.
    #[inline]
    #[must_use]
    pub const fn grains(self) -> u64 {
        self.0
    }

    /// The time from the Unix epoch to the start of this grain.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        let nanos = (self.0 % Self::PER_SEC) as u32 * Self::NANOS;
        Duration::new(self.0 / Self::PER_SEC, nanos)
    }

    /// How much later this is than `earlier`; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Self(self.0.saturating_sub(earlier.0)).since_epoch()
    }

    /// So many grains later, at most [`MAX`](Self::MAX).
    #[inline]
    #[must_use]
    pub const fn plus_grains(self, grains: u64) -> Self {
        Self::from_grains(self.0.saturating_add(grains))
    }
}

impl From<SystemTime> for Physical {
    #[inline]
    fn from(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
    }
}

impl From<Physical> for SystemTime {
    /// The start of the grain.
    fn from(physical: Physical) -> Self {
        Self::UNIX_EPOCH + physical.since_epoch()
    }
}

/// A hybrid logical timestamp: 48 bits of wall time and 16 bits that count what happened within one
/// grain of it. A full logical half carries into the physical one.
///
/// The order is that of [`to_bits`](Self::to_bits), of the bytes of
/// [`to_be_bytes`](Self::to_be_bytes), and of both text forms: `2026-11-24T03:59:35.123400Z+00042`,
/// and [`compact`](Self::compact), `hlc-` and 16 hexadecimal digits. [`FromStr`](std::str::FromStr)
/// reads both, and no other number in hexadecimal digits.
///
/// If *e* happened before *f*, and both were stamped by clocks that heard of each other's messages,
/// then the stamp of *e* is less than that of *f*. The converse does not hold. Two clocks may give
/// out the same timestamp: a [`Stamp`](crate::Stamp) adds the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Before every timestamp a clock gives out.
    pub const MIN: Self = Self(0);

    /// After every timestamp a clock gives out.
    pub const MAX: Self = Self(u64::MAX);

    /// A timestamp of both halves.
    #[inline]
    #[must_use]
    pub const fn new(physical: Physical, logical: u16) -> Self {
        Self(physical.0 << LOGICAL_BITS | logical as u64)
    }

    /// The timestamp of these bits: the physical half in the upper 48. Every word is a timestamp.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The timestamp of eight bytes, most significant first.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// The wall time, rounded down to the grain.
    #[inline]
    #[must_use]
    pub const fn physical(self) -> Physical {
        Physical(self.0 >> LOGICAL_BITS)
    }

    /// The count within the grain.
    #[must_use]
    pub const fn logical(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// Both halves in one word.
    #[inline]
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Eight bytes, most significant first, so that bytes sort as timestamps do.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The smallest timestamp above this one: a full logical half carries into the physical one.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        // Never at the end: clocks take nothing from outside beyond `Physical::LIMIT`.
        Self(self.0.saturating_add(1))
    }
}

impl From<Physical> for Timestamp {
    /// The first timestamp of the grain.
    #[inline]
    fn from(physical: Physical) -> Self {
        Self::new(physical, 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_physical_half_lasts_until_december_2861() {
        assert_eq!(
            humantime::format_rfc3339_seconds(Physical::MAX.into()).to_string(),
            "2861-12-16T05:21:11Z"
        );
        assert_eq!(
            humantime::format_rfc3339_seconds(Physical::LIMIT.into()).to_string(),
            "2860-12-16T05:21:11Z"
        );
    }

    #[test]
    fn times_before_the_epoch_are_the_epoch_and_times_after_the_end_are_the_end() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Physical::from(before), Physical::EPOCH);
        assert_eq!(Physical::from_unix(Duration::MAX), Physical::MAX);
        assert_eq!(Physical::MAX.plus_grains(u64::MAX), Physical::MAX);
        assert_eq!(Physical::from_grains(u64::MAX), Physical::MAX);
    }

    #[test]
    fn a_full_logical_half_carries() {
        let full = Timestamp::new(Physical(7), u16::MAX);
        assert_eq!(full.next(), Timestamp::new(Physical(8), 0));
        assert_eq!(Timestamp::MAX.next(), Timestamp::MAX);
    }

    #[test]
    fn bounds_are_rounded_up_to_whole_grains() {
        assert_eq!(Physical::grains_in(Duration::ZERO), 0);
        assert_eq!(Physical::grains_in(Duration::from_nanos(1)), 1);
        assert_eq!(Physical::grains_in(Physical::GRAIN), 1);
        assert_eq!(Physical::grains_in(Duration::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn order_is_the_order_of_the_halves_and_of_the_bytes(a: (u64, u16), b: (u64, u16)) {
            let [x, y] = [a, b].map(|(grains, logical)| (Physical(grains >> 16), logical));
            let [s, t] = [x, y].map(|(physical, logical)| Timestamp::new(physical, logical));
            prop_assert_eq!((s.physical(), s.logical()), x);
            prop_assert_eq!(s.cmp(&t), x.cmp(&y));
            prop_assert_eq!(s.cmp(&t), s.to_be_bytes().cmp(&t.to_be_bytes()));
            prop_assert_eq!(Timestamp::from_be_bytes(s.to_be_bytes()), s);
            prop_assert_eq!(Timestamp::from_bits(s.to_bits()), s);
        }

        #[test]
        fn a_time_comes_back_rounded_down_to_its_grain(secs in 0..28_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let time = Duration::new(secs, nanos);
            let back = Physical::from_unix(time).since_epoch();
            prop_assert!(back <= time && time - back < Physical::GRAIN);
            prop_assert_eq!(Physical::from(SystemTime::from(Physical::from_unix(time))), Physical::from_unix(time));
        }
    }
}
