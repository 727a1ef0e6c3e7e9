//! What this process knows of the objects that it has read and written.

use std::{collections::HashMap, num::NonZeroUsize, time::Duration};

use object_store::UpdateVersion;

use super::record::{Record, WriteId};
use crate::{LeaseName, Margin, Slot, Vigil};

/// One record, as it was read or written last.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) record: Record,
    /// What a write must name that replaces it; `None` where that must be read first.
    pub(super) version: Option<UpdateVersion>,
    /// From when it stood there for certain.
    vigil: Vigil<WriteId>,
}

impl Sight {
    /// A record that stands there at `now`.
    pub(super) fn new(record: Record, version: Option<UpdateVersion>, now: Duration) -> Self {
        let ttl = record.owner.as_ref().map_or(Duration::ZERO, |owner| owner.ttl);
        let vigil = Vigil::begin(record.id, ttl, Margin::new(), now);
        Self { record, version, vigil }
    }

    /// The record with its end on this process's clock: it is held for as long as it still has to
    /// be watched.
    pub(super) fn slot(&mut self, now: Duration) -> Slot {
        let Record { id, last, owner, .. } = &self.record;
        let mut owner = owner.clone();
        if let Some(owner) = &mut owner {
            let left = self.vigil.look(*id, owner.ttl, Margin::new(), now);
            owner.until = now.saturating_add(left);
        }
        Slot { last: Some(*last), owner }
    }
}

/// The last sight of each name. No panic leaves it half changed: nothing foreign runs under its
/// lock but hashes and comparisons of names.
#[derive(Debug)]
pub(super) struct Sights {
    of: HashMap<LeaseName, Sight>,
    most: NonZeroUsize,
}

impl Sights {
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self { of: HashMap::new(), most }
    }

    /// Takes in what was seen, and says how long that has been watched.
    pub(super) fn note(&mut self, name: &LeaseName, seen: Sight) -> Sight {
        if let Some(known) = self.of.get_mut(name) {
            if known.record.id == seen.record.id {
                known.version = seen.version.or(known.version.take());
            } else {
                *known = seen;
            }
            return known.clone();
        }
        self.make_room();
        self.of.insert(name.clone(), seen.clone());
        seen
    }

    /// A record that a write can replace unread.
    pub(super) fn known(&self, name: &LeaseName) -> Option<Sight> {
        self.of.get(name).filter(|known| known.version.is_some()).cloned()
    }

    /// A write is under way: what stands there is not certain until that is noted.
    pub(super) fn doubt(&mut self, name: &LeaseName) {
        if let Some(known) = self.of.get_mut(name) {
            known.version = None;
        }
    }

    /// Nothing stands there.
    pub(super) fn forget(&mut self, name: &LeaseName) {
        self.of.remove(name);
    }

    /// Every second name goes: which are watched that will be taken over cannot be told.
    fn make_room(&mut self) {
        if self.of.len() >= self.most.get() {
            let mut stays = false;
            self.of.retain(|_, _| {
                stays = !stays;
                stays && self.most.get() > 1
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FencingToken, HolderName, Nonce, Owner};

    const TTL: Duration = Duration::from_secs(10);

    fn name(n: usize) -> LeaseName {
        LeaseName::new(n.to_string()).unwrap()
    }

    fn sight(id: u8, version: Option<&str>, now: Duration) -> Sight {
        let owner = Owner {
            nonce: Nonce::from_bytes([7; 16]),
            holder: HolderName::new("a").unwrap(),
            ttl: TTL,
            until: Duration::ZERO,
        };
        let (id, replaced) = (WriteId([id; 16]), WriteId([0; 16]));
        let record = Record { id, replaced, last: FencingToken::MAX, owner: Some(owner) };
        let e_tag = version.map(str::to_owned);
        let version = version.map(|_| UpdateVersion { e_tag, version: None });
        Sight::new(record, version, now)
    }

    fn sights(most: usize) -> Sights {
        Sights::new(NonZeroUsize::new(most).unwrap())
    }

    fn left(sight: &mut Sight, now: Duration) -> Duration {
        sight.slot(now).held(now).map_or(Duration::ZERO, |owner| owner.until - now)
    }

    #[test]
    fn a_version_that_is_seen_again_has_been_watched_since_and_another_has_not() {
        let (mut sights, whole) = (sights(10), Margin::new().vigil(TTL));
        let mut first = sights.note(&name(1), sight(1, Some("1"), TTL));
        assert_eq!(left(&mut first, TTL), whole);
        let mut again = sights.note(&name(1), sight(1, Some("1"), TTL * 3 / 2));
        assert_eq!(left(&mut again, TTL * 3 / 2), whole - TTL / 2);
        let mut other = sights.note(&name(1), sight(2, Some("2"), TTL * 3 / 2));
        assert_eq!(left(&mut other, TTL * 3 / 2), whole);
        assert_eq!(left(&mut other, TTL * 3 / 2 + whole), Duration::ZERO);
        // The former, from a cache: what was watched of the later is not known any more.
        let mut former = sights.note(&name(1), sight(1, Some("1"), TTL * 3));
        assert_eq!(left(&mut former, TTL * 3), whole);
    }

    #[test]
    fn a_version_in_doubt_is_read_before_it_is_replaced() {
        let mut sights = sights(10);
        assert!(sights.known(&name(1)).is_none());
        sights.note(&name(1), sight(1, Some("1"), TTL));
        assert!(sights.known(&name(1)).is_some());
        sights.doubt(&name(1));
        assert!(sights.known(&name(1)).is_none());
        // A store that does not tell the version of what it has written.
        sights.note(&name(1), sight(2, None, TTL));
        assert!(sights.known(&name(1)).is_none());
        let read = sights.note(&name(1), sight(2, Some("2"), TTL));
        assert!(read.version.is_some() && sights.known(&name(1)).is_some());
        sights.forget(&name(1));
        assert!(sights.known(&name(1)).is_none());
    }

    #[test]
    fn no_more_names_are_kept_than_may_be_and_the_newest_is_among_them() {
        for most in [1, 2, 3, 100] {
            let mut sights = sights(most);
            for n in 0..1000 {
                sights.note(&name(n), sight(1, Some("1"), TTL));
                assert!(sights.known(&name(n)).is_some());
                assert!(sights.of.len() <= most, "{} of {most}", sights.of.len());
            }
            // Half of them go at a time, and not all.
            assert!(sights.of.len() > most / 2 || most == 1);
        }
    }
}
