//! Having a request a second time.

use steadfast_core::Attempt;

use crate::{
    budget::Budget,
    idempotency::{Idempotency, NotIdempotent},
};

/// Keeps what it takes to send a request again.
///
/// [`CloneReplay`] does it for requests that are `Clone`, `HttpReplay` for HTTP requests and
/// bodies.
pub trait Replay<Req> {
    /// What the inner service is called with.
    type Request;
    /// What is kept until the outcome is known.
    type Saved;

    /// Whether `budget` has counted this request already, for a retry layer further out that shares
    /// it: then it is not counted again. Says of it that it has been counted now.
    ///
    /// HTTP requests carry it in their extensions. By default nothing is known, and each layer
    /// counts the request.
    #[inline]
    fn is_counted(&self, request: &mut Req, budget: &Budget) -> bool {
        let _ = (request, budget);
        false
    }

    /// Prepares the first attempt, and keeps what further ones need. On the way of every request.
    fn first(&self, request: Req) -> (Self::Request, Self::Saved);

    /// Prepares an attempt that no other will follow, because the layer makes but one. Nothing
    /// needs to be kept; what dear copies [`first`](Self::first) makes can be saved here.
    #[inline]
    fn only(&self, request: Req) -> (Self::Request, Self::Saved) {
        self.first(request)
    }

    /// Whether the request may be executed twice. Asked after an attempt that may have been
    /// executed.
    fn is_idempotent(&self, saved: &Self::Saved) -> bool;

    /// Prepares the attempt with the number `attempt`, 2 or more. The attempts before it are over,
    /// and whatever still holds their requests is to get no more of them.
    ///
    /// # Errors
    /// When it cannot be sent again. The caller then gets the failure of the attempt before.
    fn again(
        &self,
        saved: &mut Self::Saved,
        attempt: Attempt,
        ended: Ended,
    ) -> Result<Self::Request, CannotReplay>;
}

/// How the attempt before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a response.
    Response,
    /// With an error.
    Error,
}

/// Why a request cannot be sent again, though it failed in a way that would allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CannotReplay {
    /// More of the body was sent than is kept.
    #[error("the request body is larger than the replay limit")]
    TooLarge,
    /// The body itself failed: a further attempt would have no more of it.
    #[error("the request body failed")]
    BodyFailed,
    /// The service answered before it had the whole body: it may still be reading.
    #[error("the response came before the request body was finished")]
    Unfinished,
    /// The request was not kept.
    #[error("the request was not kept")]
    NotKept,
}

/// Replays a request by cloning it: once before the first attempt, and once for each further one.
///
/// By default no request is idempotent, and only failures that certainly were not executed are sent
/// again; and requests do not say which attempt they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneReplay<I = NotIdempotent, M = Unmarked> {
    idempotency: I,
    mark: M,
}

impl<I> CloneReplay<I> {
    /// Replays by cloning; `idempotency` says what may be executed twice.
    #[must_use]
    pub const fn new(idempotency: I) -> Self {
        Self { idempotency, mark: Unmarked }
    }
}

impl<I, M> CloneReplay<I, M> {
    /// Tells requests from the second attempt on which attempt they are.
    pub fn with_mark<M2>(self, mark: M2) -> CloneReplay<I, M2> {
        CloneReplay { idempotency: self.idempotency, mark }
    }

    pub(crate) const fn idempotency(&self) -> &I {
        &self.idempotency
    }

    pub(crate) fn with_idempotency<I2>(self, idempotency: I2) -> CloneReplay<I2, M> {
        CloneReplay { idempotency, mark: self.mark }
    }
}

impl<Req, I, M> Replay<Req> for CloneReplay<I, M>
where
    Req: Clone,
    I: Idempotency<Req>,
    M: MarkAttempt<Req>,
{
    type Request = Req;
    type Saved = Req;

    #[inline]
    fn first(&self, request: Req) -> (Req, Req) {
        (request.clone(), request)
    }

    fn is_idempotent(&self, saved: &Req) -> bool {
        self.idempotency.is_idempotent(saved)
    }

    fn again(&self, saved: &mut Req, attempt: Attempt, _: Ended) -> Result<Req, CannotReplay> {
        let mut request = saved.clone();
        self.mark.mark(&mut request, attempt);
        Ok(request)
    }
}

/// Tells a request which attempt it is. Closures `Fn(&mut Req, Attempt)` do so too.
///
/// Inner layers read it through their `RequestContext`: an adaptive timeout, for one, takes no
/// sample of a retransmission, whose answer may be the first one's (Karn's rule). The first attempt
/// is not marked, so that the mark of a retry layer further out stays.
pub trait MarkAttempt<Req> {
    /// Marks `request` as the attempt with the number `attempt`, 2 or more.
    fn mark(&self, request: &mut Req, attempt: Attempt);
}

impl<Req, F: Fn(&mut Req, Attempt)> MarkAttempt<Req> for F {
    fn mark(&self, request: &mut Req, attempt: Attempt) {
        self(request, attempt);
    }
}

/// Requests do not say which attempt they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmarked;

impl<Req> MarkAttempt<Req> for Unmarked {
    fn mark(&self, _: &mut Req, _: Attempt) {}
}
