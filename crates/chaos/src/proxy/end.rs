//! The two ends of a link.

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The one that opens connections.
    Client,
    /// The one that accepts them.
    Server,
}

impl End {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];
}
