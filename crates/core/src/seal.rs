//! Where a service has begun to work.
//!
//! "Not executed" is a promise about the way *to* a service. When the service itself calls others
//! and passes on what they failed with, that promise is still in the error, and about another
//! request: the order was placed, only its confirmation was refused by an open circuit. Repeating
//! the order would place it twice. A seal says: from here on, it may have been executed.

use std::{
    error::Error as StdError,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Grounds, Refusal, RefusalKind, cause};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Seals every error of a service: the request may have been executed, whatever the error's own
/// chain says.
///
/// One thing passes: that the time of the caller is over
/// ([`RefusalKind::DeadlineExceeded`]). A service that calls others with the deadline of its own
/// request fails when that is over, and is not to blame for it. A deadline that the service itself
/// sets for its calls cannot be told from its caller's: a service that is to answer for its own
/// must turn that error into one of its own.
///
/// For the service that does the work, innermost, when it calls other services behind layers of
/// their own. Clients need no seal: their errors *are* about the way to the service. A handler that
/// answers HTTP passes refusals on in its responses as well; those are sealed by
/// `http::SealResponseLayer`.
///
/// ```
/// use steadfast_core::{Classify, DefaultClassifier, Executed, Grounds};
/// use steadfast_core::{RefusalKind, SealLayer, Verdict};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // Places an order, then meets the open circuit of the mailer.
/// let open = Grounds::not_executed(RefusalKind::Unavailable);
/// let handler = service_fn(|()| async { Err::<(), BoxError>(open.into()) });
/// let error = SealLayer::new().layer(handler).oneshot(()).await.unwrap_err();
/// let verdict = DefaultClassifier.classify(Err::<&(), _>(&error));
/// assert_eq!(verdict, Verdict::transient(Executed::Maybe));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SealLayer(());

impl SealLayer {
    /// The layer.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for SealLayer {
    type Service = Seal<S>;

    fn layer(&self, inner: S) -> Seal<S> {
        Seal { inner }
    }
}

/// The service of [`SealLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Seal<S> {
    inner: S,
}

impl<S> Seal<S> {
    /// The inner service.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service itself.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for Seal<S>
where
    S: Service<Req>,
    S::Error: Into<BoxError> + From<Sealed>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SealFuture<S::Future>;

    /// Readiness comes before the request: its errors are not sealed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        SealFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`Seal`].
    #[derive(Debug)]
    pub struct SealFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, T, E> Future for SealFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError> + From<Sealed>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(
            ready!(self.project().inner.poll(cx)).map_err(|error| Sealed::new(error).into()),
        )
    }
}

/// An error of a service that had begun to work. Its source is the error itself.
#[derive(Debug, thiserror::Error)]
#[error("the service failed at its work")]
#[non_exhaustive]
pub struct Sealed {
    /// What it failed with.
    pub source: BoxError,
}

impl Sealed {
    /// Seals an error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self { source: error.into() }
    }
}

impl Refusal for Sealed {
    fn grounds(&self) -> Grounds {
        let source: &(dyn StdError + 'static) = &*self.source;
        let is_callers = cause::<Grounds>(source).is_some_and(Grounds::is_callers_deadline);
        Grounds::maybe_executed(if is_callers {
            RefusalKind::DeadlineExceeded
        } else {
            RefusalKind::Unavailable
        })
    }
}
