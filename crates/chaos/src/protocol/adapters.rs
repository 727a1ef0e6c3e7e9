//! Protocols that know one thing more than another.

use std::fmt;

use super::Protocol;
use crate::{FaultKind, Injected, Injection, Strike};

/// A protocol whose requests are cloned for the fault `Duplicated`. Made by
/// [`FaultLayer::cloning`](crate::FaultLayer::cloning).
#[derive(Clone, Copy, Debug, Default)]
pub struct Cloning<P>(pub(crate) P);

/// A protocol that knows other valid answers. Made by
/// [`FaultLayer::byzantine`](crate::FaultLayer::byzantine).
#[derive(Clone, Copy)]
pub struct Byzantine<P, F> {
    pub(crate) inner: P,
    pub(crate) other: F,
}

/// A protocol that answers an `Error` fault as the user says. Made by
/// [`FaultLayer::answer_with`](crate::FaultLayer::answer_with).
#[derive(Clone, Copy)]
pub struct AnswerWith<P, F> {
    pub(crate) inner: P,
    pub(crate) answer: F,
}

impl<P, Req, Res, Err> Protocol<Req, Res, Err> for Cloning<P>
where
    P: Protocol<Req, Res, Err>,
    Req: Clone,
{
    type Response = P::Response;

    #[inline]
    fn pass(response: Res) -> P::Response {
        P::pass(response)
    }

    fn fail(&self, injected: Injected, strike: &Strike) -> Result<P::Response, Err> {
        self.0.fail(injected, strike)
    }

    fn duplicate(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    fn spoil(&self, response: Res, injection: Injection) -> P::Response {
        self.0.spoil(response, injection)
    }
}

impl<P, F, Req, Res, Err> Protocol<Req, Res, Err> for Byzantine<P, F>
where
    P: Protocol<Req, Res, Err>,
    F: Fn(Res, &Strike) -> Res,
{
    type Response = P::Response;

    #[inline]
    fn pass(response: Res) -> P::Response {
        P::pass(response)
    }

    fn fail(&self, injected: Injected, strike: &Strike) -> Result<P::Response, Err> {
        self.inner.fail(injected, strike)
    }

    fn duplicate(&self, request: &Req) -> Option<Req> {
        self.inner.duplicate(request)
    }

    fn spoil(&self, response: Res, injection: Injection) -> P::Response {
        if injection.strike().fault.kind() != FaultKind::Byzantine {
            return self.inner.spoil(response, injection);
        }
        let other = (self.other)(response, injection.strike());
        injection.done();
        P::pass(other)
    }
}

impl<P, F, Req, Res, Err> Protocol<Req, Res, Err> for AnswerWith<P, F>
where
    P: Protocol<Req, Res, Err>,
    F: Fn(&Strike) -> Result<Res, Err>,
{
    type Response = P::Response;

    #[inline]
    fn pass(response: Res) -> P::Response {
        P::pass(response)
    }

    fn fail(&self, injected: Injected, strike: &Strike) -> Result<P::Response, Err> {
        match injected.kind {
            FaultKind::Error => (self.answer)(strike).map(P::pass),
            _ => self.inner.fail(injected, strike),
        }
    }

    fn duplicate(&self, request: &Req) -> Option<Req> {
        self.inner.duplicate(request)
    }

    fn spoil(&self, response: Res, injection: Injection) -> P::Response {
        self.inner.spoil(response, injection)
    }
}

impl<P: fmt::Debug, F> fmt::Debug for Byzantine<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Byzantine").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<P: fmt::Debug, F> fmt::Debug for AnswerWith<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerWith").field("inner", &self.inner).finish_non_exhaustive()
    }
}
