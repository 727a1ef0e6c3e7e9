//! Stamps that travel in a header: what both layers share, and the layers.

mod admission;
mod client;
mod propagation;
mod refused;
mod server;
mod telemetry;

use http::HeaderName;

pub use self::{
    client::{PropagateHlc, PropagateHlcFuture, PropagateHlcLayer},
    refused::{StampFault, StampRefused},
    server::{HlcFuture, HlcLayer, HlcService},
};
use crate::Timestamp;

/// `x-hlc`: the header that carries a stamp, as 16 hexadecimal digits. There is no standard one; any other name does as well.
pub const HLC_HEADER: HeaderName = HeaderName::from_static("x-hlc");

/// What the receipt of a message was stamped with: in the extensions of a request on the server, of a response on the client.
///
/// There is one for each message. Where two layers read two headers of it, such as a region's clock and a cluster's, each stamps its own clock
/// all the same, and the one that receives last leaves its own here: on a server the inner, on a client the outer. A service between the two can
/// take the other's out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Received {
    /// When it was received, on this node's clock. Above every stamp the clock gave out before; above `sent` too, unless that was
    /// too far ahead and [ignored](TooFarAhead::Ignore).
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

/// What becomes of a message whose stamp is further ahead of the wall clock than the clock's `max_drift` allows.
///
/// Either way the clock adopts nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TooFarAhead {
    /// It is refused. The default: to serve it without its stamp would break, without a word, what stamps are for. What happens here
    /// afterwards would be stamped below what happened before it there.
    #[default]
    Refuse,
    /// It goes on with a stamp of this node's own, as if it had carried none. [`Received::sent`] still tells what it carried.
    ///
    /// For stamps that only help to read logs, where an answer is worth more than their order.
    Ignore,
}
