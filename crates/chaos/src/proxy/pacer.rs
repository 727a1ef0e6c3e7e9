//! A link of limited rate: what it sends, it sends one after the other.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// So much may be caught up on. A timer wakes its task late, by a millisecond and more; without
/// this the rate would be lower by that for each chunk.
const SLACK: Duration = Duration::from_millis(20);

/// A chunk takes no longer than this, so that connections which share the link take turns.
const TURN: Duration = Duration::from_millis(20);

/// When the bytes of all connections of one direction have left: it reads no clock.
#[derive(Debug)]
pub(super) struct Pacer {
    bytes_per_second: NonZeroU64,
    free_at: Option<Instant>,
}

impl Pacer {
    pub(super) const fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, free_at: None }
    }

    /// How many bytes a connection may send before others have their turn: at least one.
    pub(super) fn turn(&self) -> usize {
        let bytes = u128::from(self.bytes_per_second.get()) * TURN.as_nanos() / NANOS;
        usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
    }

    /// Takes the next place for so many bytes: when the last of them has left.
    pub(super) fn send(&mut self, bytes: usize, now: Instant) -> Instant {
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let start = self.free_at.map_or(now, |free_at| free_at.max(earliest));
        let nanos = bytes as u128 * NANOS / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // A chunk is a turn at most, or one byte: a second. What overflows is no real clock.
        let left = start.checked_add(takes).unwrap_or(start);
        self.free_at = Some(left);
        left
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer(bytes_per_second: u64) -> Pacer {
        Pacer::new(NonZeroU64::new(bytes_per_second).expect("not zero"))
    }

    fn start() -> Instant {
        steadfast_core::TimeSource::Tokio.now()
    }

    #[test]
    fn bytes_leave_one_after_the_other_at_the_rate() {
        let (mut pacer, now) = (pacer(1000), start());
        assert_eq!(pacer.send(500, now), now + Duration::from_millis(500));
        assert_eq!(pacer.send(500, now), now + Duration::from_secs(1));
    }

    #[test]
    fn a_timer_that_wakes_late_each_time_lowers_no_rate() {
        let (mut pacer, start) = (pacer(1_000_000), start());
        let mut now = start;
        let mut sent = 0;
        while now < start + Duration::from_secs(10) {
            sent += pacer.turn();
            now = pacer.send(pacer.turn(), now) + Duration::from_millis(5);
        }
        assert!((9_950_000..=10_050_000).contains(&sent), "{sent}");
    }

    #[test]
    fn what_was_not_sent_in_a_pause_is_not_sent_after_it() {
        let (mut pacer, start) = (pacer(1000), start());
        pacer.send(10, start);
        let late = start + Duration::from_secs(60);
        let left = pacer.send(1000, late);
        assert!(left >= late + Duration::from_millis(980), "{:?}", left - late);
    }

    #[test]
    fn the_slowest_link_sends_a_byte_in_a_second_and_the_fastest_does_not_overflow() {
        let (mut slow, mut fast, now) = (pacer(1), pacer(u64::MAX), start());
        assert_eq!(slow.turn(), 1);
        assert_eq!(slow.send(1, now), now + Duration::from_secs(1));
        assert!(fast.turn() > 0);
        assert_eq!(fast.send(1 << 28, now), now);
    }
}
