//! A request body and what has been read of it, shared by the attempts that send it.
//!
//! One attempt at a time reads: that of the latest generation. It gets what was read before it,
//! then goes on reading, and whatever it reads is kept for the next attempt, up to a limit.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use steadfast_core::parts::Pieces;

use super::error::{BoxError, ReplayError};
use crate::replay::{CannotReplay, Ended};

pub(super) struct Tape<B> {
    source: Source<B>,
    /// The data that was read; nothing once `is_overflowed`.
    kept: Pieces,
    trailers: Option<HeaderMap>,
    limit: usize,
    is_overflowed: bool,
    /// Counts the attempts; a reader of an older one gets no more.
    generation: u32,
    /// The task that the source would wake: it is woken when its attempt is superseded.
    waker: Option<Waker>,
}

enum Source<B> {
    /// There is more to read.
    Open(B),
    /// All was read.
    Ended,
    /// It panicked, and no reader has got an error for it yet.
    Panicked,
    /// It failed: there will be no more of it.
    Failed,
}

/// Where one attempt's reader stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    generation: u32,
    /// How many of the kept pieces it has returned. The current reader has also returned the bytes
    /// that are not in a piece yet.
    pieces: usize,
    has_had_trailers: bool,
}

impl Position {
    pub(super) const START: Self = Self { generation: 0, pieces: 0, has_had_trailers: false };
}

impl<B: Body<Error: Into<BoxError>> + Unpin> Tape<B> {
    pub(super) fn new(source: B, limit: usize) -> Self {
        Self {
            source: Source::Open(source),
            kept: Pieces::default(),
            trailers: None,
            limit,
            is_overflowed: false,
            generation: 0,
            waker: None,
        }
    }

    /// Ends the attempts so far and begins another. Also returns the waker of the attempt before,
    /// to be woken outside the lock.
    pub(super) fn rewind(
        &mut self,
        ended: Ended,
    ) -> Result<(Position, Option<Waker>), CannotReplay> {
        match (&self.source, ended) {
            (Source::Panicked | Source::Failed, _) => return Err(CannotReplay::BodyFailed),
            (Source::Open(_), Ended::Response) => return Err(CannotReplay::Unfinished),
            _ if self.is_overflowed => return Err(CannotReplay::TooLarge),
            _ => {}
        }
        self.kept.seal();
        self.generation += 1;
        Ok((Position { generation: self.generation, ..Position::START }, self.waker.take()))
    }

    pub(super) fn poll_frame(
        &mut self,
        at: &mut Position,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        if at.generation != self.generation {
            return Poll::Ready(Some(Err(ReplayError::Superseded)));
        }
        if let Some(data) = self.kept.sealed().get(at.pieces) {
            at.pieces += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        match &self.source {
            Source::Open(_) => self.poll_source(at, cx),
            Source::Panicked => {
                self.source = Source::Failed;
                Poll::Ready(Some(Err(ReplayError::from_body("the request body panicked"))))
            }
            Source::Failed => Poll::Ready(None),
            Source::Ended if at.has_had_trailers => Poll::Ready(None),
            Source::Ended => {
                at.has_had_trailers = true;
                Poll::Ready(self.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    /// Reads on, and keeps what it reads.
    fn poll_source(
        &mut self,
        at: &mut Position,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let Source::Open(mut source) = mem::replace(&mut self.source, Source::Panicked) else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut source).poll_frame(cx);
        let Poll::Ready(frame) = polled else {
            self.source = Source::Open(source);
            match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        match frame {
            Some(Err(error)) => {
                self.source = Source::Failed;
                Poll::Ready(Some(Err(ReplayError::from_body(error))))
            }
            Some(Ok(frame)) => {
                let ended = source.is_end_stream();
                self.source = if ended { Source::Ended } else { Source::Open(source) };
                Poll::Ready(Some(Ok(self.keep(at, frame))))
            }
            None => {
                self.source = Source::Ended;
                Poll::Ready(None)
            }
        }
    }

    fn keep(&mut self, at: &mut Position, frame: Frame<B::Data>) -> Frame<Bytes> {
        let frame = into_bytes(frame);
        if let Some(trailers) = frame.trailers_ref() {
            // Nothing follows the trailers, whatever the source says of itself.
            self.source = Source::Ended;
            self.trailers = Some(trailers.clone());
            at.has_had_trailers = true;
        } else if let Some(data) =
            frame.data_ref().filter(|data| !data.is_empty() && !self.is_overflowed)
        {
            if data.len() > self.limit - self.kept.bytes() {
                self.is_overflowed = true;
                self.kept = Pieces::default();
            } else {
                self.kept.add(data);
            }
            at.pieces = self.kept.sealed().len();
        }
        frame
    }

    pub(super) fn is_end_stream(&self, at: &Position) -> bool {
        let no_more = match &self.source {
            Source::Open(source) => source.is_end_stream(),
            Source::Ended => self.trailers.is_none() || at.has_had_trailers,
            // It must not look complete.
            Source::Panicked | Source::Failed => false,
        };
        at.generation == self.generation && at.pieces == self.kept.sealed().len() && no_more
    }

    /// What this reader has still to get: what is kept beyond its position, and what the source has
    /// left.
    pub(super) fn size_hint(&self, at: &Position) -> SizeHint {
        let kept: u64 =
            self.kept.sealed().iter().skip(at.pieces).map(|data| data.len() as u64).sum();
        let mut hint = match &self.source {
            Source::Open(source) => source.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
            Source::Panicked | Source::Failed => SizeHint::new(),
        };
        // The upper bound first: it may not fall below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint.set_lower(hint.lower().saturating_add(kept));
        hint
    }
}

/// Copies nothing where the data are `Bytes` already.
pub(super) fn into_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}
