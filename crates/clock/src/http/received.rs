//! What the layers leave for the program.

use crate::Timestamp;

/// What the receipt of a message was stamped with: in the extensions of a request on the server, of
/// a response on the client.
///
/// There is one for each message. Where two layers read two headers of it, such as a region's clock
/// and a cluster's, each stamps its own clock, and the one that receives last leaves its own here:
/// on a server the inner, on a client the outer. A service between the two can take the other's
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Received {
    /// When it was received, on this node's clock: above every stamp the clock gave out before, and
    /// above `sent`, unless that was too far ahead and [ignored](crate::TooFarAhead::Ignore).
    pub at: Timestamp,
    /// The stamp it carried; `None` where it carried none that can be read.
    pub sent: Option<Timestamp>,
}

impl Received {
    /// What was received `at` and carried `sent`: for tests of handlers.
    #[must_use]
    pub const fn new(at: Timestamp, sent: Option<Timestamp>) -> Self {
        Self { at, sent }
    }
}
