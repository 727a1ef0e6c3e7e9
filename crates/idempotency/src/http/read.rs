//! Reading a request's body before its key is claimed.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::{
    body::Whole,
    options::{OnStream, Options},
};
use crate::Refused;

/// What was read.
pub(super) enum Read<B> {
    Whole(Whole),
    /// The beginning of a stream that is to be passed on, and its rest.
    Begun(Bytes, Pin<Box<B>>),
}

/// Reads `body` to its end, or until it is known to be a stream.
pub(super) async fn read<B>(
    body: B,
    headers: &HeaderMap,
    options: &Options,
) -> Result<Read<B>, Refused>
where
    B: Body<Data = Bytes>,
{
    if !is_grpc(headers) {
        return Ok(Read::Whole(read_whole(pin!(body), options).await?));
    }
    // In a box, so that the rest of a stream can be moved.
    let mut body = Box::pin(body);
    match read_message(body.as_mut(), options).await? {
        Message::Only(whole) => Ok(Read::Whole(whole)),
        Message::First(data) if options.on_stream == OnStream::Pass => Ok(Read::Begun(data, body)),
        Message::First(_) => Err(Refused::streaming()),
    }
}

async fn read_whole<B>(mut body: Pin<&mut B>, options: &Options) -> Result<Whole, Refused>
where
    B: Body<Data = Bytes>,
{
    let mut reading = Reading::of(&*body, options)?;
    loop {
        match reading.next(body.as_mut()).await? {
            Next::Data(data) => reading.gathered.add(data),
            Next::End(trailers) => return Ok(reading.gathered.end(trailers)),
        }
        if body.is_end_stream() {
            return Ok(reading.gathered.end(None));
        }
    }
}

/// The message of a call of gRPC.
enum Message {
    Only(Whole),
    /// There are more.
    First(Bytes),
}

async fn read_message<B>(mut body: Pin<&mut B>, options: &Options) -> Result<Message, Refused>
where
    B: Body<Data = Bytes>,
{
    let mut reading = Reading::of(&*body, options)?;
    loop {
        match reading.next(body.as_mut()).await? {
            Next::Data(data) => {
                let end = reading.gathered.message_end(&data);
                // Before it has come.
                reading.require_room(end.unwrap_or(0))?;
                reading.gathered.add(data);
                if end.is_some_and(|end| reading.gathered.len() as u64 > end) {
                    return Ok(Message::First(reading.gathered.end(None).data));
                }
            }
            Next::End(trailers) => return Ok(Message::Only(reading.gathered.end(trailers))),
        }
        if body.is_end_stream() {
            return Ok(Message::Only(reading.gathered.end(None)));
        }
    }
}

/// A body that is being read.
struct Reading<'a> {
    gathered: Gathered,
    timer: Option<Pin<Box<Sleep>>>,
    options: &'a Options,
}

/// What comes next of a body.
enum Next {
    /// Not empty, and within the limit with all before and what is announced.
    Data(Bytes),
    End(Option<HeaderMap>),
}

impl<'a> Reading<'a> {
    /// # Errors
    /// When the body says beforehand that it is too long.
    fn of<B: Body>(body: &B, options: &'a Options) -> Result<Self, Refused> {
        let reading = Self { gathered: Gathered::default(), timer: None, options };
        reading.require_room(body.size_hint().lower())?;
        Ok(reading)
    }

    async fn next<B>(&mut self, mut body: Pin<&mut B>) -> Result<Next, Refused>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            let (timer, time) = (&mut self.timer, self.options.body_time);
            let data = match poll_fn(|cx| poll_frame(body.as_mut(), timer, time, cx)).await? {
                None => return Ok(Next::End(None)),
                Some(frame) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => return Ok(Next::End(frame.into_trailers().ok())),
                },
            };
            if data.is_empty() {
                // A body of nothing but these would keep the thread.
                tokio::task::yield_now().await;
                continue;
            }
            let length = self.gathered.len().saturating_add(data.len()) as u64;
            self.require_room(length.saturating_add(body.size_hint().lower()))?;
            return Ok(Next::Data(data));
        }
    }

    fn require_room(&self, bytes: u64) -> Result<(), Refused> {
        let is_within = bytes <= self.options.body_limit as u64;
        if is_within { Ok(()) } else { Err(Refused::body_too_large()) }
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

/// `application/grpc` and its kinds, but not `application/grpc-web`, whose calls end.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let value = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    value.split_at_checked(GRPC.len()).is_some_and(|(kind, rest)| {
        kind.eq_ignore_ascii_case(GRPC) && matches!(rest, [] | [b'+' | b';' | b' ', ..])
    })
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
