//! A request with a key: read, run once or replayed.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE, request::Parts};
use http_body::Body;
use steadfast_core::{Failure, http::IDEMPOTENT_REPLAYED};
use tokio::sync::oneshot;
use tower_service::Service;

use super::{
    body::{RequestBody, WrapBody},
    fingerprint::RequestFingerprint,
    options::{OnStream, Options},
    read::{Limits, Read, read},
    whole::{self, ReplyBody},
};
use crate::{Answer, Claim, Idempotency, Outcome, RecordId, Refused};

/// What it takes to answer a request with a key. All of it is its own: it goes into a task.
pub(super) struct Keyed<S, F, W> {
    /// Ready for one call.
    pub(super) service: S,
    pub(super) handle: Idempotency,
    pub(super) fingerprint: F,
    pub(super) wrap: W,
    pub(super) options: Arc<Options>,
}

/// What a handler answered; none where its caller has it already.
type Answered<RB, E> = Option<Result<Response<ReplyBody<RB>>, E>>;

impl<S, F, W> Keyed<S, F, W> {
    /// The body first: nothing is claimed for a request that is not here as a whole.
    pub(super) async fn answer<B, RB>(
        mut self,
        id: RecordId,
        head: Parts,
        body: B,
    ) -> Result<Response<ReplyBody<RB>>, S::Error>
    where
        S: Service<Request<W::Body>, Response = Response<RB>> + Send + 'static,
        S::Error: From<Refused> + Failure + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        RB: Body<Data = Bytes> + Send + 'static,
        F: RequestFingerprint,
        W: WrapBody<B, Body: Send + 'static>,
    {
        let Options { body_limit: most, body_time: time, on_stream, .. } = *self.options;
        let mut body = Box::pin(body);
        let limits = Limits { most, time, is_grpc: is_grpc(&head.headers) };
        let whole = match read(body.as_mut(), limits).await {
            Ok(Read::Whole(whole)) => whole,
            Ok(Read::Begun(data)) if on_stream == OnStream::Pass => {
                let body = self.wrap.wrap(RequestBody::begun(data, body));
                let response = self.service.call(Request::from_parts(head, body)).await?;
                return Ok(response.map(ReplyBody::passed));
            }
            Ok(Read::Begun(_)) => return Err(self.handle.refuse(Refused::streaming()).into()),
            Err(refused) => return Err(self.handle.refuse(refused).into()),
        };
        drop(body);
        let fingerprint = self.fingerprint.fingerprint(&head, &whole.data);
        let request = Request::from_parts(head, self.wrap.wrap(RequestBody::whole(whole)));
        let (service, early) = (self.service, oneshot::channel());
        let answer =
            self.handle.execute(id, fingerprint, |claim| operate(service, request, claim, early.0));
        match first(answer, early.1).await? {
            Answer::Executed(response) => response,
            Answer::Replayed(reply) => match whole::decode(reply) {
                Some(mut response) => {
                    let replayed = HeaderValue::from_static("true");
                    response.headers_mut().insert(IDEMPOTENT_REPLAYED, replayed);
                    Ok(response)
                }
                None => Err(self.handle.refuse(Refused::unreadable()).into()),
            },
        }
    }
}

/// Calls the handler, in the task that holds its key.
async fn operate<S, B, RB>(
    mut service: S,
    mut request: Request<B>,
    claim: Claim,
    _early: oneshot::Sender<Response<ReplyBody<RB>>>,
) -> (Answered<RB, S::Error>, Outcome)
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Failure,
    RB: Body<Data = Bytes>,
{
    request.extensions_mut().insert(claim);
    match service.call(request).await {
        Ok(response) => {
            let (response, outcome) = whole::take(response).await;
            (Some(Ok(response)), outcome)
        }
        Err(error) => {
            let outcome = Outcome::of_failure(&error);
            (Some(Err(error)), outcome)
        }
    }
}

/// What comes first: the answer, or the head of a response whose end is not known.
async fn first<RB, E>(
    answer: impl Future<Output = Result<Answer<Answered<RB, E>>, Refused>>,
    mut early: oneshot::Receiver<Response<ReplyBody<RB>>>,
) -> Result<Answer<Result<Response<ReplyBody<RB>>, E>>, Refused> {
    let mut answer = pin!(answer);
    let mut may_come_early = true;
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(match answer {
                Ok(Answer::Executed(Some(response))) => Ok(Answer::Executed(response)),
                Ok(Answer::Replayed(reply)) => Ok(Answer::Replayed(reply)),
                Err(refused) => Err(refused),
                // It was sent before the answer was.
                Ok(Answer::Executed(None)) => match early.try_recv() {
                    Ok(response) => Ok(Answer::Executed(Ok(response))),
                    Err(_) => Err(Refused::abandoned()),
                },
            });
        }
        if may_come_early {
            match std::pin::Pin::new(&mut early).poll(cx) {
                Poll::Ready(Ok(response)) => {
                    return Poll::Ready(Ok(Answer::Executed(Ok(response))));
                }
                Poll::Ready(Err(_)) => may_come_early = false,
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// `application/grpc` and its kinds, but not `application/grpc-web`, whose calls end.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let value = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    value.split_at_checked(GRPC.len()).is_some_and(|(kind, rest)| {
        kind.eq_ignore_ascii_case(GRPC) && matches!(rest, [] | [b'+' | b';' | b' ', ..])
    })
}
