//! Waiting for a circuit to change.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use steadfast_core::parts::Subscription;

use crate::state::Transition;

/// The transitions of a circuit as they happen: a stream without end.
///
/// A slow reader sees the latest transition and misses those between; [`Transition::sequence`] tells how many. Nothing is queued.
#[derive(Debug)]
pub struct Transitions {
    subscription: Subscription<Transition>,
}

impl Transitions {
    pub(crate) const fn new(subscription: Subscription<Transition>) -> Self {
        Self { subscription }
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
