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

    /// A record that a write can replace unread. It can once: what becomes of the write is not
    /// certain until it is noted.
    pub(super) fn take(&mut self, name: &LeaseName) -> Option<Sight> {
        let known = self.of.get_mut(name)?;
        let version = known.version.take()?;
        Some(Sight { version: Some(version), ..known.clone() })
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
