//! One delivery of a request.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// One delivery of a request to a service.
    #[project = DeliveryProjection]
    pub(crate) enum Delivery<S, Req, F> {
        // Not delivered: the instance is made ready first.
        Waiting { service: S, request: Option<Req> },
        Called {
            #[pin]
            future: F,
        },
        // Nothing is delivered, or what was is dropped.
        Over,
    }
}

impl<S, Req> Delivery<S, Req, S::Future>
where
    S: Service<Req>,
{
    pub(crate) const fn waiting(service: S, request: Req) -> Self {
        Self::Waiting { service, request: Some(request) }
    }

    pub(crate) const fn called(future: S::Future) -> Self {
        Self::Called { future }
    }

    /// Delivers the request, once the service is ready for it.
    pub(crate) fn poll_delivered(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        let DeliveryProjection::Waiting { service, request } = self.as_mut().project() else {
            return Poll::Ready(Ok(()));
        };
        ready!(service.poll_ready(cx))?;
        let request = request.take().expect("it leaves this state as it is taken");
        let future = service.call(request);
        self.set(Self::Called { future });
        Poll::Ready(Ok(()))
    }

    /// Delivers the request and drives it to its end. The future stays until it is set to `Over`.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        ready!(self.as_mut().poll_delivered(cx))?;
        match self.project() {
            DeliveryProjection::Called { future } => future.poll(cx),
            // It is not polled again.
            DeliveryProjection::Waiting { .. } | DeliveryProjection::Over => Poll::Pending,
        }
    }
}
