//! What a detector holds of a peer, and what changes it.
#![cfg_attr(not(feature = "tokio"), allow(dead_code))]

use std::num::NonZeroU32;

/// What a detector holds of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// No heartbeat was heard yet: nothing is expected, and nothing is said.
    #[default]
    Unknown,
    /// Its heartbeats come.
    Trusted,
    /// It is late; or it has come back after a conviction, and not yet proved itself.
    Suspected,
    /// It is taken for dead.
    Convicted,
}

impl Status {
    /// Every status, in the order of their index.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Trusted, Self::Suspected, Self::Convicted];

    /// Its name, as metrics and events show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trusted => "trusted",
            Self::Suspected => "suspected",
            Self::Convicted => "convicted",
        }
    }
}

/// Which of the two thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Suspect,
    Convict,
}

/// The status, and how many heartbeats on time a peer that was convicted still owes. One word.
///
/// ```text
/// Unknown ─heartbeat→ Trusted ─suspect→ Suspected ─convict→ Convicted
///                        ↑                 │ ↑                  │
///                        └─heartbeat, owes nothing              │
///                        └─the last one owed─┘ └────heartbeat───┘ owes `trust_after`
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    owes: u32,
}

impl Standing {
    /// The most heartbeats that may be owed: two bits of the word are the status.
    pub(crate) const MOST: u32 = u32::MAX >> 2;

    pub(crate) const fn word(self) -> u32 {
        self.owes << 2 | self.status as u32
    }

    pub(crate) const fn from_word(word: u32) -> Self {
        Self { status: Status::ALL[(word & 3) as usize], owes: word >> 2 }
    }

    /// The threshold that is next, if silence can change anything.
    pub(crate) const fn next(self) -> Option<Level> {
        match self.status {
            Status::Trusted => Some(Level::Suspect),
            Status::Suspected => Some(Level::Convict),
            Status::Unknown | Status::Convicted => None,
        }
    }

    /// The [`next`](Self::next) threshold was reached.
    pub(crate) const fn fall(self) -> Self {
        match self.status {
            Status::Trusted => Self { status: Status::Suspected, owes: 0 },
            Status::Suspected => Self { status: Status::Convicted, owes: 0 },
            Status::Unknown | Status::Convicted => self,
        }
    }

    /// A heartbeat came, all that silence had brought about before it being made up for.
    /// `is_on_time`: the suspicion was below the lower threshold.
    pub(crate) fn rise(self, is_on_time: bool, trust_after: NonZeroU32) -> Self {
        let owes = trust_after.get();
        match self.status {
            Status::Convicted => Self { status: Status::Suspected, owes },
            // A row that is broken begins again.
            Status::Suspected if self.owes > 0 && !is_on_time => Self { owes, ..self },
            Status::Suspected if self.owes > 1 => Self { owes: self.owes - 1, ..self },
            _ => Self { status: Status::Trusted, owes: 0 },
        }
    }
}

#[cfg(all(test, not(steadfast_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[test]
    fn a_convicted_peer_is_trusted_after_a_row_of_heartbeats_on_time() {
        let mut standing = Standing::default().rise(true, TWO);
        assert_eq!(standing.status, Status::Trusted);
        standing = standing.fall().fall();
        assert_eq!(standing.status, Status::Convicted);
        let row = [false, true, false, true, true];
        let statuses = row.map(|is_on_time| {
            standing = standing.rise(is_on_time, TWO);
            standing.status
        });
        use Status::{Suspected, Trusted};
        assert_eq!(statuses, [Suspected, Suspected, Suspected, Suspected, Trusted]);
    }

    #[test]
    fn a_peer_that_was_only_late_is_trusted_at_once() {
        let late = Standing::default().rise(true, TWO).fall();
        assert_eq!((late.status, late.next()), (Status::Suspected, Some(Level::Convict)));
        assert_eq!(late.rise(false, TWO).status, Status::Trusted);
    }

    proptest! {
        /// Against the history itself: trusted exactly if so many heartbeats in a row were on time
        /// since the one that came after the last conviction.
        #[test]
        fn the_machine_agrees_with_its_history(
            steps in prop::collection::vec(0..3_u8, 0..60), trust_after in 1..5_u32,
        ) {
            let trust_after = NonZeroU32::new(trust_after).unwrap();
            let mut standing = Standing::default();
            let (mut is_known, mut level, mut row) = (false, 0, None::<u32>);
            for step in steps {
                if step == 0 {
                    level = if is_known { (level + 1).min(2) } else { 0 };
                    if is_known && row.is_some() { level = 2; }
                    if level == 2 { row = None; }
                    standing = standing.fall();
                } else {
                    row = match (level, row) {
                        (2, _) => Some(0),
                        (_, Some(_)) if step == 2 => Some(0),
                        (_, Some(row)) if row + 1 < trust_after.get() => Some(row + 1),
                        _ => None,
                    };
                    (is_known, level) = (true, 0);
                    standing = standing.rise(step == 1, trust_after);
                }
                let expected = match (is_known, level, row) {
                    (false, ..) => Status::Unknown,
                    (_, 2, _) => Status::Convicted,
                    (_, 1, _) | (_, _, Some(_)) => Status::Suspected,
                    _ => Status::Trusted,
                };
                prop_assert_eq!(standing.status, expected);
                prop_assert_eq!(Standing::from_word(standing.word()), standing);
            }
        }
    }
}
