//! A handler's response: what it means for its key, and what is kept of it.
//!
//! [`begin`] looks at its head, and [`Reading::take`] reads it. A body whose length is known is
//! read whole, and so is one that is there at once: the reply is recorded before the caller sees
//! it. Any other goes to the caller as it comes, through a copy: the task reads at the handler's
//! pace, whether or not the caller does, and the caller gets the end once the reply is recorded.
//! What is longer than the limit is the caller's alone, whole, and its duplicates are refused.

mod body;
mod headers;
mod kept;
mod meaning;
mod tape;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE, response::Parts};
use http_body::Body;
use steadfast_core::{http::BodyFailed, parts::Pieces};
use tokio::sync::oneshot;

pub use self::{
    body::ReplyBody,
    headers::KeptHeaders,
    kept::{KeptResponse, KeptResponseError},
    meaning::{Meaning, Reply, ReplyPolicy},
};
use self::{
    body::Then,
    kept::Recording,
    tape::{Gate, Writer},
};
use crate::{
    Claim, Outcome,
    task::{discard, send},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How responses are judged and kept.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) policy: ReplyPolicy,
    pub(crate) headers: KeptHeaders,
    /// Longer bodies are not kept.
    pub(crate) most_bytes: usize,
}

/// What the caller is given when the store has been told of the reply.
#[allow(clippy::large_enum_variant, reason = "moved once or twice, and a box costs more")]
pub(crate) enum Taken<B> {
    /// The response.
    Response(Response<ReplyBody<B>>),
    /// Nothing more: it has the response already. **It must be dropped**, or the body does not end.
    Early(#[allow(dead_code, reason = "its drop is what counts")] Gate<B>),
}

/// The way to a caller that gets its response before the operation has ended, or learns by its drop
/// that it does not. The caller may have gone, and its waker may panic: neither is the handler's.
pub(crate) struct Early<R>(Option<oneshot::Sender<R>>);

impl<R> Early<R> {
    pub(crate) fn new() -> (Self, oneshot::Receiver<R>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    fn send(mut self, response: R) {
        if let Some(sender) = self.0.take() {
            send(sender, response);
        }
    }
}

impl<R> Drop for Early<R> {
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

/// How the reading of a body ended.
enum Read {
    Whole(Option<HeaderMap>),
    Failed(BodyFailed),
    /// It is longer than the limit, and goes on.
    TooLong,
}

/// Frames that are read in one go, before other tasks of the thread have their turn.
const BURST: usize = 32;

/// Begins to read a response, unless its head says what it means for the key.
#[expect(clippy::result_large_err, reason = "moved once, and neither of the two is rare")]
pub(crate) fn begin<B>(
    response: Response<B>,
    terms: &Terms,
    is_transactional: bool,
) -> Result<Reading<'_, B>, (Taken<B>, Outcome)>
where
    B: Body<Data = Bytes>,
{
    let (head, body) = response.into_parts();
    let hint = body.size_hint();
    let by_head = terms.policy.of_head(&head, is_transactional);
    let outcome = match by_head {
        Some(Meaning::Release) => Some(Outcome::Release),
        Some(Meaning::Abandon) => Some(Outcome::Abandon),
        _ if is_endless(&head) || !is_within(hint.lower(), terms) => Some(Outcome::NotKept),
        // `None`: its end says what it means.
        Some(Meaning::Store) | None => None,
    };
    if let Some(outcome) = outcome {
        let response = Response::from_parts(head, ReplyBody::passed(body));
        return Err((Taken::Response(response), outcome));
    }
    // What is announced was found to be within the limit.
    let length = usize::try_from(hint.lower()).unwrap_or(0);
    let begun = Begun { record: Recording::of(&head, &terms.headers, length), by_head, terms };
    Ok(Reading { begun, head, body: Box::pin(body), is_known: hint.exact().is_some() })
}

/// A response whose body is read next.
pub(crate) struct Reading<'a, B> {
    begun: Begun<'a>,
    head: Parts,
    body: Pin<Box<B>>,
    /// Whether its length is.
    is_known: bool,
}

impl<B> Reading<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Reads it, and says what it means for the key. A response that the caller does not have to
    /// wait for is sent to `early`.
    ///
    /// Dropped in the middle, the caller of an early response gets an error in place of its rest.
    // Not an `async fn`: its arguments would be in its future twice.
    #[expect(clippy::manual_async_fn, reason = "its future is half as large so")]
    pub(crate) fn take(
        mut self,
        claim: Claim,
        early: Early<Response<ReplyBody<B>>>,
    ) -> impl Future<Output = (Taken<B>, Outcome)> {
        async move {
            let mut gathered = Gathered::default();
            let (body, terms, is_known) = (&mut self.body, self.begun.terms, self.is_known);
            let read = poll_fn(|cx| {
                let mut keep = |data| is_within(gathered.add(data) as u64, terms);
                match poll_read(body.as_mut(), cx, &mut keep) {
                    Poll::Ready(read) => Poll::Ready(Some(read)),
                    Poll::Pending if is_known => Poll::Pending,
                    Poll::Pending => Poll::Ready(None),
                }
            });
            let Some(read) = read.await else {
                let writer = Writer::new(gathered.into_pieces(), claim);
                return Box::pin(copy(self, writer, early)).await;
            };
            let Self { begun, head, body, .. } = self;
            let (then, outcome) = match read {
                Read::Whole(trailers) => {
                    let outcome = begun.end(&head, gathered.seal(), trailers.as_ref());
                    (Then::Trailers(trailers), outcome)
                }
                Read::Failed(error) => (Then::Error(error), Outcome::Abandon),
                Read::TooLong => (Then::Rest(body), Outcome::NotKept),
            };
            let response = Response::from_parts(head, gathered.into_body(then));
            (Taken::Response(response), outcome)
        }
    }
}

/// What was read of a body: one frame as it is, for it goes on to the caller as it came; more of
/// them in pieces.
#[derive(Default)]
struct Gathered {
    only: Option<Bytes>,
    pieces: Pieces,
}

impl Gathered {
    /// Adds data, and says how many bytes there are.
    fn add(&mut self, data: Bytes) -> usize {
        if self.pieces.bytes() == 0 && self.only.is_none() {
            let bytes = data.len();
            self.only = Some(data).filter(|data| !data.is_empty());
            return bytes;
        }
        if let Some(first) = self.only.take() {
            self.pieces.add(&first);
        }
        self.pieces.add(&data);
        self.pieces.bytes()
    }

    /// All of the data, of a body that has ended.
    fn seal(&mut self) -> &[Bytes] {
        match &self.only {
            Some(only) => std::slice::from_ref(only),
            None => {
                self.pieces.seal();
                self.pieces.sealed()
            }
        }
    }

    fn into_pieces(mut self) -> Pieces {
        if let Some(only) = self.only {
            self.pieces.add(&only);
        }
        self.pieces
    }

    fn into_body<B>(self, then: Then<B>) -> ReplyBody<B> {
        match self.only {
            Some(only) => ReplyBody::begun(only, then),
            None => ReplyBody::gathered(self.pieces, then),
        }
    }
}

/// Reads a response as a whole, however long it takes, and says what is kept of it: `None` of one
/// that is too long.
#[cfg(feature = "postgres")]
pub(crate) async fn keep<B>(
    response: Response<B>,
    terms: &Terms,
) -> Result<(Response<ReplyBody<B>>, Option<Bytes>), BodyFailed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let record = Recording::of(&head, &terms.headers, 0);
    let (mut body, mut gathered) = (Box::pin(body), Gathered::default());
    let mut keep = |data| is_within(gathered.add(data) as u64, terms);
    let (then, record) = match poll_fn(|cx| poll_read(body.as_mut(), cx, &mut keep)).await {
        Read::Whole(trailers) => {
            let record = record.end(gathered.seal(), trailers.as_ref(), &terms.headers);
            (Then::Trailers(trailers), record)
        }
        Read::Failed(error) => return Err(error),
        Read::TooLong => (Then::Rest(body), None),
    };
    Ok((Response::from_parts(head, gathered.into_body(then)), record))
}

/// The same of a response that is here as a whole.
#[cfg(feature = "sqlite")]
pub(crate) fn keep_whole(
    response: Response<Bytes>,
    terms: &Terms,
) -> (Response<Bytes>, Option<Bytes>) {
    let (head, body) = response.into_parts();
    let is_kept = is_within(body.len() as u64, terms);
    let record = is_kept.then(|| Recording::of(&head, &terms.headers, body.len()));
    let record =
        record.and_then(|record| record.end(std::slice::from_ref(&body), None, &terms.headers));
    (Response::from_parts(head, body), record)
}

/// Gives the caller the response at once, with a body that reads from a copy.
async fn copy<B>(
    reading: Reading<'_, B>,
    writer: Writer<B>,
    early: Early<Response<ReplyBody<B>>>,
) -> (Taken<B>, Outcome)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let Reading { begun, head, mut body, .. } = reading;
    let response = Response::from_parts(head.clone(), ReplyBody::taped(writer.read()));
    early.send(response);
    let mut keep = |data: Bytes| is_within(writer.add(&data) as u64, begun.terms);
    let read = poll_fn(|cx| poll_read(body.as_mut(), cx, &mut keep)).await;
    let (gate, outcome) = match read {
        Read::Whole(trailers) => {
            // Before the end is written: a policy that panics leaves the reply without one.
            let outcome = begun.end(&head, writer.written().sealed(), trailers.as_ref());
            (writer.end(trailers), outcome)
        }
        Read::Failed(error) => (writer.fail(error), Outcome::Abandon),
        Read::TooLong => (writer.hand_over(body), Outcome::NotKept),
    };
    (Taken::Early(gate), outcome)
}

/// A reply that is being read.
struct Begun<'a> {
    record: Recording,
    by_head: Option<Meaning>,
    terms: &'a Terms,
}

impl Begun<'_> {
    /// What it means now that it was read whole.
    fn end(self, head: &Parts, data: &[Bytes], trailers: Option<&HeaderMap>) -> Outcome {
        let Self { record, by_head, terms } = self;
        let of_whole = || terms.policy.of_whole(head, trailers, !data.is_empty());
        match by_head.unwrap_or_else(of_whole) {
            Meaning::Release => Outcome::Release,
            Meaning::Abandon => Outcome::Abandon,
            Meaning::Store => {
                record.end(data, trailers, &terms.headers).map_or(Outcome::NotKept, Outcome::Store)
            }
        }
    }
}

/// Reads on. `keep` says whether what it has been given is still within the limit.
fn poll_read<B>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
    keep: &mut impl FnMut(Bytes) -> bool,
) -> Poll<Read>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    for _ in 0..BURST {
        let frame = match ready!(body.as_mut().poll_frame(cx)) {
            None => return Poll::Ready(Read::Whole(None)),
            Some(Err(error)) => return Poll::Ready(Read::Failed(BodyFailed::new(error))),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                if !keep(data) {
                    return Poll::Ready(Read::TooLong);
                }
                if body.is_end_stream() {
                    return Poll::Ready(Read::Whole(None));
                }
            }
            // Nothing follows the trailers, whatever the body says of itself. Frames of other kinds
            // say nothing.
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return Poll::Ready(Read::Whole(Some(trailers)));
                }
            }
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn is_within(bytes: u64, terms: &Terms) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| bytes <= terms.most_bytes)
}

/// An event stream, or another protocol on the same connection.
fn is_endless(head: &Parts) -> bool {
    let is_event_stream = |value: &HeaderValue| {
        let name = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    };
    head.status.is_informational() || head.headers.get(CONTENT_TYPE).is_some_and(is_event_stream)
}

#[cfg(test)]
mod tests;
