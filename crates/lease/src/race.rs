//! Two futures, and the one that is first.

use std::{future::poll_fn, pin::pin, task::Poll};

/// Which one it was.
pub(crate) enum Raced<A, B> {
    First(A),
    Second(B),
}

/// Waits for either. The first is polled first, and of two that are ready it wins.
pub(crate) async fn race<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Raced<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| {
        if let Poll::Ready(a) = first.as_mut().poll(cx) {
            return Poll::Ready(Raced::First(a));
        }
        second.as_mut().poll(cx).map(Raced::Second)
    })
    .await
}
