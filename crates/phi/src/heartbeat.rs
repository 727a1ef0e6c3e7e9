//! What a heartbeat says.

/// What a heartbeat says of itself, beside that its sender lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a heartbeat counts when a detector is told of it"]
pub struct Heartbeat {
    sequence: Option<u64>,
    incarnation: u64,
}

impl Heartbeat {
    /// One without a number, of the first incarnation.
    pub const fn new() -> Self {
        Self { sequence: None, incarnation: 0 }
    }

    /// The number of the heartbeat: one more with each that its sender sends *to this observer*.
    /// With numbers, a detector knows of those that were lost or overtaken.
    ///
    /// A number that is not above the highest heard is [`Stale`](crate::Heard::Stale), and proves
    /// no life. So a sender that is restarted and counts anew should say so by its
    /// [`incarnation`](Self::incarnation), which is believed at once. One that does not is silent
    /// to the detector until eight such numbers in a row have each been above the one before (the
    /// same number again is not counted); the eighth is [`Restarted`](crate::Heard::Restarted). The
    /// same puts right a number that came in far too high.
    pub const fn sequence(self, sequence: u64) -> Self {
        Self { sequence: Some(sequence), ..self }
    }

    /// Which run of its sender sends it: grows with each restart, such as the wall clock at the
    /// start. A peer that comes back as another incarnation was really gone: convicting it was no
    /// mistake.
    ///
    /// It must never fall, not even by a wall clock that is set back between two starts: all that a
    /// lower incarnation sends is [`Stale`](crate::Heard::Stale) for good, since it may be a zombie
    /// beside its successor. Only a detector that forgets the peer hears it again.
    pub const fn incarnation(self, incarnation: u64) -> Self {
        Self { incarnation, ..self }
    }

    /// The number, if it has one.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        self.sequence
    }

    /// The run of its sender.
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.incarnation
    }
}
