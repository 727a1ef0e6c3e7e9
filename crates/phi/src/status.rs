//! What a detector holds of a peer.

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
