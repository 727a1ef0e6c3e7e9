//! The futures: of the service, and of the handle without tower.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use steadfast_core::{Classify, parts::Lane};
use tower_service::Service;

use crate::{
    error::CircuitOpen,
    permit::Permit,
    shared::{Refused, Shared},
    until::{AtHead, Until},
};

pin_project! {
    /// The future of [`Breaker`](crate::Breaker).
    ///
    /// Dropping it cancels the call. If the inner future panics, the call has failed.
    // Flat, and no enum of unlike variants: the compiler keeps the fields in registers.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C, U = AtHead> {
        // `None` when the call was refused.
        #[pin]
        inner: Option<F>,
        permit: Permit,
        refused: Refused,
        classifier: C,
        until: PhantomData<U>,
    }
}

impl<F, C, U> ResponseFuture<F, C, U> {
    /// Calls `service` if the circuit of `lane` lets the request in.
    #[inline(always)]
    pub(crate) fn call<S, Req>(
        lane: &Arc<Lane<Shared>>,
        service: &mut S,
        request: Req,
        classifier: C,
    ) -> Self
    where
        S: Service<Req, Future = F>,
    {
        match Permit::admit(lane) {
            Ok(mut permit) => {
                let inner = Some(permit.run(|| service.call(request)));
                Self { inner, permit, refused: Refused::NONE, classifier, until: PhantomData }
            }
            Err(refused) => Self {
                inner: None,
                permit: Permit::settled(),
                refused,
                classifier,
                until: PhantomData,
            },
        }
    }
}

impl<F, C, U, Res, Err> Future for ResponseFuture<F, C, U>
where
    F: Future<Output = Result<Res, Err>>,
    C: Classify<Res, Err>,
    U: Until<Res, C>,
    Err: From<CircuitOpen>,
{
    type Output = Result<U::Out, Err>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => this.permit.poll::<U, _, _, _, _>(inner, this.classifier, cx),
            None => Poll::Ready(Err(refusal(*this.refused))),
        }
    }
}

#[cold]
#[inline(never)]
fn refusal<E: From<CircuitOpen>>(refused: Refused) -> E {
    CircuitOpen::from(refused).into()
}

pin_project! {
    /// The future of [`Circuit::run`](crate::Circuit::run) and
    /// [`Circuit::run_judged`](crate::Circuit::run_judged).
    ///
    /// It owns its way to the circuit, and so may be spawned. Dropping it cancels the call. If the
    /// inner future panics, the call has failed.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F, C> {
        #[pin]
        inner: F,
        // Until the call is let in.
        lane: Option<Arc<Lane<Shared>>>,
        permit: Permit,
        classifier: C,
    }
}

impl<F, C> Run<F, C> {
    pub(crate) const fn new(lane: Arc<Lane<Shared>>, inner: F, classifier: C) -> Self {
        Self { inner, lane: Some(lane), permit: Permit::settled(), classifier }
    }
}

impl<F, C, T, E> Future for Run<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    E: From<CircuitOpen>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(lane) = this.lane {
            match Permit::admit(lane) {
                Ok(permit) => *this.permit = permit,
                Err(refused) => return Poll::Ready(Err(refusal(refused))),
            }
            *this.lane = None;
        }
        this.permit.poll::<AtHead, _, _, _, _>(this.inner, this.classifier, cx)
    }
}
