//! What becomes of one key: a state machine that reads no clock and draws no numbers.
//!
//! ```text
//!                 release (attempt 1), forget, expiry
//!    ┌───────────────────────────────────────────────────────────┐
//!    ▼      claim                          complete              │
//!  absent ────────▶ in flight ──────────────────────────▶ done ──┤
//!                    │  ▲  ▲ renew                         ▲     │
//!            abandon │  │  └ claim again by its token      │     │
//!     the lease ends │  │ take over, attempt + 1           │     │
//!                    ▼  │                         complete │     │
//!                 abandoned ───────────────────────────────┴─────┘
//! ```
//!
//! *Abandoned* means that the operation may have been executed and that its outcome is not known:
//! its owner said so, or its owner has let the lease end and may be dead. Nothing heals that from
//! outside. A claim is refused then, or takes the key over and is told that it is not the first.
//!
//! **Every operation may be repeated with its token**, for its answer may have been lost: a claim
//! that is claimed again is the same claim, a completion that is repeated is the same completion.
//! An operation with any other token changes nothing.
//!
//! **A record outlives its lease**, by the retention. If both ended together, a key whose owner
//! died would be free: for another payload, and for a second run that is told that it is the first.
//!
//! **A release frees a key only on the first attempt.** It says that *this* attempt was not
//! executed. After a takeover the attempt before may have been, so the record falls back to
//! abandoned, and keeps its fingerprint and its count.

use std::{num::NonZeroU32, time::Duration};

use bytes::Bytes;

use crate::{ClaimToken, Fingerprint};

mod debug;

/// What is done with a key whose operation may have been executed, and whose outcome is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnAbandoned {
    /// A claim is refused, until the record expires or an operator forgets it. The default: a
    /// second run could be a second charge.
    #[default]
    Refuse,
    /// A claim with the same fingerprint takes the key over once the lease has ended. The operation
    /// sees an attempt above 1, and must look for what the earlier ones have done.
    Takeover,
}

/// What a caller asks for with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimTerms {
    /// The caller's token: new for each claim, the same when a claim is repeated.
    pub token: ClaimToken,
    /// What the request asks for.
    pub fingerprint: Fingerprint,
    /// How long the claim holds unless it is renewed.
    pub lease: Duration,
    /// How long the record stays after the lease.
    pub retention: Duration,
    /// What is done if the key is abandoned.
    pub on_abandoned: OnAbandoned,
}

/// The answer to a claim. `Debug` shows no reply.
#[derive(Clone, PartialEq, Eq)]
pub enum ClaimReply {
    /// The key is the caller's, by this claim or by the same one before.
    Claimed {
        /// 1 for the first run under this key; more after a takeover.
        attempt: NonZeroU32,
    },
    /// The key is another's, whose operation may be under way.
    InFlight {
        /// What is left of the lease.
        left: Duration,
    },
    /// The operation is done.
    Done {
        /// The reply, as it was given with the completion.
        reply: Bytes,
    },
    /// The operation may have been executed, its outcome is not known, and the caller would not
    /// take over.
    Abandoned,
    /// The key was claimed for another payload. Checked before all else.
    Mismatch,
}

/// The answer to what only the owner of a claim may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Change {
    /// The record is as the caller asked, by this operation or by the same one before.
    Applied,
    /// The record is not in flight under this token any more, and nothing was changed: another has
    /// taken it over, it has expired, it was forgotten, or it is done.
    Lost,
}

/// The record of one key, as a store keeps it. Times are counted on the store's own clock, from an
/// instant of its choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the first claim asked for.
    pub fingerprint: Fingerprint,
    /// Whose record it is: the token of the claim that holds it, or held it last.
    pub token: ClaimToken,
    /// How many claims have held it.
    pub attempt: NonZeroU32,
    /// When it was first claimed.
    pub claimed_at: Duration,
    /// When it is as if there were no record. Later than the end of the lease.
    pub expires_at: Duration,
    /// How far the operation has come.
    pub state: State,
}

/// How far an operation has come. `Debug` shows no reply.
#[derive(Clone, PartialEq, Eq)]
pub enum State {
    /// Its owner runs it. Once the lease has ended it counts as abandoned; an owner that is late
    /// can still renew or complete it, until another takes over.
    InFlight {
        /// When the lease ends.
        lease_until: Duration,
    },
    /// Its owner does not know whether it was executed.
    Abandoned {
        /// When it may be taken over: what was begun may still be under way.
        lease_until: Duration,
    },
    /// Its reply is known.
    Done {
        /// The reply.
        reply: Bytes,
    },
}

/// A record as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// How far the operation has come.
    pub state: ViewState,
    /// How many claims have held the key.
    pub attempt: NonZeroU32,
    /// What the first claim asked for.
    pub fingerprint: Fingerprint,
    /// How long ago the key was first claimed.
    pub age: Duration,
    /// What is left until the record expires.
    pub expires_in: Duration,
}

/// How far an operation has come, as an operator sees it. `Debug` shows no reply.
#[derive(Clone, PartialEq, Eq)]
pub enum ViewState {
    /// Its owner runs it.
    InFlight {
        /// What is left of the lease.
        left: Duration,
    },
    /// It may have been executed, and its outcome is not known: its owner said so, or its lease has
    /// ended.
    Abandoned,
    /// Its reply is known.
    Done {
        /// The reply, as a store keeps it.
        reply: Bytes,
    },
}

/// The place of one key in a store: a record, or none.
///
/// Stores that decide in Rust call it under whatever makes them alone with the record; stores
/// that decide in SQL or Lua do the same in their own words, and are held to it by the contract
/// suite. `now` is the store's time and does not go back.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
///
/// use steadfast_idempotency::{
///     Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, OnAbandoned, Slot,
/// };
///
/// let second = Duration::from_secs;
/// let terms = |token| ClaimTerms {
///     token: ClaimToken::from_bytes([token; 16]),
///     fingerprint: Fingerprint::of(["POST", "/pay", "amount=5"]),
///     lease: second(30),
///     retention: second(86_400),
///     on_abandoned: OnAbandoned::Takeover,
/// };
/// let (mut slot, one, two) = (Slot::default(), terms(1), terms(2));
/// let claimed = |attempt| ClaimReply::Claimed { attempt: NonZeroU32::new(attempt).unwrap() };
/// assert_eq!(slot.claim(&one, second(0)), claimed(1));
/// assert_eq!(slot.claim(&two, second(10)), ClaimReply::InFlight { left: second(20) });
///
/// // The first owner stands still past its lease, and comes back too late.
/// assert_eq!(slot.claim(&two, second(30)), claimed(2));
/// let reply = |text: &'static str| text.as_bytes().into();
/// assert_eq!(slot.complete(one.token, reply("late"), one.retention, second(31)), Change::Lost);
/// assert_eq!(slot.complete(two.token, reply("ok"), two.retention, second(32)), Change::Applied);
/// assert_eq!(slot.claim(&terms(3), second(33)), ClaimReply::Done { reply: reply("ok") });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot(pub Option<Record>);

impl Slot {
    /// Claims the key, or says why it cannot be had.
    ///
    /// Repeated with its token it is the same claim, with its lease from now on.
    pub fn claim(&mut self, terms: &ClaimTerms, now: Duration) -> ClaimReply {
        let lease_until = now.saturating_add(terms.lease);
        let expires_at = lease_until.saturating_add(terms.retention);
        let Some(record) = self.live(now) else {
            let attempt = NonZeroU32::MIN;
            self.0 = Some(Record {
                fingerprint: terms.fingerprint,
                token: terms.token,
                attempt,
                claimed_at: now,
                expires_at,
                state: State::InFlight { lease_until },
            });
            return ClaimReply::Claimed { attempt };
        };
        if record.fingerprint != terms.fingerprint {
            return ClaimReply::Mismatch;
        }
        let is_own = record.token == terms.token;
        match &mut record.state {
            State::Done { reply } => return ClaimReply::Done { reply: reply.clone() },
            State::InFlight { .. } if is_own => {
                record.hold_until(lease_until, expires_at);
                return ClaimReply::Claimed { attempt: record.attempt };
            }
            // A claim that arrives after its own end.
            State::Abandoned { .. } if is_own => return ClaimReply::Abandoned,
            State::Abandoned { .. } if terms.on_abandoned == OnAbandoned::Refuse => {
                return ClaimReply::Abandoned;
            }
            State::InFlight { lease_until } | State::Abandoned { lease_until } => {
                let left = lease_until.saturating_sub(now);
                if !left.is_zero() {
                    return ClaimReply::InFlight { left };
                }
            }
        }
        match terms.on_abandoned {
            OnAbandoned::Refuse => ClaimReply::Abandoned,
            OnAbandoned::Takeover => {
                record.token = terms.token;
                record.attempt = record.attempt.saturating_add(1);
                record.state = State::InFlight { lease_until };
                record.expires_at = record.expires_at.max(expires_at);
                ClaimReply::Claimed { attempt: record.attempt }
            }
        }
    }

    /// Holds the claim for a whole lease from now on. A lease that has ended can be renewed as long
    /// as the record is not taken over.
    pub fn renew(
        &mut self,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
        now: Duration,
    ) -> Change {
        let Some(record) = self.own(token, now) else { return Change::Lost };
        if !matches!(record.state, State::InFlight { .. }) {
            return Change::Lost;
        }
        let lease_until = now.saturating_add(lease);
        record.hold_until(lease_until, lease_until.saturating_add(retention));
        Change::Applied
    }

    /// Keeps the reply, for the retention from now on. An owner that abandoned its claim, and has
    /// learned the outcome after all, can still complete it. Repeated, the first reply stays.
    pub fn complete(
        &mut self,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
        now: Duration,
    ) -> Change {
        let Some(record) = self.own(token, now) else { return Change::Lost };
        if !matches!(record.state, State::Done { .. }) {
            record.state = State::Done { reply };
            record.expires_at = now.saturating_add(retention);
        }
        Change::Applied
    }

    /// Frees the key: this attempt was certainly not executed. After a takeover the record falls
    /// back to abandoned instead, for an earlier attempt may have been.
    ///
    /// Where there is no record there is nothing to free, which is what was asked for.
    pub fn release(&mut self, token: ClaimToken, now: Duration) -> Change {
        let Some(record) = self.live(now) else { return Change::Applied };
        match record.state {
            _ if record.token != token => Change::Lost,
            State::Done { .. } => Change::Lost,
            _ if record.attempt == NonZeroU32::MIN => {
                self.0 = None;
                Change::Applied
            }
            State::InFlight { lease_until } | State::Abandoned { lease_until } => {
                record.state = State::Abandoned { lease_until: lease_until.min(now) };
                Change::Applied
            }
        }
    }

    /// Says that the operation may have been executed and that its outcome is not known. What is
    /// left of the lease stays before a takeover: what was begun may still be under way.
    pub fn abandon(&mut self, token: ClaimToken, retention: Duration, now: Duration) -> Change {
        let Some(record) = self.own(token, now) else { return Change::Lost };
        match record.state {
            State::InFlight { lease_until } => {
                record.state = State::Abandoned { lease_until };
                record.expires_at = record.expires_at.max(now.saturating_add(retention));
                Change::Applied
            }
            State::Abandoned { .. } => Change::Applied,
            State::Done { .. } => Change::Lost,
        }
    }

    /// The record as it is now, for an operator or after a commit of unknown outcome.
    #[must_use]
    pub fn look(&self, now: Duration) -> Option<View> {
        let record = self.0.as_ref().filter(|record| !record.is_expired(now))?;
        let state = match &record.state {
            State::InFlight { lease_until } if *lease_until > now => {
                ViewState::InFlight { left: lease_until.saturating_sub(now) }
            }
            State::InFlight { .. } | State::Abandoned { .. } => ViewState::Abandoned,
            State::Done { reply } => ViewState::Done { reply: reply.clone() },
        };
        Some(View {
            state,
            attempt: record.attempt,
            fingerprint: record.fingerprint,
            age: now.saturating_sub(record.claimed_at),
            expires_in: record.expires_at.saturating_sub(now),
        })
    }

    /// Removes the record whatever its state, on an operator's word, and says whether there was
    /// one. A later claim is a first one; an owner that still runs finds its claim lost.
    pub fn forget(&mut self, now: Duration) -> bool {
        let was_there = self.live(now).is_some();
        self.0 = None;
        was_there
    }

    /// Removes a record that has expired, and says whether it did.
    pub fn purge(&mut self, now: Duration) -> bool {
        let is_expired = self.0.as_ref().is_some_and(|record| record.is_expired(now));
        if is_expired {
            self.0 = None;
        }
        is_expired
    }

    /// The record, unless it has expired.
    fn live(&mut self, now: Duration) -> Option<&mut Record> {
        self.0.as_mut().filter(|record| !record.is_expired(now))
    }

    /// The record, if it is that of `token`.
    fn own(&mut self, token: ClaimToken, now: Duration) -> Option<&mut Record> {
        self.live(now).filter(|record| record.token == token)
    }
}

impl Record {
    /// Whether it is as if there were no record.
    #[must_use]
    pub fn is_expired(&self, now: Duration) -> bool {
        self.expires_at <= now
    }

    /// Never earlier than it was: of two renewals the longer holds.
    fn hold_until(&mut self, until: Duration, expires_at: Duration) {
        if let State::InFlight { lease_until } = &mut self.state {
            *lease_until = until.max(*lease_until);
            self.expires_at = expires_at.max(self.expires_at);
        }
    }
}

#[cfg(test)]
mod tests;
