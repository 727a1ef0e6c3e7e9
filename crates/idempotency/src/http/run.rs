//! A request with a key: read, run once or replayed.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body::Body;
use steadfast_core::{Failure, http::IDEMPOTENT_REPLAYED};
use tokio::sync::oneshot;
use tower_service::Service;

use super::{
    body::{RequestBody, WrapBody},
    claim::{HttpClaim, Settled},
    fingerprint::RequestFingerprint,
    options::Options,
    read::{Read, read},
    reply::{self, Early, KeptResponse, ReplyBody, Taken},
};
use crate::{Answer, Claim, Idempotency, Outcome, RecordId, Refused};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What it takes to answer a request with a key. All of it is its own: it goes into a task.
pub(super) struct Keyed<S, F, W> {
    /// Ready for one call.
    pub(super) service: S,
    pub(super) handle: Idempotency,
    pub(super) fingerprint: F,
    pub(super) wrap: W,
    pub(super) options: Arc<Options>,
}

/// What a handler answered.
type Answered<RB, E> = Result<Taken<RB>, E>;

impl<S, F, W> Keyed<S, F, W> {
    /// The body first: nothing is claimed for a request that is not here as a whole.
    // Not an `async fn`: its arguments would be in its future twice.
    #[expect(clippy::manual_async_fn, reason = "its future is moved, and is half as large so")]
    pub(super) fn answer<B, RB>(
        mut self,
        id: RecordId,
        head: Parts,
        body: B,
    ) -> impl Future<Output = Result<Response<ReplyBody<RB>>, S::Error>> + Send
    where
        S: Service<Request<W::Body>, Response = Response<RB>> + Send + 'static,
        S::Error: From<Refused> + Failure + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        RB: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        F: RequestFingerprint + Send,
        W: WrapBody<B, Body: Send + 'static> + Send,
    {
        async move {
            let read = read(body, &head.headers, &self.options).await;
            let whole = match read.map_err(|refused| self.handle.refuse(refused))? {
                Read::Whole(whole) => whole,
                Read::Begun(data, rest) => {
                    let body = self.wrap.wrap(RequestBody::begun(data, rest));
                    let response = self.service.call(Request::from_parts(head, body)).await?;
                    return Ok(response.map(ReplyBody::passed));
                }
            };
            let fingerprint = self.fingerprint.fingerprint(&head, &whole.data);
            let request = Request::from_parts(head, self.wrap.wrap(RequestBody::whole(whole)));
            let (sender, early) = Early::new();
            let (service, options) = (self.service, self.options);
            // In a box: it is moved many times on its way into the task.
            let of = (self.handle.clone(), id.clone());
            let operation = Box::new(Operation { service, request, of, options, early: sender });
            let answer = pin!(self.handle.execute(id, fingerprint, |claim| operation.run(claim)));
            match first(answer, early).await {
                First::Early(response) => Ok(response),
                First::Answer(Ok(Answer::Executed(Ok(Taken::Response(response))))) => Ok(response),
                First::Answer(Ok(Answer::Executed(Err(error)))) => Err(error),
                First::Answer(Ok(Answer::Replayed(reply))) => match KeptResponse::decode(&reply) {
                    Ok(kept) => Ok(replay(kept)),
                    Err(_) => Err(self.handle.refuse(Refused::unreadable()).into()),
                },
                First::Answer(Err(refused)) => Err(refused.into()),
                First::Answer(Ok(Answer::Executed(Ok(Taken::Early(_))))) => {
                    unreachable!(
                        "it was sent before the operation ended, and what is sent comes first"
                    )
                }
            }
        }
    }
}

fn replay<RB>(kept: KeptResponse) -> Response<ReplyBody<RB>> {
    let mut response = kept.into_response();
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    response
}

/// A call of the handler, in the task that holds its key.
struct Operation<S, B, RB> {
    service: S,
    request: Request<B>,
    /// Whose claim it runs under.
    of: (Idempotency, RecordId),
    options: Arc<Options>,
    early: Early<Response<ReplyBody<RB>>>,
}

impl<S, B, RB> Operation<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Failure,
    RB: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// It stays in its box while it runs.
    async fn run(mut self: Box<Self>, claim: Claim) -> (Answered<RB, S::Error>, Outcome) {
        let http_claim = HttpClaim::new(claim.clone(), self.of, Arc::clone(&self.options));
        self.request.extensions_mut().insert(http_claim);
        let mut response = match self.service.call(self.request).await {
            Ok(response) => response,
            Err(error) => {
                let outcome = Outcome::of_failure(&error);
                return (Err(error), outcome);
            }
        };
        if let Some(Settled(record)) = response.extensions_mut().remove() {
            let response = Taken::Response(response.map(ReplyBody::passed));
            return (Ok(response), Outcome::Settled(record));
        }
        if claim.is_completed() {
            // Not the response that stands or falls with the transaction: the store is asked.
            let response = Taken::Response(response.map(ReplyBody::passed));
            return (Ok(response), Outcome::Abandon);
        }
        let (terms, is_transactional) = (&self.options.terms, claim.is_transactional());
        let (taken, outcome) = match reply::begin(response, terms, is_transactional) {
            Ok(reading) => reading.take(claim, self.early).await,
            Err(taken) => taken,
        };
        (Ok(taken), outcome)
    }
}

/// What comes first.
enum First<A, R> {
    Answer(A),
    /// A response whose end is not known yet.
    Early(R),
}

async fn first<A, R>(
    mut answer: Pin<&mut impl Future<Output = A>>,
    mut early: oneshot::Receiver<R>,
) -> First<A, R> {
    let mut may_come_early = true;
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            // Not by a poll, which says "not yet" to a task that has used up its turn.
            return Poll::Ready(match early.try_recv() {
                Ok(response) => First::Early(response),
                Err(_) => First::Answer(answer),
            });
        }
        if may_come_early {
            match ready!(Pin::new(&mut early).poll(cx)) {
                Ok(response) => return Poll::Ready(First::Early(response)),
                // The handler has answered in one piece, or does not run here.
                Err(_) => may_come_early = false,
            }
        }
        Poll::Pending
    })
    .await
}
