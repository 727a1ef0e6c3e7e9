//! Bursts: a Markov chain of two states, on and off, that takes a step at each request.

use crate::draw::{Sequence, Stream};

/// Where the chain is, and where it changes next.
///
/// The lengths of the states come from a generator of the burst's own and are looked at in order,
/// so the chain is a function of seed and name, whatever is asked of it and how often. It begins
/// in its steady state: the share of the requests it is on for is `enter / (enter + leave)` from
/// the first on.
#[derive(Clone, Debug)]
pub(crate) struct Burst {
    enter: f64,
    leave: f64,
    lengths: Sequence,
    is_on: bool,
    /// The first request of the next state.
    until: u64,
}

impl Burst {
    /// `enter` and `leave` are above 0 and at most 1.
    pub(crate) fn new(enter: f64, leave: f64, stream: Stream) -> Self {
        let mut lengths = stream.sequence();
        let is_on = lengths.uniform() < enter / (enter + leave);
        let mut burst = Self { enter, leave, lengths, is_on, until: 0 };
        burst.until = burst.length();
        burst
    }

    /// Whether it is on at this request. Numbers do not go back; a gap costs the changes in it.
    pub(crate) fn is_on(&mut self, number: u64) -> bool {
        // At the end of all numbers there is no further state.
        while number >= self.until && self.until < u64::MAX {
            self.is_on = !self.is_on;
            self.until = self.until.saturating_add(self.length());
        }
        self.is_on
    }

    /// Each request may be the one after which the state changes: geometric, and without memory,
    /// so that what is left of the first state has the same law.
    fn length(&mut self) -> u64 {
        let change = if self.is_on { self.leave } else { self.enter };
        self.lengths.geometric(change)
    }
}

#[cfg(test)]
mod tests;
