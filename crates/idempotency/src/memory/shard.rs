//! One of several maps, each under a lock of its own.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use bytes::Bytes;

use super::room::Room;
use crate::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, RecordId, Slot, State, StoredReply,
    by_hash::ByHash,
};

/// The records whose names fall here, and when to look at them again.
///
/// No panic leaves it half changed: nothing foreign runs under its lock, for the replies of a
/// handle are buffers of its own.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The records by the words of their names. In boxes: a map that has doubled, or is full of
    /// what was removed, may have five places for each record.
    records: HashMap<u64, Box<Node>, ByHash>,
    len: usize,
    /// What `len` was at most since the map was last given a size.
    most: usize,
    /// An entry for each record, with the time at which it was to expire when it was claimed. What
    /// is due is looked at, and comes back if the record lives longer; one whose completion has
    /// brought its end forward stays a lease too long. Entries of records that are gone stay until
    /// they are due, or [too many](Self::tidy).
    due: BinaryHeap<Due>,
}

/// A record.
#[derive(Debug)]
struct Node {
    id: RecordId,
    /// Not empty between two operations.
    slot: Slot,
    /// Another record whose name has the same word. There is none, but there may be.
    next: Option<Box<Node>>,
}

/// When to look at the records of a word, in nanoseconds: half as long as a duration. It holds no
/// name, which would outlive its record.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: u64,
    word: u64,
}

fn nanos(time: Duration) -> u64 {
    // What is due in 584 years or later is looked at then.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The earliest is the greatest, so that a heap yields it first. By time and nothing else: names of
/// the same moment are in no order, and most come in the order of time.
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}

/// What a sweep has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swept {
    pub(super) removed: usize,
    pub(super) may_have_more: bool,
}

/// What a record takes at most beside its name and its reply. Itself; its place in a map that has
/// doubled when it was full of what was removed, and is 7/32 full, with a byte of the map's; its
/// entry among what is due, in a vector that has doubled at one and a quarter entries each; and
/// what three allocations add.
pub(super) const RECORD_BYTES: usize = size_of::<Node>()
    + (size_of::<(u64, Box<Node>)>() + 1) * 32 / 7
    + size_of::<Due>() * 5 / 2
    + 3 * 16;

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
        if let Some(slot) = self.find(id) {
            let before = cost(id, slot);
            let reply = slot.claim(terms, now);
            // An expired record with a long reply may have made way for a new one.
            room.give_bytes(before - cost(id, slot));
            return Some(reply);
        }
        let mut slot = Slot::default();
        let reply = slot.claim(terms, now);
        if !room.take_record(cost(id, &slot)) {
            return None;
        }
        let at = expiry(&slot).map_or(0, nanos);
        self.insert(id.clone(), slot);
        self.due.push(Due { at, word: id.word() });
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
        let Some(slot) = self.find(id) else { return Some(Change::Lost) };
        if would_keep(slot, token, now) && !room.take_bytes(reply_cost(reply.len()) - REPLY_BYTES) {
            return None;
        }
        Some(slot.complete(token, reply, retention, now))
    }

    /// Does something to the slot, an empty one if there is no record, that leaves what it takes,
    /// or leaves it empty.
    pub(super) fn with<T>(
        &mut self,
        id: &RecordId,
        room: &Room,
        change: impl FnOnce(&mut Slot) -> T,
    ) -> T {
        let Some(slot) = self.find(id) else { return change(&mut Slot::default()) };
        let before = cost(id, slot);
        let changed = change(slot);
        if slot.0.is_none() {
            self.remove_if(id.word(), |node| node.id == *id);
            room.give_record(before);
        }
        changed
    }

    /// Removes up to `most` records that have expired, out of those that are due.
    pub(super) fn sweep(&mut self, now: Duration, most: usize, room: &Room) -> Swept {
        let (mut removed, until) = (0, nanos(now));
        // Each entry that is looked at counts, so that the work is bounded.
        for _ in 0..most {
            if self.due.peek().is_none_or(|due| due.at > until) {
                break;
            }
            let Some(Due { word, .. }) = self.due.pop() else { break };
            let mut next = None;
            removed += self.remove_if(word, |node| match expiry(&node.slot) {
                Some(at) if at > now => {
                    next = Some(next.map_or(at, |next: Duration| next.min(at)));
                    false
                }
                _ => {
                    room.give_record(cost(&node.id, &node.slot));
                    true
                }
            });
            if let Some(at) = next {
                self.due.push(Due { at: nanos(at), word });
            }
        }
        let may_have_more = self.due.peek().is_some_and(|due| due.at <= until);
        Swept { removed, may_have_more }
    }

    pub(super) fn count(&self, census: &mut Census, now: Duration) {
        self.nodes().for_each(|node| census.count(&node.slot, now));
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.records
            .values()
            .flat_map(|first| std::iter::successors(Some(&**first), |node| node.next.as_deref()))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn find(&mut self, id: &RecordId) -> Option<&mut Slot> {
        let mut node = self.records.get_mut(&id.word())?;
        while node.id != *id {
            node = node.next.as_mut()?;
        }
        Some(&mut node.slot)
    }

    fn insert(&mut self, id: RecordId, slot: Slot) {
        let word = id.word();
        let node = Box::new(Node { id, slot, next: None });
        if let Some(next) = self.records.insert(word, node)
            && let Some(node) = self.records.get_mut(&word)
        {
            node.next = Some(next);
        }
        self.len += 1;
        self.most = self.most.max(self.len);
    }

    /// Removes the records of a word that `is_gone` says so of, and says how many.
    fn remove_if(&mut self, word: u64, mut is_gone: impl FnMut(&Node) -> bool) -> usize {
        let (mut node, mut kept, before) = (self.records.remove(&word), None, self.len);
        while let Some(mut this) = node {
            node = this.next.take();
            if is_gone(&this) {
                self.len -= 1;
            } else {
                this.next = kept.take();
                kept = Some(this);
            }
        }
        if let Some(kept) = kept {
            self.records.insert(word, kept);
        }
        self.shrink();
        before - self.len
    }

    /// Keys that are claimed and released again and again leave an entry each time. When a fifth of
    /// the entries are such, all are made anew, which costs each of those a constant.
    fn tidy(&mut self) {
        if self.due.len() > self.len + self.len / 4 + 16 {
            let due = |node: &Node| Some((nanos(expiry(&node.slot)?), node.id.word()));
            let due = self.nodes().filter_map(due).map(|(at, word)| Due { at, word });
            self.due = due.collect();
        }
    }

    /// Gives the memory of a flood back.
    fn shrink(&mut self) {
        if self.most > 8 * self.len + 64 {
            self.most = self.len;
            self.records.shrink_to(2 * self.len);
            self.due.shrink_to(2 * self.len);
        }
    }
}

fn expiry(slot: &Slot) -> Option<Duration> {
    slot.0.as_ref().map(|record| record.expires_at)
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

    fn terms() -> ClaimTerms {
        ClaimTerms {
            token: ClaimToken::from_bytes([7; 16]),
            fingerprint: Fingerprint::from_bytes([7; 32]),
            lease: Duration::from_secs(30),
            retention: Duration::from_secs(3600),
            on_abandoned: OnAbandoned::Refuse,
        }
    }

    /// Six names in two words, against a map of slots.
    #[test]
    fn names_that_share_a_word_are_told_apart() {
        use rand::{RngExt, SeedableRng, rngs::SmallRng};

        let room = Room::new(1000, 1 << 20);
        let (mut shard, mut model) = (Shard::default(), HashMap::<RecordId, Slot>::new());
        let mut rng = SmallRng::seed_from_u64(7);
        let ids: Vec<_> = (0..6_u8)
            .map(|n| RecordId::new("alice", [n]).unwrap().with_word(u64::from(n % 2)))
            .collect();
        let mut now = Duration::ZERO;
        for _ in 0..20_000 {
            let id = &ids[rng.random_range(0..ids.len())];
            let slot = model.entry(id.clone()).or_default();
            let (token, retention) = (terms().token, terms().retention);
            match rng.random_range(0..8) {
                0..3 => {
                    let claimed = shard.claim(id, &terms(), now, &room);
                    assert_eq!(claimed, Some(slot.claim(&terms(), now)));
                }
                3 => {
                    let reply = Bytes::from(vec![0; rng.random_range(0..200)]);
                    let change = shard.complete(id, token, reply.clone(), retention, now, &room);
                    assert_eq!(change, Some(slot.complete(token, reply, retention, now)));
                }
                4 => assert_eq!(
                    shard.with(id, &room, |slot| slot.release(token, now)),
                    slot.release(token, now)
                ),
                5 => assert_eq!(shard.with(id, &room, |slot| slot.forget(now)), slot.forget(now)),
                6 => now += Duration::from_secs(rng.random_range(0..400)),
                _ => {
                    let expired: usize =
                        model.values_mut().map(|slot| usize::from(slot.purge(now))).sum();
                    assert_eq!(shard.sweep(now, usize::MAX, &room).removed, expired);
                    let left = model.values().filter(|slot| slot.0.is_some()).count();
                    assert_eq!((shard.len(), room.snapshot().records), (left, left));
                }
            }
            let slot = &model[id];
            assert_eq!(shard.with(id, &room, |slot| slot.look(now)), slot.look(now));
        }
        now += Duration::from_secs(10_000);
        shard.sweep(now, usize::MAX, &room);
        assert_eq!(room.snapshot(), super::super::MemorySnapshot::default());
        assert!(shard.records.is_empty() && shard.due.is_empty());
    }

    #[test]
    fn what_is_released_does_not_pile_up_among_what_is_due() {
        let (mut shard, room) = (Shard::default(), Room::new(1000, 1 << 20));
        let id = |n: u32| RecordId::new("alice", n.to_be_bytes()).unwrap();
        let terms = terms();
        let now = Duration::ZERO;
        for kept in 0..100 {
            assert!(shard.claim(&id(kept), &terms, now, &room).is_some());
        }
        for n in 0..10_000 {
            let id = id(100 + n % 2);
            assert!(shard.claim(&id, &terms, now, &room).is_some());
            let released = shard.with(&id, &room, |slot| slot.release(terms.token, now));
            assert_eq!(released, Change::Applied);
            assert!(shard.due.len() <= 101 + 25 + 16);
        }
        // And none of those that stay was lost on the way.
        let end = terms.lease + terms.retention;
        assert_eq!(shard.sweep(end, usize::MAX, &room).removed, 100);
    }
}
