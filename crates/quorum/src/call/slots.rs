//! The calls of nodes, each in its place.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::Nodes;

/// How many calls share an allocation: all of the usual numbers of nodes, three and five. A call
/// over three nodes pays for five: futures of many kilobytes belong in boxes of their own.
const CHUNK: usize = 5;

pin_project! {
    /// The call of one node.
    #[project = NodeCallProjection]
    enum NodeCall<S, Req>
    where
        S: Service<Req>,
    {
        /// Not made, or ended.
        Idle,
        /// Waiting until the node is ready.
        Readying { service: S, request: Option<Req>, since: Instant },
        /// Waiting for the answer.
        Calling { #[pin] future: S::Future, since: Instant },
    }
}

/// How the call of a node ended.
pub(crate) struct Ended<T, E> {
    pub(crate) result: Result<T, E>,
    /// When it was called.
    pub(crate) since: Instant,
    /// Whether the request reached the service: not if that failed its readiness.
    pub(crate) sent: bool,
}

impl<S: Service<Req>, Req> NodeCall<S, Req> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<S::Response, S::Error>> {
        if let NodeCallProjection::Readying { service, request, since } = self.as_mut().project() {
            let since = *since;
            match ready!(service.poll_ready(cx)) {
                Ok(()) => {
                    let request = request.take().expect("a call that panicked is not polled again");
                    let future = service.call(request);
                    self.set(Self::Calling { future, since });
                }
                Err(error) => {
                    self.set(Self::Idle);
                    return Poll::Ready(Ended { result: Err(error), since, sent: false });
                }
            }
        }
        let NodeCallProjection::Calling { future, since } = self.as_mut().project() else {
            return Poll::Pending;
        };
        let (result, since) = (ready!(future.poll(cx)), *since);
        // What the call held is dropped now that it has answered, not with the slowest of the
        // others.
        self.set(Self::Idle);
        Poll::Ready(Ended { result, since, sent: true })
    }
}

pin_project! {
    /// Five calls in one allocation. Elements of a slice cannot be pinned one by one without unsafe
    /// code; fields can.
    struct Chunk<S, Req>
    where
        S: Service<Req>,
    {
        #[pin] a: NodeCall<S, Req>,
        #[pin] b: NodeCall<S, Req>,
        #[pin] c: NodeCall<S, Req>,
        #[pin] d: NodeCall<S, Req>,
        #[pin] e: NodeCall<S, Req>,
    }
}

impl<S: Service<Req>, Req> Chunk<S, Req> {
    const fn new() -> Self {
        Self {
            a: NodeCall::Idle,
            b: NodeCall::Idle,
            c: NodeCall::Idle,
            d: NodeCall::Idle,
            e: NodeCall::Idle,
        }
    }

    #[inline]
    fn slot(self: Pin<&mut Self>, place: usize) -> Pin<&mut NodeCall<S, Req>> {
        let chunk = self.project();
        match place % CHUNK {
            0 => chunk.a,
            1 => chunk.b,
            2 => chunk.c,
            3 => chunk.d,
            _ => chunk.e,
        }
    }
}

/// The calls of all nodes, by place.
pub(crate) struct Slots<S: Service<Req>, Req, const WORDS: usize> {
    /// Outside of the list, so that calls over few nodes need none.
    first: Option<Pin<Box<Chunk<S, Req>>>>,
    rest: Vec<Pin<Box<Chunk<S, Req>>>>,
    pending: Nodes<WORDS>,
}

impl<S: Service<Req>, Req, const WORDS: usize> Slots<S, Req, WORDS> {
    pub(crate) fn new(places: usize) -> Self {
        let rest = places.div_ceil(CHUNK).saturating_sub(1);
        Self {
            first: (places > 0).then(|| Box::pin(Chunk::new())),
            rest: (0..rest).map(|_| Box::pin(Chunk::new())).collect(),
            pending: Nodes::EMPTY,
        }
    }

    /// A call that was made.
    pub(crate) fn call(&mut self, place: usize, future: S::Future, since: Instant) {
        self.set(place, NodeCall::Calling { future, since });
    }

    /// A call that is made once the service is ready.
    pub(crate) fn ready_then_call(
        &mut self,
        place: usize,
        service: S,
        request: Req,
        since: Instant,
    ) {
        self.set(place, NodeCall::Readying { service, request: Some(request), since });
    }

    fn set(&mut self, place: usize, call: NodeCall<S, Req>) {
        self.slot(place).set(call);
        self.pending.insert(place);
    }

    #[inline]
    fn slot(&mut self, place: usize) -> Pin<&mut NodeCall<S, Req>> {
        match &mut self.first {
            Some(first) if place < CHUNK => first.as_mut().slot(place),
            _ => self.rest[place / CHUNK - 1].as_mut().slot(place),
        }
    }

    /// The places whose calls are under way.
    #[inline]
    pub(crate) const fn pending(&self) -> Nodes<WORDS> {
        self.pending
    }

    /// Polls a call that is under way. If it panics, it is not polled again.
    pub(crate) fn poll(
        &mut self,
        place: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Ended<S::Response, S::Error>> {
        self.pending.remove(place);
        let polled = self.slot(place).poll(cx);
        if polled.is_pending() {
            self.pending.insert(place);
        }
        polled
    }

    /// When the calls that are under way were made.
    pub(crate) fn since(&self) -> impl Iterator<Item = Instant> {
        self.pending.iter().filter_map(|place| match self.peek(place)? {
            NodeCall::Idle => None,
            NodeCall::Readying { since, .. } | NodeCall::Calling { since, .. } => Some(*since),
        })
    }

    /// Whether the service at this place is not ready yet, and has not seen the request.
    pub(crate) fn is_waiting(&self, place: usize) -> bool {
        matches!(self.peek(place), Some(NodeCall::Readying { .. }))
    }

    fn peek(&self, place: usize) -> Option<&NodeCall<S, Req>> {
        let chunk = self.first.iter().chain(&self.rest).nth(place / CHUNK)?;
        let slots = [&chunk.a, &chunk.b, &chunk.c, &chunk.d, &chunk.e];
        Some(slots[place % CHUNK])
    }
}
