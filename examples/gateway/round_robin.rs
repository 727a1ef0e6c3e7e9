//! Choosing an upstream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tower::Service;

/// Sends each request to the next member that is ready. A member behind an open circuit is not, and
/// is passed over.
///
/// A handle that is called again, as a retry does, begins after the member it called last.
pub(crate) struct RoundRobin<S> {
    members: Vec<S>,
    /// Shared by all handles.
    next: Arc<AtomicUsize>,
    /// Where this handle begins to look; kept while none is ready.
    begin: Option<usize>,
    ready: Option<usize>,
}

impl<S> RoundRobin<S> {
    pub(crate) fn new(members: impl IntoIterator<Item = S>) -> Self {
        let members = members.into_iter().collect();
        Self { members, next: Arc::default(), begin: None, ready: None }
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
        let number = self.members.len();
        for place in (0..number).map(|offset| begin.wrapping_add(offset) % number) {
            if let Poll::Ready(ready) = self.members[place].poll_ready(cx) {
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
        self.members[place].call(request)
    }
}
