//! Requests that can be had a second time by asking them.

use steadfast_core::Attempt;

use crate::{
    idempotency::Idempotency,
    replay::{CannotReplay, Ended, MarkAttempt, Replay, Unmarked},
};

/// Replays requests that are not `Clone` by a function that copies what can be copied:
/// `try_clone` of reqwest's request, of kube's over bytes, of your own.
///
/// `copy` is called once before the first attempt, and once for each further one. A request that it
/// gives no copy of is sent, and not sent again. `idempotency` says what may be executed twice:
/// a closure over the request, [`NotIdempotent`](crate::NotIdempotent) or
/// [`AlwaysIdempotent`](crate::AlwaysIdempotent).
///
/// Look first whether the client repeats by itself, as reqwest and kube do: attempts multiply, and
/// only those of this layer are within its budget.
///
/// ```
/// use std::io;
/// use steadfast_retry::{RetryLayer, replay_by};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// #[derive(Debug)]
/// enum Upload {
///     Bytes(&'static [u8]),
///     Stream,
/// }
///
/// impl Upload {
///     fn try_clone(&self) -> Option<Self> {
///         match self {
///             Self::Bytes(bytes) => Some(Self::Bytes(bytes)),
///             Self::Stream => None,
///         }
///     }
/// }
///
/// # let mut runtime = tokio::runtime::Builder::new_current_thread();
/// # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
/// let replay = replay_by(|upload: &Upload| upload.try_clone(), |_: &Upload| true);
/// let (sender, sent) = std::sync::mpsc::channel();
/// let service = RetryLayer::default().replay(replay).layer(service_fn(move |upload: Upload| {
///     sender.send(upload).unwrap();
///     async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }
/// }));
/// service.clone().oneshot(Upload::Bytes(b"hello")).await.unwrap_err();
/// assert_eq!(sent.try_iter().count(), 3);
/// service.oneshot(Upload::Stream).await.unwrap_err();
/// assert_eq!(sent.try_iter().count(), 1);
/// # });
/// ```
pub const fn replay_by<Req, F, I>(copy: F, idempotency: I) -> ReplayBy<F, I>
where
    F: Fn(&Req) -> Option<Req>,
    I: Idempotency<Req>,
{
    ReplayBy { copy, idempotency, mark: Unmarked }
}

/// Made by [`replay_by`].
#[derive(Clone, Copy, Debug)]
pub struct ReplayBy<F, I, M = Unmarked> {
    copy: F,
    idempotency: I,
    mark: M,
}

impl<F, I, M> ReplayBy<F, I, M> {
    /// Tells requests from the second attempt on which attempt they are.
    pub fn with_mark<M2>(self, mark: M2) -> ReplayBy<F, I, M2> {
        let Self { copy, idempotency, .. } = self;
        ReplayBy { copy, idempotency, mark }
    }
}

impl<Req, F, I, M> Replay<Req> for ReplayBy<F, I, M>
where
    F: Fn(&Req) -> Option<Req>,
    I: Idempotency<Req>,
    M: MarkAttempt<Req>,
{
    type Request = Req;
    type Saved = Option<Req>;

    fn first(&self, request: Req) -> (Req, Option<Req>) {
        let copy = (self.copy)(&request);
        (request, copy)
    }

    fn only(&self, request: Req) -> (Req, Option<Req>) {
        (request, None)
    }

    fn is_idempotent(&self, saved: &Option<Req>) -> bool {
        saved.as_ref().is_some_and(|request| self.idempotency.is_idempotent(request))
    }

    fn again(
        &self,
        saved: &mut Option<Req>,
        attempt: Attempt,
        _: Ended,
    ) -> Result<Req, CannotReplay> {
        let copy = saved.as_ref().and_then(&self.copy);
        let mut request = copy.ok_or(CannotReplay::NotKept)?;
        self.mark.mark(&mut request, attempt);
        Ok(request)
    }
}
