//! One handle for each key, bounded.

use std::{hash::Hash, num::NonZeroUsize, sync::Arc};

use quick_cache::sync::Cache;

/// A bounded map of handles: one breaker for each host, one estimator for each route, one budget for each tenant.
///
/// A handle is made when its key is first seen. At the capacity, a key that was not used lately is forgotten, and
/// starts afresh if it comes back: choose a capacity above the number of keys in use, and keys that callers cannot
/// invent. Calls in flight keep the handle they started with.
#[derive(Debug)]
pub struct Keyed<K, V> {
    map: Arc<Cache<K, V>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Keyed<K, V> {
    /// An empty map for at most about `capacity` keys.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self { map: Arc::new(Cache::new(capacity.get())) }
    }

    /// The handle of `key`, made by `make` if there is none. Concurrent callers of one new key all get the same handle.
    pub fn get_or_insert_with(&self, key: &K, make: impl FnOnce() -> V) -> V {
        match self.map.get_or_insert_with(key, || Ok::<_, std::convert::Infallible>(make())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// How many keys are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The keys held and their handles, in no order.
    #[must_use]
    pub fn entries(&self) -> Vec<(K, V)> {
        self.map.iter().collect()
    }
}

impl<K, V> Clone for Keyed<K, V> {
    fn clone(&self) -> Self {
        Self { map: Arc::clone(&self.map) }
    }
}
