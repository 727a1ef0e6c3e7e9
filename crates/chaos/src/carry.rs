//! Who carries a request that was struck to its end.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use steadfast_core::Detach;
use tokio::sync::oneshot;

/// Who carries a request that was struck to its end: its caller ([`WithCaller`]), or a task of its
/// own ([`Detach`]).
///
/// `T` is the rest of the way. Its output is `None` if the caller hears nothing for ever.
pub trait Carry<T: Future> {
    /// What the caller polls: small, a box as a rule.
    type Future: Future<Output = T::Output> + Unpin;

    /// Takes the request. `goes_on` says whether, in a network, it would go on without its caller.
    fn carry(&self, struck: T, goes_on: bool) -> Self::Future;
}

/// A caller that goes away cancels its request, wherever that is: queued, in the service, or on its
/// way back. The default, and what any in-process service does.
#[derive(Clone, Copy, Debug, Default)]
pub struct WithCaller;

impl<T: Future> Carry<T> for WithCaller {
    type Future = Pin<Box<T>>;

    fn carry(&self, struck: T, _: bool) -> Self::Future {
        Box::pin(struck)
    }
}

impl<T, O> Carry<T> for Detach
where
    T: Future<Output = Option<O>> + Send + 'static,
    O: Send + 'static,
{
    type Future = Detached<T, O>;

    fn carry(&self, struck: T, goes_on: bool) -> Self::Future {
        let struck = Box::pin(struck);
        Detached(match goes_on {
            true => Stage::Unsent { struck, detach: self.clone() },
            false => Stage::WithCaller { struck },
        })
    }
}

/// The rest of the way of a request that goes on after its caller has gone.
///
/// It is sent at the first poll, if the `Detach` has a place for it. Where it has none, which that
/// counts as refused, the request goes on with its caller.
///
/// A task that ends without an outcome, by a panic or at the limit of the `Detach`, is to its
/// caller a server that crashed at work: it hears nothing.
pub struct Detached<T, O>(Stage<T, O>);

enum Stage<T, O> {
    Unsent { struck: Pin<Box<T>>, detach: Detach },
    Sent { reply: oneshot::Receiver<Option<O>> },
    WithCaller { struck: Pin<Box<T>> },
    Over,
}

impl<T, O> Future for Detached<T, O>
where
    T: Future<Output = Option<O>> + Send + 'static,
    O: Send + 'static,
{
    type Output = Option<O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<O>> {
        let stage = &mut self.0;
        if matches!(stage, Stage::Unsent { .. }) {
            *stage = send(mem::replace(stage, Stage::Over));
        }
        let outcome = match stage {
            Stage::Sent { reply } => ready!(Pin::new(reply).poll(cx)).unwrap_or(None),
            Stage::WithCaller { struck } => ready!(struck.as_mut().poll(cx)),
            Stage::Unsent { .. } | Stage::Over => None,
        };
        *stage = Stage::Over;
        Poll::Ready(outcome)
    }
}

/// Hands a request that is not sent yet to a task of its own.
fn send<T, O>(stage: Stage<T, O>) -> Stage<T, O>
where
    T: Future<Output = Option<O>> + Send + 'static,
    O: Send + 'static,
{
    let Stage::Unsent { struck, detach } = stage else { return stage };
    let Ok(place) = detach.reserve() else { return Stage::WithCaller { struck } };
    let (sender, reply) = oneshot::channel();
    place.spawn(async move {
        // A caller that has gone wants no reply: then it is dropped here.
        let _ = sender.send(struck.await);
    });
    Stage::Sent { reply }
}

impl<T, O> fmt::Debug for Detached<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Stage::Unsent { .. } => "Detached(unsent)",
            Stage::Sent { .. } => "Detached(sent)",
            Stage::WithCaller { .. } => "Detached(with its caller)",
            Stage::Over => "Detached(over)",
        })
    }
}
