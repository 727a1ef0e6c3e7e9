//! Letting a call in, or not.

use std::time::Duration;

use super::{Guarded, NOT_MEASURED, Shared};
use crate::{
    error::CircuitOpen,
    report::CallOutcome,
    state::{Cause, State},
    word::Word,
};

/// How a call was let in: the word it saw, whose epoch it speaks for, and when it began.
#[derive(Clone, Copy)]
pub(crate) struct Admission {
    word: Word,
    started: u64,
}

impl Admission {
    /// Of a call that was not let in.
    pub(crate) const NONE: Self = Self { word: Word(0), started: NOT_MEASURED };

    /// While closed the outcome is counted, while half-open it decides. In any other state (disabled, or let in by a dry run that
    /// would have refused it) it does not matter.
    #[inline]
    pub(super) const fn state(self) -> State {
        self.word.state()
    }

    /// Let in by a dry run where it would have been refused.
    #[inline]
    pub(crate) const fn is_would_refuse(self) -> bool {
        self.word.is_dry_run() && matches!(self.word.state(), State::Disabled)
    }

    #[inline]
    pub(super) const fn word(self) -> Word {
        self.word
    }

    #[inline]
    pub(super) const fn epoch(self) -> u64 {
        self.word.epoch()
    }

    #[inline]
    pub(super) const fn started(self) -> u64 {
        self.started
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in epoch {}", self.state(), self.epoch())
    }
}

/// How a call was refused: the nanoseconds after which it makes sense to come back. One word, so that a refusal is not carried
/// through memory until somebody asks for it as an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(u64);

impl Refused {
    /// Nobody knows when.
    pub(crate) const UNTOLD: Self = Self(u64::MAX);
}

impl From<Refused> for CircuitOpen {
    #[inline]
    fn from(refused: Refused) -> Self {
        Self::new((refused.0 != Refused::UNTOLD.0).then(|| Duration::from_nanos(refused.0)))
    }
}

impl Shared {
    #[inline(always)]
    pub(crate) fn admit(&self) -> Result<Admission, Refused> {
        let word = self.word();
        if word.is_closed() {
            return Ok(Admission { word, started: self.started() });
        }
        self.admit_unless_closed(word)
    }

    /// Open is decided here without the lock: it is what a client meets most when it is refused.
    ///
    /// Not inlined, so that [`admit`](Self::admit) is short enough to be.
    #[cold]
    #[inline(never)]
    fn admit_unless_closed(&self, word: Word) -> Result<Admission, Refused> {
        let refusal = match word.state() {
            State::Disabled => return Ok(Admission { word, started: NOT_MEASURED }),
            State::ForcedOpen => Refused::UNTOLD,
            State::Open => {
                let now = self.now();
                match self.open_until().checked_sub(now) {
                    None | Some(0) => return self.admit_under_lock(now),
                    Some(left) => Refused(left),
                }
            }
            State::Closed | State::HalfOpen => return self.admit_under_lock(self.now()),
        };
        self.refuse(word, refusal)
    }

    fn refuse(&self, word: Word, refusal: Refused) -> Result<Admission, Refused> {
        if word.is_dry_run() {
            return Ok(Admission { word: uncounted(word), started: NOT_MEASURED });
        }
        self.report.call(CallOutcome::Refused);
        Err(refusal)
    }

    fn admit_under_lock(&self, now: u64) -> Result<Admission, Refused> {
        let (word, admission) = self.locked(|guarded| {
            self.advance(guarded, now);
            (self.word(), self.admit_guarded(guarded, now))
        });
        match admission {
            Some(admission) => Ok(admission),
            None if word.state() == State::Open => self.refuse(word, Refused(self.open_until().saturating_sub(now))),
            None => self.refuse(word, Refused::UNTOLD),
        }
    }

    /// Makes the transitions that time alone has brought about.
    pub(super) fn advance(&self, guarded: &mut Guarded, now: u64) {
        let word = self.word();
        if word.state() == State::Open && now >= self.open_until() {
            self.half_open(guarded, word);
        } else if guarded.round.as_ref().is_some_and(|round| round.is_overdue(now, self.settings.probe_limit)) {
            self.open(guarded, word, now, Cause::ProbesOverdue);
        }
    }

    fn admit_guarded(&self, guarded: &mut Guarded, now: u64) -> Option<Admission> {
        let word = self.word();
        match (word.state(), &mut guarded.round) {
            (State::Closed | State::Disabled, _) => Some(Admission { word, started: self.started() }),
            // The time of a probe is always known: it has a limit.
            (State::HalfOpen, Some(round)) => {
                round.admit(self.settings.probes, now).then_some(Admission { word, started: now })
            }
            _ => None,
        }
    }
}

/// A call that a dry run lets in where it would have been refused speaks for nothing, whatever the state is.
const fn uncounted(word: Word) -> Word {
    Word::new(word.epoch(), State::Disabled, true)
}
