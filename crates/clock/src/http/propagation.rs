//! How stamps travel: what both layers are made from.

use http::HeaderName;

use crate::Hlc;

/// `x-hlc`: the header that carries a stamp in its [compact](crate::Timestamp::compact) form,
/// `hlc-` and 16 hexadecimal digits. There is no standard one; any other name does as well.
pub const HLC_HEADER: HeaderName = HeaderName::from_static("x-hlc");

/// A clock, the header that carries its stamps, and what is done about stamps it does not believe:
/// [`HlcLayer`](crate::HlcLayer) and [`PropagateHlcLayer`](crate::PropagateHlcLayer) are both made
/// `From` one.
///
/// The clock is a handle: clients and servers of one process share it. The layers report under its
/// [name](crate::HlcConfig::named).
#[derive(Clone, Debug)]
#[must_use]
pub struct Propagation<K = Hlc> {
    pub(crate) clock: K,
    pub(crate) header: HeaderName,
    pub(crate) too_far_ahead: TooFarAhead,
}

impl<K> Propagation<K> {
    /// Stamps of `clock` in `x-hlc`; what is too far ahead is refused.
    pub const fn new(clock: K) -> Self {
        Self { clock, header: HLC_HEADER, too_far_ahead: TooFarAhead::Refuse }
    }

    /// Stamps stand in `header`. For gRPC it must not end in `-bin`.
    pub fn header(mut self, header: HeaderName) -> Self {
        self.header = header;
        self
    }

    /// What becomes of messages whose stamp is too far ahead.
    pub const fn too_far_ahead(mut self, too_far_ahead: TooFarAhead) -> Self {
        self.too_far_ahead = too_far_ahead;
        self
    }
}

/// What becomes of a message whose stamp is further ahead of the wall clock than the clock's
/// `max_drift` allows. Either way the clock adopts nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TooFarAhead {
    /// It is refused. The default: served without its stamp, what happens here afterwards would be
    /// stamped below what happened before it at the sender.
    #[default]
    Refuse,
    /// It goes on with a stamp of this node's own, as if it had carried none.
    /// [`Received::sent`](crate::Received::sent) still tells what it carried. For stamps that only
    /// help to read logs, where an answer is worth more than their order.
    Ignore,
}
