//! The standing of a peer as its load.

use tower::load::Load;

use crate::{Peer, Suspect, SuspectLayer, hub::CLOCK};

/// How much a balancer should prefer other peers: first by what is held of the peer, then by the
/// load of the service itself.
///
/// Trusted peers and those of which nothing is known yet come first, then suspected ones, then the
/// convicted. A peer that is not trusted counts as trusted while a trial of it is due: a balancer
/// that never picked it could never hear of it again.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct SuspectLoad<M> {
    // Compared first: the order of the fields is the order of their weight.
    standing: u8,
    load: M,
}

impl<M> SuspectLoad<M> {
    /// The load of the service itself.
    pub const fn inner(&self) -> &M {
        &self.load
    }
}

impl<S: Load, K> Load for Suspect<S, SuspectLayer<Peer<K>>> {
    type Metric = SuspectLoad<S::Metric>;

    fn load(&self) -> Self::Metric {
        let standing = self.peer().standing(CLOCK.now());
        SuspectLoad { standing, load: self.get_ref().load() }
    }
}
