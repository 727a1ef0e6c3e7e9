//! Resources by their names.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock},
};

use super::pass::Resource;

/// A hash table that is added to and never taken from: so a reader takes no lock, counts nothing
/// and needs no epoch, and what it finds stays where it is.
///
/// It has as many places from the beginning as it may ever need, and does not grow. Resources whose
/// names fall into one place are a chain, of one as a rule.
pub(crate) struct Table {
    hashes: RandomState,
    places: Box<[Place]>,
}

type Place = OnceLock<Arc<Resource>>;

/// The part of a resource that the table has.
#[derive(Default)]
pub(crate) struct Link {
    hash: u64,
    next: Place,
}

/// A megabyte of them. A table of more resources has longer chains.
const MOST_PLACES: usize = 1 << 16;

impl Table {
    /// With room for so many resources.
    pub(crate) fn new(most: usize) -> Self {
        let places = most.clamp(1, MOST_PLACES).next_power_of_two();
        Self { hashes: RandomState::new(), places: (0..places).map(|_| Place::new()).collect() }
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        let hash = self.hashes.hash_one(name);
        let mut place = self.place(hash);
        loop {
            let resource = place.get()?;
            let Link { hash: other, next } = &resource.link;
            if *other == hash && *resource.name == *name {
                return Some(resource);
            }
            place = next;
        }
    }

    /// Adds a resource, unless there is one of its name: the one that is there.
    pub(crate) fn add(&self, mut resource: Resource) -> &Arc<Resource> {
        let hash = self.hashes.hash_one(&*resource.name);
        resource.link.hash = hash;
        let (mut place, added) = (self.place(hash), Arc::new(resource));
        loop {
            let resource = place.get_or_init(|| Arc::clone(&added));
            if resource.link.hash == hash && resource.name == added.name {
                return resource;
            }
            place = &resource.link.next;
        }
    }

    fn place(&self, hash: u64) -> &Place {
        // Their number is a power of two, below 2^16.
        let all_ones = self.places.len() - 1;
        &self.places[hash as usize & all_ones]
    }
}

impl fmt::Debug for Link {
    // The others of its chain are no part of a resource.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::{
        FenceConfig,
        fence::{pass::Common, telemetry::Telemetry},
    };

    fn resource(name: &str) -> Resource {
        let (called, rules) = FenceConfig::new().check().unwrap();
        let common = Common { rules, telemetry: Telemetry::new(called), marks: None };
        Resource::new(Arc::new(common), name.into(), None)
    }

    #[test]
    fn resources_of_one_place_are_told_apart_by_their_names() {
        let (table, names) = (Table::new(1), (0..100).map(|name| name.to_string()));
        for name in names.clone() {
            assert!(table.get(&name).is_none());
            let added = table.add(resource(&name));
            assert_eq!(*added.name, *name);
        }
        for name in names {
            let found = table.get(&name).unwrap();
            assert_eq!(*found.name, *name);
            assert!(ptr::eq(table.add(resource(&name)), found), "the one that is there stays");
        }
        assert!(table.get("").is_none() && table.get("100").is_none());
        assert!(!format!("{:?}", table.get("7").unwrap()).contains("\"8\""));
    }

    #[test]
    fn it_has_a_place_for_each_and_a_megabyte_of_them_at_most() {
        let places = |most| Table::new(most).places.len();
        assert_eq!([0, 1, 3, 1000].map(places), [1, 1, 4, 1024]);
        assert_eq!(places(usize::MAX) * size_of::<Place>(), 1 << 20);
    }
}
