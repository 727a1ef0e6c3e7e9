//! What happens to a body, and where in it.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use steadfast_core::parts::Alarm;

use super::{BodyCut, BoxError};
use crate::{Delay, Fault, Injection, draw::Stream, struck::Due};

pin_project! {
    /// One fault of one body.
    pub(super) struct Damage {
        kind: Kind,
        // The strike's own, for a stall's length.
        chance: f64,
        // Another, for the place: else the last stalls of bodies would be the longest.
        spot: f64,
        stage: Stage,
        #[pin]
        alarm: Alarm,
        // Until the fault is done.
        injection: Option<Injection>,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Flip,
    Cut,
    Stall(Delay),
}

enum Stage {
    /// `given` bytes have come so far. The place is `None` until a body whose size is not known has
    /// a first piece.
    Seeking { place: Option<Place>, given: u64 },
    /// `rest` waits, from the next poll on.
    Stalling { rest: Bytes, due: Option<Due> },
    /// The body breaks off at the next poll, or at the one after that.
    Cutting { is_flushed: bool },
    /// What there is left passes.
    Over,
}

/// Where in a body: the number of a byte, and of one of its bits.
#[derive(Clone, Copy)]
struct Place {
    byte: u64,
    bit: u8,
}

/// What to do with a frame that has come.
pub(super) enum Taken {
    /// This is the next of the body.
    Give(Option<Frame<Bytes>>),
    /// The damage says what comes next.
    Ask,
}

impl Damage {
    /// Of a body that has `size` bytes, if that is known. `None` if it cannot be done.
    pub(super) fn new(injection: Injection, size: Option<u64>) -> Option<Self> {
        let strike = injection.strike();
        let kind = match strike.fault {
            Fault::BitFlipped => Kind::Flip,
            Fault::BodyCut => Kind::Cut,
            Fault::SlowBody(delay) => Kind::Stall(delay),
            _ => return None,
        };
        if size == Some(0) {
            return None;
        }
        let chance = strike.chance;
        let spot = Stream::new(0, &["place"]).at(chance.to_bits());
        let place = size.map(|size| Place::draw(kind, spot, size));
        let stage = Stage::Seeking { place, given: 0 };
        Some(Self { kind, chance, spot, stage, alarm: Alarm::new(), injection: Some(injection) })
    }

    pub(super) const fn is_cut(&self) -> bool {
        matches!(self.stage, Stage::Cutting { .. })
    }

    /// Whether more is to come, whatever the body says.
    pub(super) const fn holds(&self) -> bool {
        matches!(self.stage, Stage::Cutting { .. } | Stage::Stalling { .. })
    }

    /// What is to come, when the body says `inner`.
    pub(super) fn size_hint(&self, inner: SizeHint) -> SizeHint {
        match &self.stage {
            Stage::Seeking { .. } | Stage::Over => inner,
            Stage::Cutting { .. } => SizeHint::default(),
            Stage::Stalling { rest, .. } => {
                let mut hint = SizeHint::new();
                let more = |size: u64| size.saturating_add(rest.len() as u64);
                hint.set_lower(more(inner.lower()));
                if let Some(upper) = inner.upper() {
                    hint.set_upper(more(upper));
                }
                hint
            }
        }
    }

    /// What comes next, if that is not for the body to say.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        match this.stage {
            Stage::Seeking { .. } | Stage::Over => Poll::Ready(None),
            Stage::Stalling { rest, due } => {
                if let Kind::Stall(delay) = *this.kind {
                    done(this.injection);
                    let due = due.get_or_insert_with(|| Due::after(delay, *this.chance));
                    ready!(due.poll(this.alarm.as_mut(), cx));
                }
                let rest = mem::take(rest);
                *this.stage = Stage::Over;
                Poll::Ready(Some(Ok(Frame::data(rest))))
            }
            // What came before goes out first: a server sends nothing of a body that fails before
            // the server has flushed it.
            Stage::Cutting { is_flushed: is_flushed @ false } => {
                *is_flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::Cutting { is_flushed: true } => {
                *this.stage = Stage::Over;
                done(this.injection);
                Poll::Ready(Some(Err(BodyCut.into())))
            }
        }
    }

    /// The body has failed by itself.
    pub(super) fn give_up(self: Pin<&mut Self>) {
        let this = self.project();
        *this.stage = Stage::Over;
        drop(this.injection.take());
    }

    /// Takes what came of the body; `None` is its end.
    pub(super) fn take(mut self: Pin<&mut Self>, frame: Option<Frame<Bytes>>) -> Taken {
        let this = self.as_mut().project();
        let Stage::Seeking { place, given } = this.stage else { return Taken::Give(frame) };
        let data = match frame.map(Frame::into_data) {
            Some(Ok(data)) if data.is_empty() => return Taken::Give(Some(Frame::data(data))),
            Some(Ok(data)) => data,
            ended => {
                let trailers = ended.and_then(Result::err);
                if matches!(this.kind, Kind::Cut) {
                    *this.stage = Stage::Cutting { is_flushed: false };
                    return Taken::Ask;
                }
                // The place never came.
                self.give_up();
                return Taken::Give(trailers);
            }
        };
        let size = data.len() as u64;
        let draw = || Place::draw(*this.kind, *this.spot, size);
        let place = *place.get_or_insert_with(draw);
        let here = place.byte - *given;
        if here >= size {
            *given += size;
            return Taken::Give(Some(Frame::data(data)));
        }
        // Below the length of a piece that is in memory.
        let here = here as usize;
        let (before, stage) = match this.kind {
            Kind::Flip => {
                let mut bytes = BytesMut::from(data);
                bytes[here] ^= 1 << place.bit;
                done(this.injection);
                (bytes.freeze(), Stage::Over)
            }
            Kind::Cut => (data.slice(..here), Stage::Cutting { is_flushed: false }),
            Kind::Stall(_) => {
                let rest = data.slice(here..);
                (data.slice(..here), Stage::Stalling { rest, due: None })
            }
        };
        *this.stage = stage;
        if before.is_empty() { Taken::Ask } else { Taken::Give(Some(Frame::data(before))) }
    }
}

impl Place {
    /// Over a body, or a piece, of `size` bytes; there is one at least.
    fn draw(kind: Kind, spot: f64, size: u64) -> Self {
        let below = |most: u64| ((spot * most as f64) as u64).min(most.saturating_sub(1));
        match kind {
            Kind::Flip => {
                let bit = below(size.saturating_mul(8));
                Self { byte: bit / 8, bit: (bit % 8) as u8 }
            }
            // Something comes before it, and something after.
            Kind::Cut | Kind::Stall(_) if size > 1 => Self { byte: 1 + below(size - 1), bit: 0 },
            Kind::Cut | Kind::Stall(_) => Self { byte: 0, bit: 0 },
        }
    }
}

fn done(injection: &mut Option<Injection>) {
    if let Some(injection) = injection.take() {
        injection.done();
    }
}
