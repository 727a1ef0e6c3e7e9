//! Whether a request may go to a peer.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{Peer, Status, Suspected, trials::Taken};

/// What becomes of one request.
#[derive(Debug)]
pub(crate) enum Admission<K> {
    /// It goes to the peer.
    Passed,
    /// It goes to the peer on trial.
    OnTrial(Trial<K>),
    /// It does not.
    Refused(Suspected),
}

impl<K> Peer<K> {
    /// What is held of the peer at `now`, and the suspicion.
    pub(crate) fn look(&self, now: Instant) -> (Status, f64) {
        self.hub.look(&self.watched, now)
    }

    /// Decides on one request.
    pub(crate) fn admit(&self, now: Instant) -> Admission<K> {
        match self.look(now) {
            (Status::Unknown | Status::Trusted, _) => Admission::Passed,
            (status, phi) => self.admit_suspect(status, phi, now),
        }
    }

    /// A suspected peer is sent everything, and what is sent when a trial is due is one: balancers
    /// that send nothing to suspects ask it one thing at a time until it is trusted.
    #[cold]
    fn admit_suspect(&self, status: Status, phi: f64, now: Instant) -> Admission<K> {
        match self.watched.take_trial(now, self.hub.settings.trial_interval) {
            Ok(taken) => Admission::OnTrial(Trial { peer: self.clone(), taken: Some(taken) }),
            Err(_) if status == Status::Suspected => Admission::Passed,
            Err(left) => {
                let handle = self.hub.settings.handle;
                Admission::Refused(Suspected::new(phi, Some(left)).with_handle(handle))
            }
        }
    }

    /// How long every request will be refused unless the peer is heard of; `None` if one may be
    /// let through.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        match self.look(now).0 {
            Status::Convicted => self.watched.next_trial(now),
            _ => None,
        }
    }
}

#[cfg(feature = "load")]
impl<K> Peer<K> {
    /// 0 for a peer that balancers should send to, above for one that they should rather not.
    pub(crate) fn standing(&self, now: Instant) -> u8 {
        let standing = match self.look(now).0 {
            Status::Unknown | Status::Trusted => return 0,
            Status::Suspected => 1,
            Status::Convicted => 2,
        };
        if self.watched.next_trial(now).is_none() { 0 } else { standing }
    }
}

/// A request that is let through to a peer that is not trusted. Dropped before it is sent, it lets
/// the next one through in its place.
pub(crate) struct Trial<K> {
    peer: Peer<K>,
    taken: Option<Taken>,
}

impl<K> Trial<K> {
    /// The request is on its way.
    pub(crate) fn sent(mut self) {
        self.taken = None;
    }
}

impl<K> Drop for Trial<K> {
    fn drop(&mut self) {
        if let Some(taken) = self.taken {
            self.peer.watched.give_back(taken);
        }
    }
}

impl<K> fmt::Debug for Trial<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("taken", &self.taken).finish_non_exhaustive()
    }
}
