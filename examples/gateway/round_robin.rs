//! Choosing an upstream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use steadfast::phi::{Peer, Status};
use tower::Service;

/// Sends each request to the next member that is ready. A member behind an open circuit is not, and
/// is passed over. One that is silent is called only when none of the others is ready.
///
/// A handle that is called again, as a retry does, begins after the member it called last.
pub(crate) struct RoundRobin<S> {
    members: Vec<Member<S>>,
    /// Shared by all handles.
    next: Arc<AtomicUsize>,
    /// Where this handle begins to look; kept while none is ready.
    begin: Option<usize>,
    ready: Option<usize>,
}

#[derive(Clone)]
struct Member<S> {
    service: S,
    /// Whether it lives, where that is watched.
    peer: Option<Peer>,
}

impl<S> RoundRobin<S> {
    /// Members that are not watched.
    pub(crate) fn new(members: impl IntoIterator<Item = S>) -> Self {
        Self::of(members.into_iter().map(|service| Member { service, peer: None }))
    }

    /// Members that are.
    pub(crate) fn watched(members: impl IntoIterator<Item = (S, Peer)>) -> Self {
        let member = |(service, peer)| Member { service, peer: Some(peer) };
        Self::of(members.into_iter().map(member))
    }

    fn of(members: impl Iterator<Item = Member<S>>) -> Self {
        Self { members: members.collect(), next: Arc::default(), begin: None, ready: None }
    }

    /// All places, once round from `begin`: those that are trusted before those that are suspected,
    /// and these before the convicted.
    fn order(&self, begin: usize) -> Vec<usize> {
        let number = self.members.len();
        let mut places: Vec<usize> =
            (0..number).map(|offset| begin.wrapping_add(offset) % number).collect();
        places.sort_by_key(|place| self.members[*place].doubts());
        places
    }
}

impl<S> Member<S> {
    fn doubts(&self) -> u8 {
        match self.peer.as_ref().map(Peer::status) {
            None | Some(Status::Unknown | Status::Trusted) => 0,
            Some(Status::Suspected) => 1,
            Some(Status::Convicted) => 2,
        }
    }
}

impl<S: Clone> Clone for RoundRobin<S> {
    /// Readiness, and whom it called last, belong to one handle.
    fn clone(&self) -> Self {
        Self {
            members: self.members.clone(),
            next: Arc::clone(&self.next),
            begin: None,
            ready: None,
        }
    }
}

impl<S, Req> Service<Req> for RoundRobin<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let begin = *self.begin.get_or_insert_with(|| self.next.fetch_add(1, Ordering::Relaxed));
        for place in self.order(begin) {
            if let Poll::Ready(ready) = self.members[place].service.poll_ready(cx) {
                self.ready = Some(place);
                return Poll::Ready(ready);
            }
        }
        // Each of them will wake us.
        Poll::Pending
    }

    fn call(&mut self, request: Req) -> S::Future {
        let place = self.ready.take().expect("a service is called only after it was ready");
        self.begin = Some(place + 1);
        self.members[place].service.call(request)
    }
}
