//! Letting a call in, or not.

use std::time::Duration;

use steadfast_core::{HandleName, parts::Lane};

use super::{Guarded, Shared};
use crate::{
    config::Settings,
    error::CircuitOpen,
    outcome::Outcome,
    probes::Decision,
    state::{Cause, State},
    word::Word,
};

/// How a call was let in: the word it saw, whose epoch it speaks for, and when it began.
///
/// If that word is closed the end of the call is counted, if half-open it decides. Otherwise
/// (disabled, or let in by a dry run where it would have been refused) it does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) word: Word,
    started: u64,
}

/// The start of a call whose duration is not asked for.
const NOT_MEASURED: u64 = u64::MAX;

impl Admission {
    /// Of a call that was not let in.
    pub(crate) const NONE: Self =
        Self { word: Word::new(0, State::Disabled, false), started: NOT_MEASURED };

    /// Let in by a dry run where it would have been refused.
    pub(crate) const fn is_would_refuse(self) -> bool {
        self.word.is_dry_run() && matches!(self.word.state(), State::Disabled)
    }

    /// When a call began that a slow-call rule or a probe's limit measures.
    #[inline]
    pub(super) const fn started(self) -> Option<u64> {
        if self.started == NOT_MEASURED { None } else { Some(self.started) }
    }
}

/// How a call was refused. Two words, so that a refusal is not carried through memory until it is
/// asked for as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The nanoseconds after which it makes sense to come back, and the largest number where that
    /// is not known.
    left: u64,
    handle: Option<HandleName>,
}

impl Refused {
    const UNKNOWN: u64 = u64::MAX;

    /// Of a call that was let in.
    pub(crate) const NONE: Self = Self { left: Self::UNKNOWN, handle: None };
}

impl From<Refused> for CircuitOpen {
    fn from(refused: Refused) -> Self {
        let open = match refused.left {
            Refused::UNKNOWN => Self::until_changed(),
            nanos => Self::after(Duration::from_nanos(nanos)),
        };
        open.with_handle(refused.handle)
    }
}

impl Shared {
    #[inline(always)]
    pub(crate) fn admit(&self, lane: &Lane<Self>) -> Result<Admission, Refused> {
        let word = self.word();
        if word.is_closed() {
            return Ok(Admission { word, started: self.started() });
        }
        self.admit_unless_closed(lane, word)
    }

    /// Only a slow-call rule needs to know when a call began.
    #[inline(always)]
    fn started(&self) -> u64 {
        if self.published.slow_after().is_some() { self.now() } else { NOT_MEASURED }
    }

    /// Open is decided here without the lock: it is what a client meets most when it is refused.
    // Out of line, so that `admit` is short enough to be inlined.
    #[cold]
    #[inline(never)]
    fn admit_unless_closed(&self, lane: &Lane<Self>, word: Word) -> Result<Admission, Refused> {
        match word.state() {
            State::Disabled => Ok(Admission { word, started: NOT_MEASURED }),
            // Without a time to come back, the clock need not be read.
            State::ForcedOpen => self.refuse(lane, word, 0),
            State::Open => match self.now() {
                now if now < self.published.open_until() => self.refuse(lane, word, now),
                now => self.admit_under_lock(lane, now),
            },
            State::Closed | State::HalfOpen => self.admit_under_lock(lane, self.now()),
        }
    }

    /// A call that a dry run lets in all the same counts for nothing, whatever the state is.
    fn refuse(&self, lane: &Lane<Self>, word: Word, now: u64) -> Result<Admission, Refused> {
        if word.is_dry_run() {
            let word = Word::new(word.epoch(), State::Disabled, true);
            return Ok(Admission { word, started: NOT_MEASURED });
        }
        self.telemetry.call(Outcome::Refused);
        self.refusals.add(lane.index(), word.state());
        let left = match word.state() {
            State::Open => self.published.open_until().saturating_sub(now),
            _ => Refused::UNKNOWN,
        };
        Err(Refused { left, handle: self.telemetry.handle() })
    }

    fn admit_under_lock(&self, lane: &Lane<Self>, now: u64) -> Result<Admission, Refused> {
        let (word, started) = self.locked(|guarded| {
            self.advance(guarded, now);
            let word = self.word();
            let started = match (word.state(), &mut guarded.round) {
                (State::Closed | State::Disabled, _) => Some(self.started()),
                // The start of a probe is always known: it has a limit.
                (State::HalfOpen, Some(round)) => round.admit(guarded.settings.probes, now),
                _ => None,
            };
            (word, started)
        });
        match started {
            Some(started) => Ok(Admission { word, started }),
            None => self.refuse(lane, word, now),
        }
    }

    /// Makes the transitions that time alone has brought about, as of when it did: a round that was
    /// lost while no call came has been open since then, and may be half-open again. One that was
    /// won while its probes waited for the ends of their answers has been closed.
    pub(super) fn advance(&self, guarded: &mut Guarded, now: u64) {
        let Settings { probes, probe_limit, .. } = guarded.settings;
        // After a change of the rules what was settled before may be enough.
        if let Some(decision) = guarded.round.as_ref().and_then(|round| round.decided(probes)) {
            self.decide(guarded, decision, now);
        }
        let round = guarded.round.as_mut();
        let word = self.word();
        match round.and_then(|round| round.expire(probes, now, probe_limit)) {
            Some((lost_at, Decision::Reopen)) => {
                self.open(guarded, word, lost_at, Cause::ProbesOverdue);
            }
            Some((_, Decision::Close)) => {
                self.close(guarded, word, word.is_dry_run(), Cause::ProbesSucceeded);
            }
            None => {}
        }
        let word = self.word();
        if word.state() == State::Open && now >= self.published.open_until() {
            self.half_open(guarded, word);
        }
    }
}
