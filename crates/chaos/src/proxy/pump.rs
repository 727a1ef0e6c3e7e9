//! One direction of a connection.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::BufMut;
use steadfast_core::{TimeSource, parts::lock};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::tcp::{ReadHalf, WriteHalf},
    time::{Sleep, sleep_until},
};

use super::{
    counters::Counters,
    line::Line,
    settings::{Settings, Way},
    watch_settings::Gate,
};
use crate::{Direction, draw::Sequence};

/// Carries the bytes of one direction, and then their end.
///
/// Without faults it is a copy loop: what one read takes is written before the next. Delayed and
/// paced bytes go through a [`Line`].
#[derive(Debug)]
pub(super) struct Pump {
    direction: Direction,
    buffer: usize,
    window: usize,
    way: Way,
    /// What the last read took and no write has had; never while there are bytes in the line.
    chunk: Vec<u8>,
    written: usize,
    line: Line,
    /// Until when a link of limited rate is busy with what this connection has sent last.
    busy_until: Option<Instant>,
    end: Option<StreamEnd>,
    has_ended: bool,
    /// A write has found that the receiver was reset. Nothing is carried any more.
    has_lost_receiver: bool,
    /// The sender was reset, as a write of the other direction has found: its stream ends so.
    has_lost_sender: bool,
    carried: u64,
    chances: Sequence,
    timer: Option<Pin<Box<Sleep>>>,
    counters: Arc<Counters>,
}

/// How a stream ends, and when it did.
#[derive(Clone, Copy, Debug)]
struct StreamEnd {
    left: Instant,
    chance: f64,
    is_reset: bool,
}

/// Why a pump stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The settings are others now.
    Changed,
    /// One end of the connection was reset, or shall be.
    Broken,
}

impl Pump {
    pub(super) fn new(
        direction: Direction,
        (buffer, window): (usize, usize),
        chances: Sequence,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            direction,
            buffer,
            window,
            way: Way::default(),
            chunk: Vec::new(),
            written: 0,
            line: Line::default(),
            busy_until: None,
            end: None,
            has_ended: false,
            has_lost_receiver: false,
            has_lost_sender: false,
            carried: 0,
            chances,
            timer: None,
            counters,
        }
    }

    /// From now on the way is like this.
    pub(super) fn adopt(&mut self, settings: &Settings) {
        let before = std::mem::replace(&mut self.way, settings.way(self.direction).clone());
        let is_same_rate = match (&before.pacer, &self.way.pacer) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !is_same_rate && self.busy_until.take().is_some() {
            // What was to be sent at the rate of before is sent now.
            self.line.hurry(TimeSource::Tokio.now());
        }
    }

    /// Whether its sender has sent all it ever will.
    pub(super) const fn has_heard_all(&self) -> bool {
        self.end.is_some()
    }

    /// Learns from the other direction that the sender was reset, which is passed on as an end of
    /// its stream is: late, and not through a black hole. True if that is news.
    pub(super) fn learn(&mut self, other: &Self) -> bool {
        if self.has_lost_sender || !other.has_lost_receiver {
            return false;
        }
        self.has_lost_sender = true;
        if let Some(end) = &mut self.end {
            end.is_reset = true;
            if self.has_ended {
                end.left = TimeSource::Tokio.now();
            }
            self.has_ended = self.has_lost_receiver;
        }
        true
    }

    /// Carries what can be carried. Ready when the stream has ended and its end is passed on.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        gate: Gate<'_>,
    ) -> Poll<Result<(), Stop>> {
        if self.has_ended {
            let is_reset = self.left() == 0 && !self.way.is_black_hole;
            return Poll::Ready(if is_reset { Err(Stop::Broken) } else { Ok(()) });
        }
        loop {
            let mut wake_at = None;
            let wrote = self.poll_write(cx, to, gate, &mut wake_at)?;
            if self.has_ended {
                return Poll::Ready(Ok(()));
            }
            let read = self.poll_read(cx, from, &mut wake_at)?;
            if wrote.is_pending() && read.is_pending() && self.poll_timer(cx, wake_at).is_pending()
            {
                self.rest();
                return Poll::Pending;
            }
        }
    }

    /// Ready when something was written.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut WriteHalf<'_>,
        gate: Gate<'_>,
        wake_at: &mut Option<Instant>,
    ) -> Poll<Result<(), Stop>> {
        if self.way.is_black_hole {
            return Poll::Pending;
        }
        let left = self.left();
        if left == 0 {
            return Poll::Ready(Err(Stop::Broken));
        }
        if !self.is_due(wake_at) {
            return Poll::Pending;
        }
        let Some(_held) = gate.enter() else { return Poll::Ready(Err(Stop::Changed)) };
        let in_line = self.chunk.is_empty();
        let bytes = if in_line { self.line.first() } else { &self.chunk[self.written..] };
        if bytes.is_empty() {
            return self.poll_end(cx, to);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let written = match Pin::new(to).poll_write(cx, &bytes[..most]) {
            // A reset overtakes what its receiver does not take.
            Poll::Pending if self.has_lost_sender => return Poll::Ready(Err(Stop::Broken)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(written @ 1..)) => written,
            Poll::Ready(_) => return Poll::Ready(self.lose_receiver()),
        };
        self.carried += written as u64;
        self.counters.carried(self.direction, written as u64);
        if in_line {
            self.line.pop(written);
        } else {
            self.written += written;
            if self.written == self.chunk.len() {
                self.chunk.clear();
                self.written = 0;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether there is something to write now.
    fn is_due(&self, wake_at: &mut Option<Instant>) -> bool {
        if !self.chunk.is_empty() {
            return true;
        }
        let takes = |chance| self.way.delay.length(chance);
        let due = match self.end {
            _ if !self.line.is_empty() => self.line.due(takes),
            Some(end) => end.left.checked_add(takes(end.chance)),
            None => None,
        };
        is_past(due, wake_at)
    }

    /// All bytes have arrived, and so does their end.
    fn poll_end(&mut self, cx: &mut Context<'_>, to: &mut WriteHalf<'_>) -> Poll<Result<(), Stop>> {
        if self.end.is_some_and(|end| end.is_reset) {
            return Poll::Ready(Err(Stop::Broken));
        }
        if ready!(Pin::new(to).poll_shutdown(cx)).is_err() {
            return Poll::Ready(self.lose_receiver());
        }
        self.has_ended = true;
        Poll::Ready(Ok(()))
    }

    /// The receiver was reset. The sender hears of it by the other direction, where no fault hides
    /// it; if that end was reset too, there is nothing left to tell.
    fn lose_receiver(&mut self) -> Result<(), Stop> {
        if self.has_lost_sender {
            return Err(Stop::Broken);
        }
        (self.chunk, self.written, self.line) = (Vec::new(), 0, Line::default());
        (self.has_ended, self.has_lost_receiver) = (true, true);
        Ok(())
    }

    /// How many bytes more it may pass on before the connection is reset.
    fn left(&self) -> u64 {
        self.way.reset_after.map_or(u64::MAX, |most| most.saturating_sub(self.carried))
    }

    /// Ready when something was read.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        wake_at: &mut Option<Instant>,
    ) -> Poll<Result<(), Stop>> {
        let is_full = !self.chunk.is_empty() || self.line.len() >= self.window;
        if self.end.is_some() || self.way.is_black_hole || is_full {
            return Poll::Pending;
        }
        if self.busy_until.is_some() && !is_past(self.busy_until, wake_at) {
            return Poll::Pending;
        }
        // Before there is a buffer: an idle connection has none.
        let read = match ready!(from.as_ref().poll_read_ready(cx)) {
            Ok(()) => ready!(self.poll_fill(cx, from)),
            Err(error) => Err(error),
        };
        if let Ok(1..) = read {
            self.send();
        } else {
            let (left, chance) = (TimeSource::Tokio.now(), self.chances.uniform());
            self.end =
                Some(StreamEnd { left, chance, is_reset: read.is_err() || self.has_lost_sender });
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
    ) -> Poll<io::Result<usize>> {
        let turn = self.way.pacer.as_ref().map_or(usize::MAX, |pacer| lock(pacer).turn());
        let room = if self.is_plain() { self.buffer } else { self.window - self.line.len() };
        self.chunk.reserve_exact(self.buffer);
        let mut into = (&mut self.chunk).limit(self.buffer.min(turn).min(room));
        pin!(from.read_buf(&mut into)).poll(cx)
    }

    /// What was read leaves: at once, or by the line.
    fn send(&mut self) {
        if self.is_plain() {
            return;
        }
        let now = TimeSource::Tokio.now();
        let pacer = self.way.pacer.as_ref();
        self.busy_until = pacer.map(|pacer| lock(pacer).send(self.chunk.len(), now));
        let chance = self.chances.uniform();
        self.line.push(&self.chunk, self.busy_until.unwrap_or(now), chance);
        self.chunk.clear();
    }

    /// Whether bytes go from the read to the write without a wait, and none before them wait.
    fn is_plain(&self) -> bool {
        self.way.is_plain() && self.line.is_empty()
    }

    /// Ready when it is time to look again.
    fn poll_timer(&mut self, cx: &mut Context<'_>, wake_at: Option<Instant>) -> Poll<()> {
        let Some(wake_at) = wake_at.map(Into::into) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(wake_at)));
        if timer.deadline() != wake_at {
            timer.as_mut().reset(wake_at);
        }
        timer.as_mut().poll(cx)
    }

    /// A connection that waits for bytes holds no buffer for them.
    fn rest(&mut self) {
        if self.chunk.is_empty() {
            self.chunk = Vec::new();
        }
    }
}

/// If it is not, it is time to look again then.
fn is_past(at: Option<Instant>, wake_at: &mut Option<Instant>) -> bool {
    let Some(at) = at else { return false };
    if at <= TimeSource::Tokio.now() {
        return true;
    }
    *wake_at = Some(wake_at.map_or(at, |before| before.min(at)));
    false
}
