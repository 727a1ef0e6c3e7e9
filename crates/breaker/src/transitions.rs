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
/// A slow reader misses those before the latest; [`Transition::sequence`] tells how many.
#[derive(Debug)]
pub struct Transitions(pub(crate) Subscription<Transition>);

impl Transitions {
    /// Waits for the next transition. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Transition {
        self.0.changed().await
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        self.get_mut().0.poll_changed(cx).map(Some)
    }
}
