//! The hybrid logical clock itself: what the next timestamp is.
//!
//! S. Kulkarni, M. Demirbas, D. Madappa, B. Avva, M. Leone: *Logical Physical Clocks and Consistent
//! Snapshots in Globally Distributed Databases* (2014), figure 5. There the two halves *l* and *c*
//! are compared and counted apart, in four cases. In one word with *l* above *c* all four are a
//! maximum, and a *c* that overflows carries into *l* instead of wrapping.

use steadfast_core::ConfigError;

use crate::{
    DriftTooLarge, Physical, Timestamp,
    config::{require_drift, require_start},
};

/// A hybrid logical clock as plain data: no atomics, and the wall time is an argument. For
/// simulators, and for state that has one owner; [`Hlc`](crate::Hlc) is the clock that threads
/// share.
///
/// ```
/// use std::time::Duration;
/// use steadfast_clock::{HlcState, Physical, Timestamp};
///
/// let wall = Physical::from_unix(Duration::from_secs(1_000));
/// let mut clock = HlcState::new(Duration::from_millis(500))?;
/// assert_eq!(clock.tick(wall), Timestamp::new(wall, 0));
/// // A wall clock that goes back changes nothing but that the logical half counts.
/// assert_eq!(clock.tick(Physical::EPOCH), Timestamp::new(wall, 1));
/// // A peer that is 300 ms ahead is believed, one that is a second ahead is not.
/// let wall_ahead = |ms: u64| Physical::from_unix(Duration::from_millis(1_000_000 + ms));
/// let ahead = |ms: u64| Timestamp::from(wall_ahead(ms));
/// assert_eq!(clock.update(wall, ahead(300))?, ahead(300).next());
/// assert_eq!(clock.update(wall, ahead(1_000)).unwrap_err().excess, Duration::from_millis(500));
/// // It goes on where another left off.
/// let mut restored = HlcState::new(Duration::from_millis(500))?.start_after(clock.last())?;
/// assert_eq!(restored.tick(wall), clock.tick(wall));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HlcState {
    last: Timestamp,
    allowance: Allowance,
}

impl HlcState {
    /// A clock that believes stamps up to `max_drift` ahead of the wall clock, rounded up to the
    /// grain.
    ///
    /// # Errors
    /// When `max_drift` is not from 1 ms to a day, as in
    /// [`HlcConfig::max_drift`](crate::HlcConfig::max_drift).
    pub fn new(max_drift: std::time::Duration) -> Result<Self, ConfigError> {
        require_drift(max_drift)?;
        Ok(Self { last: Timestamp::MIN, allowance: Allowance::new(max_drift) })
    }

    /// The same clock after it has given out or adopted `last`: the [`last`](Self::last) of a clock
    /// that is to be restored.
    ///
    /// # Errors
    /// When `last` is more than 30 days above [`Physical::LIMIT`], as in
    /// [`HlcConfig::start_after`](crate::HlcConfig::start_after).
    pub fn start_after(self, last: Timestamp) -> Result<Self, ConfigError> {
        require_start(last)?;
        Ok(Self { last: self.last.max(last), ..self })
    }

    /// The last timestamp given out or adopted.
    #[must_use]
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// Stamps a local event, or a message that is sent.
    pub fn tick(&mut self, wall: Physical) -> Timestamp {
        self.last = tick(self.last, wall);
        self.last
    }

    /// Stamps the receipt of a message that carries `remote`.
    ///
    /// # Errors
    /// When `remote` is news and too far ahead of `wall`; the clock stays what it was.
    pub fn update(
        &mut self,
        wall: Physical,
        remote: Timestamp,
    ) -> Result<Timestamp, DriftTooLarge> {
        self.last = self
            .allowance
            .check(self.last, wall, remote)
            .map(|()| receive(self.last, wall, remote))?;
        Ok(self.last)
    }

    /// Adopts `remote` without stamping anything.
    ///
    /// # Errors
    /// When `remote` is news and too far ahead of `wall`; the clock stays what it was.
    pub fn merge(&mut self, wall: Physical, remote: Timestamp) -> Result<(), DriftTooLarge> {
        self.last =
            self.allowance.check(self.last, wall, remote).map(|()| self.last.max(remote))?;
        Ok(())
    }
}

/// The paper's *send or local event*.
#[inline]
pub(crate) fn tick(last: Timestamp, wall: Physical) -> Timestamp {
    last.next().max(reading(wall))
}

/// The paper's *receive event of message m*.
#[inline]
pub(crate) fn receive(last: Timestamp, wall: Physical, remote: Timestamp) -> Timestamp {
    tick(last, wall).max(remote.next())
}

/// The first timestamp of a wall reading. A wall clock beyond the limit reads as the limit, so that
/// nothing ever wraps.
#[inline]
pub(crate) fn reading(wall: Physical) -> Timestamp {
    wall.min(Physical::LIMIT).into()
}

/// How far ahead of the wall clock a peer's stamp may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    grains: u64,
}

impl Allowance {
    pub(crate) fn new(max_drift: std::time::Duration) -> Self {
        Self { grains: Physical::grains_in(max_drift) }
    }

    /// Past stamps, and those that are no news, are always fine: only what would push the clock
    /// ahead can push it too far.
    #[inline]
    pub(crate) fn check(
        self,
        last: Timestamp,
        wall: Physical,
        remote: Timestamp,
    ) -> Result<(), DriftTooLarge> {
        let limit = wall.plus_grains(self.grains).min(Physical::LIMIT);
        if remote <= last || remote.physical() <= limit {
            Ok(())
        } else {
            Err(DriftTooLarge::new(remote, remote.physical().since(limit)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// The paper's figure 5, letter by letter, on numbers that do not overflow.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Paper {
        l: u64,
        c: u64,
    }

    impl Paper {
        fn send(self, pt: u64) -> Self {
            let l = self.l.max(pt);
            Self { l, c: if l == self.l { self.c + 1 } else { 0 } }
        }

        fn receive(self, pt: u64, m: Self) -> Self {
            let l = self.l.max(m.l).max(pt);
            let c = if l == self.l && l == m.l {
                self.c.max(m.c) + 1
            } else if l == self.l {
                self.c + 1
            } else if l == m.l {
                m.c + 1
            } else {
                0
            };
            Self { l, c }
        }
    }

    fn halves(time: Timestamp) -> Paper {
        Paper { l: time.physical().grains(), c: time.logical().into() }
    }

    fn small() -> impl Strategy<Value = Timestamp> {
        (0..50_u64, 0..5_u16)
            .prop_map(|(grains, logical)| Timestamp::new(Physical::from_grains(grains), logical))
    }

    proptest! {
        #[test]
        fn it_is_the_algorithm_of_the_paper(last in small(), remote in small(), pt in 0..50_u64) {
            let wall = Physical::from_grains(pt);
            prop_assert_eq!(halves(tick(last, wall)), halves(last).send(pt));
            prop_assert_eq!(halves(receive(last, wall, remote)), halves(last).receive(pt, halves(remote)));
        }

        #[test]
        fn whatever_comes_the_clock_only_goes_forward_and_a_refusal_changes_nothing(
            events in proptest::collection::vec((0..3_u8, any::<u64>(), any::<u64>()), 1..200),
            drift in 1..3_600_000_u64,
        ) {
            let mut clock = HlcState::new(Duration::from_millis(drift)).unwrap();
            for (kind, wall, remote) in events {
                let before = clock;
                let (wall, remote) = (Physical::from_grains(wall), Timestamp::from_bits(remote));
                let result = match kind {
                    0 => Ok(clock.tick(wall)),
                    1 => clock.update(wall, remote).inspect(|stamp| assert!(*stamp > remote)),
                    _ => clock.merge(wall, remote).map(|()| clock.tick(wall)).inspect(|stamp| assert!(*stamp > remote)),
                };
                match result {
                    Ok(stamp) => prop_assert!(stamp > before.last && stamp == clock.last),
                    Err(refusal) => {
                        prop_assert!(remote > before.last && refusal.excess > Duration::ZERO);
                        prop_assert_eq!(clock, before);
                    }
                }
            }
        }
    }

    #[test]
    fn a_drift_that_cannot_work_is_refused() {
        let day = Duration::from_secs(24 * 3600);
        for drift in [
            Duration::ZERO,
            Duration::from_micros(999),
            day + Duration::from_nanos(1),
            Duration::MAX,
        ] {
            assert_eq!(HlcState::new(drift).unwrap_err().field, "max_drift");
        }
        assert!(HlcState::new(Duration::from_millis(1)).and(HlcState::new(day)).is_ok());
    }

    #[test]
    fn a_restored_clock_goes_on_above_what_it_said_and_never_below() {
        let clock = HlcState::new(Duration::from_secs(1)).unwrap();
        let last = Timestamp::new(Physical::from_grains(7), 3);
        let mut restored = clock.start_after(last).unwrap();
        assert_eq!(restored.start_after(Timestamp::MIN).unwrap(), restored);
        assert_eq!(restored.tick(Physical::EPOCH), last.next());
        assert_eq!(clock.start_after(Timestamp::MAX).unwrap_err().field, "start_after");
    }

    #[test]
    fn a_clock_at_the_limit_has_room_for_years_of_ticks() {
        let mut clock = HlcState::new(Duration::from_secs(3600)).unwrap();
        let first = clock.tick(Physical::MAX);
        assert_eq!(first.physical(), Physical::LIMIT);
        assert!(clock.tick(Physical::MAX) > first);
        assert!(clock.update(Physical::MAX, Timestamp::MAX).is_err());
        assert!(u64::MAX - first.to_bits() > 200_000_000 * 3 * 365 * 24 * 3600);
    }
}
