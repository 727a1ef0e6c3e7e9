//! The holder's side of a lease: what it may believe, and until when.
//!
//! Three rules carry the promise. **A reply counts from its own send**: the store granted the time
//! after the request had left, so time that is counted from before that ends first; counted from
//! the reply it would end later by as much as the reply took. **The deadline never moves back**:
//! the answer to an old request may come after the answer to a newer one, and says less. **The end
//! is final**: where a holder has once acted on the loss of its lease, no late answer makes it a
//! holder again.
//!
//! A renewal whose outcome is not known changes nothing at all: the deadline that the last answer
//! gave is still good.

use std::time::Duration;

use crate::{
    FencingToken,
    terms::{Margin, Pace},
};

mod word;

pub(crate) use self::word::{End, Word};

/// Why a lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// Its deadline passed and no renewal had been answered: the store is away, or this process
    /// was.
    Unanswered,
    /// Its deadline passed and no renewal was asked for: it is renewed by hand, or was held for as
    /// long as it may be.
    NotRenewed,
    /// The store says that another holds it.
    Taken,
    /// The store says that it is not held: it has expired there, an operator has ended it, or the
    /// store has forgotten it.
    Revoked,
}

/// What a lease is worth at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It is held.
    Granted,
    /// It is held, and the renewal that was due has not been answered: a good time to stop
    /// beginning things.
    AtRisk,
    /// It is lost, for good.
    Lost(Loss),
    /// Its holder gave it up.
    Released,
}

impl Status {
    /// Whether the lease is held, at risk or not.
    #[must_use]
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Granted | Self::AtRisk)
    }
}

/// A lease as its holder sees it: a state machine without a clock. Moments are times since any one
/// moment of the holder's clock, which must run through suspend.
///
/// ```
/// use std::time::Duration;
///
/// use steadfast_lease::{FencingToken, Holder, Loss, Margin, Status};
///
/// let second = Duration::from_secs(1);
/// let token = FencingToken::try_from(7_u64)?;
/// // Asked for at 100 s, answered at 101 s: ten seconds from the question on, less the margin.
/// let held = Holder::granted(token, 10 * second, 100 * second, Margin::new());
/// let mut held = held.at(101 * second);
/// assert_eq!(held.deadline(), Some(110 * second - Duration::from_millis(102)));
///
/// // Asked at 103 s, and answered too late.
/// held.renewed(10 * second, 103 * second, 112 * second);
/// assert_eq!(held.status(112 * second), Status::Lost(Loss::Unanswered));
/// # Ok::<_, steadfast_core::FencingTokenError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    token: FencingToken,
    word: Word,
    /// As it was granted last.
    ttl: Duration,
    margin: Margin,
    is_renewed: bool,
}

impl Holder {
    /// The holder of a grant of `ttl` that was asked for at `sent`. It may be over before its
    /// answer came: look at [`at`](Self::at) the time of that.
    #[must_use]
    pub fn granted(token: FencingToken, ttl: Duration, sent: Duration, margin: Margin) -> Self {
        let word = Word::until(deadline(ttl, sent, margin));
        Self { token, word, ttl, margin, is_renewed: true }
    }

    /// The same holder, which asks for no renewal by itself: its loss is then
    /// [`NotRenewed`](Loss::NotRenewed).
    #[must_use]
    pub const fn not_renewed(self) -> Self {
        Self { is_renewed: false, ..self }
    }

    /// The same holder, after it has looked at the clock: what has ended by then has ended for
    /// good.
    #[must_use]
    pub fn at(self, now: Duration) -> Self {
        Self { word: self.word.at(nanos(now), self.overdue()), ..self }
    }

    /// Takes in that a renewal asked for at `sent` was granted for `ttl`; the answer came at `now`.
    /// Says whether the lease is held.
    pub fn renewed(&mut self, ttl: Duration, sent: Duration, now: Duration) -> bool {
        *self = self.at(now);
        let later = self.word.moved_to(deadline(ttl, sent, self.margin));
        if later != self.word {
            (self.word, self.ttl) = (later, ttl);
        }
        self.status(now).is_held()
    }

    /// Takes in that the store says that the lease is not this holder's. That is final at once.
    pub fn refused(&mut self, loss: Loss, now: Duration) {
        self.word = self.at(now).word.ended(End::Lost(loss));
    }

    /// Gives the lease up. Says whether it was held until now.
    pub fn release(&mut self, now: Duration) -> bool {
        let held = self.at(now);
        self.word = held.word.ended(End::Released);
        held.word.deadline().is_some()
    }

    /// The token that came with the grant.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.token
    }

    /// Until when the lease is valid: at that moment it is not. `None` after its end.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.word.deadline().map(Duration::from_nanos)
    }

    /// How long the lease is valid; zero if it is not.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> Duration {
        self.deadline().unwrap_or(Duration::ZERO).saturating_sub(now)
    }

    /// What the lease is worth.
    #[must_use]
    pub fn status(&self, now: Duration) -> Status {
        self.word.status(nanos(now), self.ttl, self.margin, self.overdue())
    }

    const fn overdue(&self) -> Loss {
        if self.is_renewed { Loss::Unanswered } else { Loss::NotRenewed }
    }
}

/// Of a grant of `ttl` that was asked for at `sent`, in nanoseconds.
pub(crate) fn deadline(ttl: Duration, sent: Duration, margin: Margin) -> u64 {
    nanos(sent.saturating_add(margin.validity(ttl)))
}

/// A moment of a clock that began at zero, as its nanoseconds: 584 years at most.
pub(crate) fn nanos(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

/// How a lease that is held until `deadline` is doing.
fn held(now: u64, deadline: u64, ttl: Duration, margin: Margin) -> Status {
    let remaining = Duration::from_nanos(deadline.saturating_sub(now));
    let elapsed = margin.validity(ttl).saturating_sub(remaining);
    if elapsed >= Pace::of(ttl).at_risk_after() { Status::AtRisk } else { Status::Granted }
}

#[cfg(test)]
mod tests;
