//! The copy of a body whose end is not known: one task writes it, and the caller reads from it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use steadfast_core::{
    http::BodyFailed,
    parts::{Pieces, PiecesRead, Waiter, Waiters, lock},
};

use crate::Claim;

/// Shared by the task that reads the handler's body, and the body that the caller reads. It holds
/// no more than the limit of a reply and one frame, however slowly the caller reads.
struct Tape<B> {
    /// Nothing foreign runs under it: the body is only moved.
    written: Mutex<Written<B>>,
    waiters: Waiters,
}

struct Written<B> {
    pieces: Pieces,
    end: End<B>,
}

enum End<B> {
    /// More may come.
    Open,
    /// Nothing more comes. The reader learns it once the reply is recorded.
    Unrecorded(Option<HeaderMap>),
    Recorded(Option<HeaderMap>),
    Failed(BodyFailed),
    /// It is longer than what is kept: the reader goes on with the body itself.
    Rest(Pin<Box<B>>),
    /// The reader has taken the end.
    Taken,
}

/// What the reader gets.
pub(super) enum Step<B> {
    Data(Bytes),
    End(Option<HeaderMap>),
    Failed(BodyFailed),
    Rest(Pin<Box<B>>),
}

/// The side of the task. Dropped before the end, it fails the reader.
pub(super) struct Writer<B> {
    tape: Arc<Tape<B>>,
    claim: Claim,
}

/// The side of the caller.
pub(super) struct Reader<B> {
    tape: Arc<Tape<B>>,
    at: PiecesRead,
    waiter: Waiter,
}

/// Lets the reader see the end of a reply that was read whole when it is dropped: once the store
/// was told of the reply. One that the store refused has no good end.
pub(crate) struct Gate<B> {
    tape: Arc<Tape<B>>,
    claim: Claim,
}

/// Why a reply has no end.
#[derive(Debug, thiserror::Error)]
enum CutOff {
    /// Its handler panicked, or the server was shut down.
    #[error("the reply was cut off")]
    Ended,
    #[error("the reply does not count: that of another run of this request does")]
    Lost,
}

impl<B> Tape<B> {
    fn change<T>(&self, change: impl FnOnce(&mut Written<B>) -> T) -> T {
        let changed = change(&mut lock(&self.written));
        // Dropped, they wake: a waker that panics must not end the task.
        drop(self.waiters.take());
        changed
    }
}

impl<B> Writer<B> {
    pub(super) fn new(pieces: Pieces, claim: Claim) -> Self {
        let written = Mutex::new(Written { pieces, end: End::Open });
        Self { tape: Arc::new(Tape { written, waiters: Waiters::new() }), claim }
    }

    /// The reader. There is only one.
    pub(super) fn read(&self) -> Reader<B> {
        let (tape, waiter) = (Arc::clone(&self.tape), self.tape.waiters.join());
        Reader { tape, at: PiecesRead::default(), waiter }
    }

    /// Adds data, and says how many bytes there are.
    pub(super) fn add(&self, data: &Bytes) -> usize {
        self.tape.change(|written| {
            written.pieces.add(data);
            written.pieces.bytes()
        })
    }

    /// What was written so far.
    pub(super) fn written(&self) -> Pieces {
        let mut written = lock(&self.tape.written);
        written.pieces.seal();
        written.pieces.clone()
    }

    /// All was read. The reader learns it when the gate is dropped.
    pub(super) fn end(self, trailers: Option<HeaderMap>) -> Gate<B> {
        lock(&self.tape.written).end = End::Unrecorded(trailers);
        self.gate()
    }

    pub(super) fn fail(self, error: BodyFailed) -> Gate<B> {
        self.tape.change(|written| written.end = End::Failed(error));
        self.gate()
    }

    /// Gives the body to the reader. It is dropped if there is none.
    pub(super) fn hand_over(self, body: Pin<Box<B>>) -> Gate<B> {
        self.tape.change(|written| written.end = End::Rest(body));
        self.gate()
    }

    fn gate(&self) -> Gate<B> {
        Gate { tape: Arc::clone(&self.tape), claim: self.claim.clone() }
    }
}

impl<B> Drop for Writer<B> {
    fn drop(&mut self) {
        self.tape.change(|written| {
            if matches!(written.end, End::Open) {
                written.end = End::Failed(BodyFailed::new(CutOff::Ended));
            }
        });
    }
}

impl<B> Drop for Gate<B> {
    fn drop(&mut self) {
        let is_lost = self.claim.hold.is_refused();
        self.tape.change(|written| match &mut written.end {
            End::Unrecorded(_) if is_lost => {
                written.end = End::Failed(BodyFailed::new(CutOff::Lost));
            }
            End::Unrecorded(trailers) => written.end = End::Recorded(trailers.take()),
            _ => {}
        });
    }
}

impl<B> Reader<B> {
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Step<B>> {
        let Self { tape, at, waiter } = self;
        waiter.poll(cx, || lock(&tape.written).next(at))
    }

    /// How many bytes there are to read, and whether more may come.
    pub(super) fn left(&self) -> (usize, bool) {
        let written = lock(&self.tape.written);
        let is_open = !matches!(written.end, End::Recorded(_));
        (written.pieces.bytes() - self.at.bytes(), is_open)
    }

    /// Whether there is nothing left, not even trailers.
    pub(super) fn is_at_end(&self) -> bool {
        let written = lock(&self.tape.written);
        let is_end = matches!(written.end, End::Recorded(None));
        is_end && written.pieces.bytes() == self.at.bytes()
    }
}

impl<B> Written<B> {
    fn next(&mut self, at: &mut PiecesRead) -> Option<Step<B>> {
        if let Some(data) = self.pieces.next(at) {
            return Some(Step::Data(data));
        }
        match std::mem::replace(&mut self.end, End::Taken) {
            end @ (End::Open | End::Unrecorded(_)) => {
                self.end = end;
                None
            }
            End::Recorded(trailers) => Some(Step::End(trailers)),
            End::Failed(error) => Some(Step::Failed(error)),
            End::Rest(body) => Some(Step::Rest(body)),
            // The reader leaves the tape at its end.
            End::Taken => Some(Step::End(None)),
        }
    }
}
