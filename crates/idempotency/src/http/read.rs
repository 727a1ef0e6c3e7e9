//! Reading a request's body before its key is claimed.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::body::Whole;
use crate::Refused;

/// How much is read, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// In bytes.
    pub(super) most: usize,
    pub(super) time: Duration,
    /// Whether the body is one of gRPC: then it is read no further than it is one message.
    pub(super) is_grpc: bool,
}

/// What was read.
pub(super) enum Read {
    Whole(Whole),
    /// The beginning of a stream.
    Begun(Bytes),
}

/// Reads `body` to its end, or until it is known to be a stream.
pub(super) async fn read<B>(mut body: Pin<&mut B>, limits: Limits) -> Result<Read, Refused>
where
    B: Body<Data = Bytes>,
{
    let too_large = |bytes: u64| bytes > limits.most as u64;
    if too_large(body.size_hint().lower()) {
        return Err(Refused::body_too_large());
    }
    let (mut gathered, mut timer) = (Gathered::default(), None);
    loop {
        let frame = poll_fn(|cx| poll_frame(body.as_mut(), &mut timer, limits.time, cx)).await?;
        let data = match frame {
            None => return Ok(Read::Whole(gathered.end(None))),
            Some(frame) => match frame.into_data() {
                Ok(data) => data,
                Err(frame) => return Ok(Read::Whole(gathered.end(frame.into_trailers().ok()))),
            },
        };
        if data.is_empty() {
            // A body of nothing but these would keep the thread.
            tokio::task::yield_now().await;
            continue;
        }
        let rest = body.size_hint().lower();
        let length = gathered.len().saturating_add(data.len());
        let message = gathered.message_end(&data).filter(|_| limits.is_grpc);
        let is_stream = message.is_some_and(|end| length as u64 > end);
        if too_large(message.unwrap_or(0).max((length as u64).saturating_add(rest))) {
            return Err(Refused::body_too_large());
        }
        gathered.add(data);
        if is_stream {
            return Ok(Read::Begun(gathered.end(None).data));
        }
        if body.is_end_stream() {
            return Ok(Read::Whole(gathered.end(None)));
        }
    }
}

/// The next frame. The time is counted from where the body first makes the caller wait.
fn poll_frame<B>(
    body: Pin<&mut B>,
    timer: &mut Option<Pin<Box<Sleep>>>,
    time: Duration,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Frame<Bytes>>, Refused>>
where
    B: Body<Data = Bytes>,
{
    // What it failed with is dropped here: it need not be `Send`.
    let polled = body.poll_frame(cx).map(Option::transpose).map_err(|_| Refused::body_failed());
    let is_empty = matches!(&polled, Poll::Ready(Ok(Some(frame)))
        if frame.data_ref().is_some_and(Bytes::is_empty));
    if polled.is_ready() && !is_empty {
        return polled;
    }
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(time)));
    match timer.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Err(Refused::body_timeout())),
        Poll::Pending => polled,
    }
}

/// The data so far: one frame as it is, more of them in one piece.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: BytesMut,
}

/// What stands before a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

impl Gathered {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    /// The room grows with what has come, not with what is announced.
    fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(self.first.len() + data.len());
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&data);
    }

    /// Where the first message of gRPC ends, if that is known with `next`.
    fn message_end(&self, next: &Bytes) -> Option<u64> {
        let mut bytes = self.first.iter().chain(&self.all).chain(next).take(PREFIX);
        let _is_compressed = bytes.next()?;
        let mut length = [0; 4];
        for byte in &mut length {
            *byte = *bytes.next()?;
        }
        Some(PREFIX as u64 + u64::from(u32::from_be_bytes(length)))
    }

    fn end(self, trailers: Option<HeaderMap>) -> Whole {
        let data = if self.all.is_empty() { self.first } else { self.all.freeze() };
        Whole { data, trailers }
    }
}
