//! One node's service, and what it has been asked.

use std::{
    mem,
    task::{Context, Poll},
};

use tower_service::Service;

/// The service of a node.
pub(super) struct Node<S> {
    pub(super) service: S,
    pub(super) state: NodeState,
}

/// What a node's instance has been asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeState {
    /// Nothing: it holds nothing, and waits in no line.
    Fresh,
    /// Whether it is ready, and it was not: it may wait in line.
    Asked,
    /// It is ready, and holds what it takes.
    Ready,
}

impl<S> Node<S> {
    pub(super) const fn new(service: S) -> Self {
        Self { service, state: NodeState::Fresh }
    }

    /// Asks whether it is ready, unless it has said so. An instance that failed is replaced: it
    /// must not be asked again.
    pub(super) fn poll_ready<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req> + Clone,
    {
        if self.state == NodeState::Ready {
            return Poll::Ready(Ok(()));
        }
        let polled = self.service.poll_ready(cx);
        match &polled {
            Poll::Ready(Ok(())) => self.state = NodeState::Ready,
            Poll::Ready(Err(_)) => drop(self.renew()),
            Poll::Pending => self.state = NodeState::Asked,
        }
        polled
    }

    /// Puts a fresh instance in the place of this one, which it gives out.
    pub(super) fn renew(&mut self) -> S
    where
        S: Clone,
    {
        self.state = NodeState::Fresh;
        let fresh = self.service.clone();
        mem::replace(&mut self.service, fresh)
    }

    /// Gives up what its instance holds, and its place in line.
    pub(super) fn release(&mut self)
    where
        S: Clone,
    {
        if self.state != NodeState::Fresh {
            drop(self.renew());
        }
    }
}
