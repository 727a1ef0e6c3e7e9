//! A request that was passed on, or was not.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::StampRefused;

pin_project! {
    /// The inner future, or the refusal in its place.
    #[project = AdmissionProjection]
    #[derive(Debug)]
    pub(crate) enum Admission<F> {
        Called { #[pin] inner: F },
        Refused { refused: StampRefused },
    }
}

impl<F, T, E> Future for Admission<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<StampRefused>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AdmissionProjection::Called { inner } => inner.poll(cx),
            AdmissionProjection::Refused { refused } => Poll::Ready(Err((*refused).into())),
        }
    }
}
