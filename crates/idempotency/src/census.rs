//! How many keys of a store are not done.

use std::time::Duration;

use crate::{Slot, State};

/// How many keys of a store are not done: for an operator's gauges and alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Keys whose operation is under way, by a claim that holds.
    pub in_flight: u64,
    /// Keys whose operation may have been executed and whose outcome is not known: abandoned by
    /// their owner, or by the end of a lease.
    pub abandoned: u64,
    /// How long ago the key was first claimed that has been in flight for longest; `None` where
    /// none is in flight.
    pub oldest: Option<Duration>,
}

impl Census {
    /// Counts the record of `slot`, as it is at the store's time `now`.
    pub fn count(&mut self, slot: &Slot, now: Duration) {
        let Some(record) = slot.0.as_ref().filter(|record| !record.is_expired(now)) else { return };
        match record.state {
            State::InFlight { lease_until } if lease_until > now => {
                self.in_flight += 1;
                let age = now.saturating_sub(record.claimed_at);
                self.oldest = Some(self.oldest.map_or(age, |oldest| oldest.max(age)));
            }
            State::InFlight { .. } | State::Abandoned { .. } => self.abandoned += 1,
            State::Done { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClaimTerms, ClaimToken, Fingerprint, OnAbandoned};

    const S: Duration = Duration::from_secs(1);

    fn claimed(at: Duration, token: u8) -> (Slot, ClaimToken) {
        let token = ClaimToken::from_bytes([token; 16]);
        let terms = ClaimTerms {
            token,
            fingerprint: Fingerprint::from_bytes([1; 32]),
            lease: 30 * S,
            retention: 100 * S,
            on_abandoned: OnAbandoned::Refuse,
        };
        let mut slot = Slot::default();
        slot.claim(&terms, at);
        (slot, token)
    }

    fn census(slots: &[Slot], now: Duration) -> (u64, u64, Option<Duration>) {
        let mut census = Census::default();
        slots.iter().for_each(|slot| census.count(slot, now));
        (census.in_flight, census.abandoned, census.oldest)
    }

    #[test]
    fn what_is_in_flight_becomes_abandoned_with_its_lease_and_is_gone_when_it_expires() {
        let (slots, end) = ([claimed(S, 1).0, claimed(11 * S, 2).0, Slot::default()], 130 * S);
        assert_eq!(census(&slots, 12 * S), (2, 0, Some(11 * S)));
        assert_eq!(census(&slots, 31 * S), (1, 1, Some(20 * S)));
        assert_eq!(census(&slots, 41 * S), (0, 2, None));
        assert_eq!(census(&slots, end + S), (0, 1, None));
        assert_eq!(census(&slots, end + 11 * S), (0, 0, None));
    }

    #[test]
    fn what_is_done_or_said_to_be_abandoned_is_known_at_once() {
        let ((mut done, token), (mut left, other)) = (claimed(S, 1), claimed(S, 2));
        assert_eq!(done.complete(token, "ok".into(), 100 * S, 2 * S), crate::Change::Applied);
        assert_eq!(left.abandon(other, 100 * S, 2 * S), crate::Change::Applied);
        assert_eq!(census(&[done, left], 3 * S), (0, 1, None));
    }
}
