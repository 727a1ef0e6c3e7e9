//! A delay line: bytes that are on their way.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Bytes that left so closely together arrive together: timers know no less. It bounds how many
/// marks there are, however small the writes of a client.
const GRAIN: Duration = Duration::from_millis(1);

/// Bytes in the order they were sent, and when each arrives. It reads no clock.
///
/// A mark remembers when its bytes left, not when they arrive: when the delay changes, it changes
/// for those that are on their way too.
#[derive(Debug, Default)]
pub(super) struct Line {
    bytes: VecDeque<u8>,
    marks: VecDeque<Mark>,
}

/// Bytes that arrive together. None of them stand for the end of the stream.
#[derive(Clone, Copy, Debug)]
struct Mark {
    left: Instant,
    /// From 0 up to 1: how much of the jitter.
    chance: f64,
    bytes: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Bytes that leave at such a time, in order.
    pub(super) fn push(&mut self, bytes: &[u8], left: Instant, chance: f64) {
        self.bytes.extend(bytes);
        match self.marks.back_mut() {
            Some(last) if left.saturating_duration_since(last.left) < GRAIN => {
                last.bytes += bytes.len();
            }
            _ => self.marks.push_back(Mark { left, chance, bytes: bytes.len() }),
        }
    }

    /// When the first bytes arrive, if it takes them so long. `None` if there are none, or not
    /// while this clock runs.
    pub(super) fn due(&self, takes: impl FnOnce(f64) -> Duration) -> Option<Instant> {
        let first = self.marks.front()?;
        first.left.checked_add(takes(first.chance))
    }

    /// The first bytes, which arrive together: as many of them as lie in one piece.
    pub(super) fn first(&self) -> &[u8] {
        let (first, _) = self.bytes.as_slices();
        let together = self.marks.front().map_or(0, |mark| mark.bytes);
        &first[..together.min(first.len())]
    }

    /// So many of the first bytes have arrived.
    ///
    /// # Panics
    /// When more of them than arrive together.
    pub(super) fn pop(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        if let Some(mark) = self.marks.front_mut() {
            mark.bytes -= bytes;
            if mark.bytes == 0 {
                self.marks.pop_front();
            }
        }
        if self.marks.is_empty() {
            // A connection that was delayed once holds nothing for it.
            *self = Self::default();
        }
    }

    /// Whatever was to leave later leaves now.
    pub(super) fn hurry(&mut self, now: Instant) {
        for mark in &mut self.marks {
            mark.left = mark.left.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const LATE: Duration = Duration::from_millis(100);

    fn start() -> Instant {
        steadfast_core::TimeSource::Tokio.now()
    }

    /// All that has arrived by `now`.
    fn arrived(line: &mut Line, now: Instant) -> Vec<u8> {
        let mut arrived = Vec::new();
        while line.due(|_| LATE).is_some_and(|due| due <= now) {
            arrived.extend(line.first());
            line.pop(line.first().len());
        }
        arrived
    }

    #[test]
    fn bytes_arrive_in_order_and_each_after_its_own_delay() {
        let (mut line, start) = (Line::default(), start());
        line.push(b"one", start, 0.0);
        line.push(b"two", start + LATE / 2, 0.0);
        assert_eq!(arrived(&mut line, start + LATE / 2), b"");
        assert_eq!(arrived(&mut line, start + LATE), b"one");
        assert_eq!(arrived(&mut line, start + LATE), b"");
        assert_eq!(arrived(&mut line, start + LATE * 3 / 2), b"two");
        assert!(line.is_empty());
    }

    proptest! {
        /// The model keeps each byte with its own time, and a byte waits for those before it.
        #[test]
        fn every_byte_arrives_when_it_and_all_before_it_are_due(
            steps in vec((0_u64..5, 0_usize..40, 0.0..1.0_f64), 1..60),
        ) {
            let takes = |chance: f64| LATE.mul_f64(chance);
            let (mut line, mut now) = (Line::default(), start());
            let (mut model, mut arrived, mut next) = (VecDeque::new(), 0_usize, 0_u8);
            let mut last = None;
            for (millis, bytes, chance) in steps {
                now += Duration::from_millis(millis);
                let sent: Vec<u8> = (0..bytes).map(|at| next.wrapping_add(at as u8)).collect();
                if !sent.is_empty() {
                    // What leaves within a grain arrives with the first of it.
                    let (left, chance) = match last {
                        Some((left, chance)) if now - left < GRAIN && !line.is_empty() => {
                            (left, chance)
                        }
                        _ => (now, chance),
                    };
                    last = Some((left, chance));
                    model.extend(sent.iter().map(|byte| (*byte, left + takes(chance))));
                    line.push(&sent, now, chance);
                    next = next.wrapping_add(bytes as u8);
                }
                while line.due(takes).is_some_and(|due| due <= now) {
                    for byte in line.first() {
                        let (sent, due) = model.pop_front().expect("no byte arrives twice");
                        prop_assert_eq!((*byte, due <= now), (sent, true));
                        arrived += 1;
                    }
                    line.pop(line.first().len());
                }
                prop_assert!(model.front().is_none_or(|(_, due)| *due > now), "{} came", arrived);
                prop_assert_eq!(line.len(), model.len());
            }
        }
    }

    #[test]
    fn a_longer_delay_of_the_first_bytes_holds_up_the_next_ones() {
        let (mut line, start) = (Line::default(), start());
        line.push(b"slow", start, 1.0);
        line.push(b"quick", start + 2 * GRAIN, 0.0);
        let takes = |chance: f64| LATE.mul_f64(chance);
        assert_eq!(line.due(takes), Some(start + LATE));
        line.pop(4);
        assert_eq!(line.due(takes), Some(start + 2 * GRAIN));
    }

    #[test]
    fn a_byte_a_time_makes_a_mark_a_millisecond() {
        let (mut line, start) = (Line::default(), start());
        for step in 0..10_000_u32 {
            line.push(b"x", start + Duration::from_micros(1) * step, 0.0);
        }
        assert_eq!(line.len(), 10_000);
        assert!(line.marks.len() <= 11, "{}", line.marks.len());
    }

    #[test]
    fn what_is_taken_in_pieces_across_the_seam_of_the_ring_is_all_there() {
        let (mut line, start) = (Line::default(), start());
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        for step in 0..1000_u32 {
            let chunk: Vec<u8> = (0..step % 77 + 1).map(|byte| byte as u8 ^ step as u8).collect();
            line.push(&chunk, start + GRAIN * step, 0.0);
            sent.extend(chunk);
            let some = line.first().len().min(31);
            came.extend(&line.first()[..some]);
            line.pop(some);
        }
        came.extend(arrived(&mut line, start + GRAIN * 1000 + LATE));
        assert_eq!(came, sent);
    }

    #[test]
    fn an_emptied_line_holds_no_memory() {
        let (mut line, start) = (Line::default(), start());
        line.push(&[0; 1 << 16], start, 0.0);
        line.pop(1 << 16);
        assert_eq!((line.bytes.capacity(), line.marks.capacity()), (0, 0));
    }

    #[test]
    fn a_delay_beyond_the_clock_never_ends() {
        let (mut line, start) = (Line::default(), start());
        line.push(b"x", start, 0.0);
        assert_eq!(line.due(|_| Duration::MAX), None);
    }
}
