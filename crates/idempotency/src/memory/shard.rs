//! One of several maps, each under a lock of its own.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use bytes::Bytes;

use super::room::Room;
use crate::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, Slot, State, StoredReply,
};

/// The records whose names fall here, and when to look at them again.
///
/// No panic leaves it half changed: nothing foreign runs under its lock but the hash of bytes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// No slot in it is empty between two operations.
    slots: HashMap<RecordId, Slot>,
    /// An entry for each record, with the time at which it was to expire when it was claimed. What
    /// is due is looked at, and comes back if the record lives longer; one whose completion has
    /// brought its end forward stays a lease too long. Entries of records that are gone stay until
    /// they are due, or [too many](Self::tidy).
    due: BinaryHeap<Reverse<(Duration, RecordId)>>,
}

/// What a sweep has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swept {
    pub(super) removed: usize,
    pub(super) may_have_more: bool,
}

/// What a record takes beside its name and its reply: itself in a map that may be half empty, its
/// entry among what is due, and what two allocations add.
pub(super) const RECORD_BYTES: usize =
    2 * (size_of::<RecordId>() + size_of::<Slot>()) + size_of::<(Duration, RecordId)>() + 48;

/// Room that each claim takes for a reply: a completion that keeps none must not fail.
const REPLY_BYTES: usize = 64;
const _: () = assert!(REPLY_BYTES >= StoredReply::OVERHEAD);

impl Shard {
    /// `None` when there is no room for a new record.
    pub(super) fn claim(
        &mut self,
        id: &RecordId,
        terms: &ClaimTerms,
        now: Duration,
        room: &Room,
    ) -> Option<ClaimReply> {
        if self.slots.contains_key(id) {
            return Some(self.with(id, room, |slot| slot.claim(terms, now)));
        }
        let mut slot = Slot::default();
        let reply = slot.claim(terms, now);
        if !room.take_record(cost(id, &slot)) {
            return None;
        }
        let expires_at = slot.0.as_ref().map_or(now, |record| record.expires_at);
        self.slots.insert(id.clone(), slot);
        self.due.push(Reverse((expires_at, id.clone())));
        self.tidy();
        Some(reply)
    }

    /// `None` when there is no room for the reply.
    pub(super) fn complete(
        &mut self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
        now: Duration,
        room: &Room,
    ) -> Option<Change> {
        let Some(slot) = self.slots.get_mut(id) else { return Some(Change::Lost) };
        if would_keep(slot, token, now) && !room.take_bytes(reply_cost(reply.len()) - REPLY_BYTES) {
            return None;
        }
        Some(slot.complete(token, reply, retention, now))
    }

    /// Does something to the slot, an empty one if there is no record, that adds neither a record
    /// nor bytes.
    pub(super) fn with<T>(
        &mut self,
        id: &RecordId,
        room: &Room,
        change: impl FnOnce(&mut Slot) -> T,
    ) -> T {
        let Some(slot) = self.slots.get_mut(id) else { return change(&mut Slot::default()) };
        let before = cost(id, slot);
        let changed = change(slot);
        if slot.0.is_none() {
            self.slots.remove(id);
            room.give_record(before);
        } else {
            // An expired record with a long reply may have made way for a new one.
            room.give_bytes(before - cost(id, slot));
        }
        changed
    }

    /// Removes up to `most` records that have expired, out of those that are due.
    pub(super) fn sweep(&mut self, now: Duration, most: usize, room: &Room) -> Swept {
        let mut removed = 0;
        // Each entry that is looked at counts, so that the work is bounded.
        for _ in 0..most {
            let Some(Reverse((at, _))) = self.due.peek() else { break };
            if *at > now {
                break;
            }
            let Some(Reverse((_, id))) = self.due.pop() else { break };
            let expires_at = self.slots.get(&id).and_then(|slot| Some(slot.0.as_ref()?.expires_at));
            match expires_at {
                Some(at) if at > now => self.due.push(Reverse((at, id))),
                Some(_) => {
                    if let Some(slot) = self.slots.remove(&id) {
                        room.give_record(cost(&id, &slot));
                        removed += 1;
                    }
                }
                None => {}
            }
        }
        let may_have_more = self.due.peek().is_some_and(|Reverse((at, _))| *at <= now);
        Swept { removed, may_have_more }
    }

    pub(super) fn count(&self, census: &mut Census, now: Duration) {
        self.slots.values().for_each(|slot| census.count(slot, now));
    }

    /// Keys that are claimed and released again and again leave an entry each time. When most
    /// entries are such, all are made anew, which costs each of them a constant.
    fn tidy(&mut self) {
        if self.due.len() > 2 * self.slots.len() + 64 {
            let entry = |(id, slot): (&RecordId, &Slot)| {
                Some(Reverse((slot.0.as_ref()?.expires_at, id.clone())))
            };
            self.due = self.slots.iter().filter_map(entry).collect();
        }
    }
}

/// Whether a completion would keep its reply, and not find it kept already or the claim lost.
fn would_keep(slot: &Slot, token: ClaimToken, now: Duration) -> bool {
    slot.0.as_ref().is_some_and(|record| {
        let is_own = record.token == token && !record.is_expired(now);
        is_own && !matches!(record.state, State::Done { .. })
    })
}

fn cost(id: &RecordId, slot: &Slot) -> usize {
    let reply = match slot.0.as_ref().map(|record| &record.state) {
        Some(State::Done { reply }) => reply.len(),
        _ => 0,
    };
    RECORD_BYTES + id.as_bytes().len() + reply_cost(reply)
}

fn reply_cost(len: usize) -> usize {
    len.max(REPLY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fingerprint, OnAbandoned};

    #[test]
    fn what_is_released_does_not_pile_up_among_what_is_due() {
        let (mut shard, room) = (Shard::default(), Room::new(1000, 1 << 20));
        let id = |n: u32| RecordId::new("alice", n.to_be_bytes()).unwrap();
        let terms = ClaimTerms {
            token: ClaimToken::from_bytes([7; 16]),
            fingerprint: Fingerprint::from_bytes([7; 32]),
            lease: Duration::from_secs(30),
            retention: Duration::from_secs(3600),
            on_abandoned: OnAbandoned::Refuse,
        };
        let now = Duration::ZERO;
        for kept in 0..100 {
            assert!(shard.claim(&id(kept), &terms, now, &room).is_some());
        }
        for n in 0..10_000 {
            let id = id(100 + n % 2);
            assert!(shard.claim(&id, &terms, now, &room).is_some());
            let released = shard.with(&id, &room, |slot| slot.release(terms.token, now));
            assert_eq!(released, Change::Applied);
            assert!(shard.due.len() <= 2 * 101 + 64);
        }
        // And none of those that stay was lost on the way.
        let end = terms.lease + terms.retention;
        assert_eq!(shard.sweep(end, usize::MAX, &room).removed, 100);
    }
}
