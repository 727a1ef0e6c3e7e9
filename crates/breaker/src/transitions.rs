//! Waiting for a circuit to change.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use steadfast_core::parts::{Lane, Subscription};

use crate::{shared::Shared, state::Transition};

/// The transitions of a circuit as they happen: a stream without end.
///
/// It keeps its circuit alive, and shown in metrics. A slow reader misses the transitions before
/// the latest; [`Transition::sequence`] tells how many.
pub struct Transitions {
    subscription: Subscription<Transition>,
    _circuit: Arc<Lane<Shared>>,
}

impl Transitions {
    pub(crate) fn new(lane: &Arc<Lane<Shared>>) -> Self {
        Self { subscription: lane.transitions.subscribe(), _circuit: Arc::clone(lane) }
    }

    /// Waits for the next transition. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Transition {
        self.subscription.changed().await
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        self.get_mut().subscription.poll_changed(cx).map(Some)
    }
}

impl fmt::Debug for Transitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions")
            .field("seen", &self.subscription.sequence())
            .finish_non_exhaustive()
    }
}
