//! Numbers that are not above the highest heard.

/// So many of them in a row that rise are no stragglers: the sender counts anew.
const ANEW: u8 = 8;

/// Where a number stands among those of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Above all before, or the heartbeat has none.
    Next,
    /// Not above all before.
    Stale,
    /// Neither, and the first of a sender that counts anew.
    Anew,
}

/// What tells a sender that counts anew, and says so by no incarnation, from stragglers.
///
/// A straggler, a duplicate and a rumour that goes round come between numbers that are new, or do
/// not rise for long. A sender that was restarted, or one of whose numbers came in damaged and was
/// taken for the highest, sends numbers that rise and none that is new: without this rule it would
/// be taken for dead until it has counted up to the highest, which for `u64::MAX` is never. Where
/// the rule errs (the last heartbeats of a dead peer are all overtaken by its very last), the peer
/// is convicted one deadline later.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overtaken {
    /// The low bits of the last one. They are enough to see a rise, and keep a peer small.
    last: u16,
    /// How many came in a row, each but the first above the one before.
    rising: u8,
}

impl Overtaken {
    /// Where a number stands; `highest` is that of all before, if there is one.
    #[inline]
    pub(crate) fn order(&mut self, number: Option<u64>, highest: Option<u64>) -> Order {
        // A heartbeat without a number says nothing of numbers, so it ends no row of them.
        let Some(number) = number else { return Order::Next };
        if highest.is_none_or(|highest| number > highest) {
            self.rising = 0;
            Order::Next
        } else if self.is_anew(number) {
            self.rising = 0;
            Order::Anew
        } else {
            Order::Stale
        }
    }

    /// One more that is not above the highest: whether the sender counts anew, from it on.
    #[cold]
    fn is_anew(&mut self, number: u64) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is kept")]
        let last = number as u16;
        let rise = last.wrapping_sub(self.last);
        self.rising = match rise {
            _ if self.rising == 0 => 1,
            // The same one again, as from a network that duplicates.
            0 => self.rising,
            _ if rise < 1 << 15 => self.rising + 1,
            _ => 1,
        };
        self.last = last;
        self.rising >= ANEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(numbers: impl IntoIterator<Item = u64>) -> Option<usize> {
        let mut overtaken = Overtaken::default();
        numbers.into_iter().position(|number| overtaken.is_anew(number))
    }

    #[test]
    fn eight_that_rise_are_a_sender_that_counts_anew() {
        assert_eq!(count(0..20), Some(7));
        assert_eq!(count((0..20).map(|n| n * 1_000)), Some(7), "gaps are no matter");
        assert_eq!(count((0..20).flat_map(|n| [n, n, n])), Some(21), "nor are duplicates");
        assert_eq!(count(u64::from(u16::MAX) - 3..), Some(7), "nor is a carry");
        assert_eq!(count([5, 6, 7].into_iter().chain(0..20)), Some(10), "one that falls begins");
    }

    #[test]
    fn what_goes_round_for_ever_is_none() {
        assert_eq!(count(std::iter::repeat_n(7, 1_000)), None);
        assert_eq!(count((0..1_000).map(|n| n % 7)), None);
        assert_eq!(count((0..1_000).rev()), None);
    }
}
