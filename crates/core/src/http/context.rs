//! What an HTTP request says of itself.

use http::Request;

use crate::{Attempt, Deadline, RequestContext};

/// Reads [`Deadline`] and [`Attempt`] from the request's extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpContext;

impl<B> RequestContext<Request<B>> for HttpContext {
    #[inline]
    fn deadline(&self, request: &Request<B>) -> Option<Deadline> {
        request.extensions().get().copied()
    }

    #[inline]
    fn attempt(&self, request: &Request<B>) -> Attempt {
        request.extensions().get().copied().unwrap_or_default()
    }
}
