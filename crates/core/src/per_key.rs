//! One handle for each key, bounded.

use std::{
    convert::Infallible,
    fmt,
    hash::Hash,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::sync::Cache;

use crate::{ConfigError, Reconfigure, Select, Selected, lock::lock};

/// Puts each request behind the handle of its key: a circuit for each host, a limit for each route
/// or tenant.
///
/// A handle is made when its key is first seen; requests of one new key that come at once all get
/// the same. At the capacity, a key that was not used lately is forgotten, whatever its handle had
/// learned, and starts afresh if it comes back: choose a capacity above the number of keys in use,
/// and keys that callers cannot invent. Calls in flight keep the handle they started with.
///
/// Handles come with constructors that check their configuration first, such as `Circuit::per_key`
/// and `TimeLimit::per_key`; [`new`](Self::new) is for handles of your own. Clones share the map.
///
/// A look-up hashes the key, locks one shard of the map for reading and clones the handle: about
/// 20 ns on one thread.
///
/// ```
/// use std::{num::NonZeroUsize, sync::Arc};
/// use steadfast_core::{PerKey, Select};
///
/// struct Request {
///     host: &'static str,
/// }
///
/// let capacity = NonZeroUsize::new(1000).unwrap();
/// // `Arc<()>` stands for a handle.
/// let per_host = PerKey::new(capacity, || Arc::new(()), |request: &Request| request.host);
/// let select = |host| per_host.select(&Request { host }).into_owned();
/// let (first, again) = (select("a"), select("a"));
/// assert!(Arc::ptr_eq(&first, &again));
/// assert!(!Arc::ptr_eq(&first, &per_host.handle(&"b")));
/// ```
pub struct PerKey<K, V, F> {
    handles: Arc<Handles<K, V>>,
    key: F,
}

struct Handles<K, V> {
    map: Cache<K, V>,
    make: Box<dyn Fn() -> V + Send + Sync>,
    pattern: Option<Pattern<V>>,
}

/// What the handle of a new key is made from, where handles can be changed while they run.
struct Pattern<V> {
    /// It belongs to no key, and sees no calls.
    handle: V,
    /// [`Reconfigure::follow`], where that is known of the type.
    follow: fn(&V, &V),
    /// How often the pattern was changed.
    changes: AtomicU64,
    /// Held while handles are made to follow, so that the latest change is the last for each. It
    /// guards no state: the handles have their own.
    following: Mutex<()>,
}

impl<K, V, F> PerKey<K, V, F>
where
    K: Eq + Hash + Clone,
    V: Clone,
{
    /// No handles yet, at most about `capacity` of them, made by `make` for the keys that `key`
    /// finds in requests.
    ///
    /// `make` runs with no lock held, but requests of the same key wait for it: it must not look up
    /// that key. If it panics, the next request of the key calls it again.
    #[must_use]
    pub fn new(
        capacity: NonZeroUsize,
        make: impl Fn() -> V + Send + Sync + 'static,
        key: F,
    ) -> Self {
        let map = Cache::new(capacity.get());
        Self { handles: Arc::new(Handles { map, make: Box::new(make), pattern: None }), key }
    }

    /// No handles yet, at most about `capacity` of them, each [another](Reconfigure::another) like
    /// `pattern`, which itself belongs to no key. They can be
    /// [changed while they run](Self::reconfigure).
    #[must_use]
    pub fn of(capacity: NonZeroUsize, pattern: V, key: F) -> Self
    where
        V: Reconfigure + Send + Sync + 'static,
    {
        let map = Cache::new(capacity.get());
        let like = pattern.clone();
        let make = Box::new(move || like.another());
        let pattern = Pattern {
            handle: pattern,
            follow: V::follow,
            changes: AtomicU64::new(0),
            following: Mutex::new(()),
        };
        Self { handles: Arc::new(Handles { map, make, pattern: Some(pattern) }), key }
    }

    /// The handle of `key`, made if there is none.
    #[must_use]
    pub fn handle(&self, key: &K) -> V {
        let Handles { map, make, pattern } = &*self.handles;
        // Of the call that makes the handle: how often the pattern had been changed.
        let mut made_at = None;
        let made = map.get_or_insert_with(key, || {
            made_at = pattern.as_ref().map(|pattern| pattern.changes.load(Ordering::Acquire));
            Ok::<_, Infallible>(make())
        });
        let handle = match made {
            Ok(handle) => handle,
            Err(never) => match never {},
        };
        if let (Some(pattern), Some(made_at)) = (pattern, made_at) {
            pattern.catch_up(&handle, made_at);
        }
        handle
    }

    /// Changes the configuration of all handles: of those that are held and of those that will be
    /// made. It is checked before any is changed. A handle that was changed by itself is like the
    /// others afterwards. Those that calls in flight hold of a key that is forgotten stay as they
    /// are.
    ///
    /// Handles are changed one after the other: meanwhile some have the new configuration and some
    /// the old.
    ///
    /// # Errors
    /// What the handle's own `reconfigure` refuses, and any change of handles that are made by a
    /// function of the caller's ([`new`](Self::new)). Then nothing has changed.
    pub fn reconfigure(&self, config: V::Config) -> Result<(), ConfigError>
    where
        V: Reconfigure,
    {
        let Handles { map, pattern, .. } = &*self.handles;
        let Some(pattern) = pattern else {
            let rule = "the pattern of `PerKey::of`, for handles to be changed while they run";
            return Err(ConfigError::new("make", "a function", rule));
        };
        let _following = lock(&pattern.following);
        pattern.handle.reconfigure(config)?;
        // Pairs with the load after a handle was put into the map: either the iteration below finds
        // that handle, or its maker, who took the same shard's lock later, finds the change.
        pattern.changes.fetch_add(1, Ordering::AcqRel);
        for (_, handle) in map.iter() {
            (pattern.follow)(&handle, &pattern.handle);
        }
        Ok(())
    }

    /// The configuration of the handles of new keys; `None` where a function makes them.
    #[must_use]
    pub fn config(&self) -> Option<V::Config>
    where
        V: Reconfigure,
    {
        self.handles.pattern.as_ref().map(|pattern| pattern.handle.config())
    }

    /// The keys held and their handles, in no order.
    #[must_use]
    pub fn entries(&self) -> Vec<(K, V)> {
        self.handles.map.iter().collect()
    }

    /// How many keys are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handles.map.len()
    }

    /// Whether no key is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handles.map.is_empty()
    }
}

impl<V> Pattern<V> {
    /// Changes a handle that was made while the pattern changed, and missed it.
    fn catch_up(&self, handle: &V, made_at: u64) {
        if self.changes.load(Ordering::Acquire) != made_at {
            let _following = lock(&self.following);
            (self.follow)(handle, &self.handle);
        }
    }
}

impl<Req, K, V, F> Select<Req> for PerKey<K, V, F>
where
    K: Eq + Hash + Clone,
    V: Clone,
    F: Fn(&Req) -> K,
{
    type Handle = V;

    #[inline]
    fn select(&self, request: &Req) -> Selected<'_, V> {
        Selected::Own(self.handle(&(self.key)(request)))
    }

    /// None: the key is known with the request only.
    fn common(&self) -> Option<&V> {
        None
    }
}

impl<K, V, F: Clone> Clone for PerKey<K, V, F> {
    fn clone(&self) -> Self {
        Self { handles: Arc::clone(&self.handles), key: self.key.clone() }
    }
}

impl<K, V, F> fmt::Debug for PerKey<K, V, F> {
    /// Keys may name callers, so they stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering},
        },
        thread,
        time::Duration,
    };

    use super::*;

    type Numbered = PerKey<u32, Arc<u32>, fn(&u32) -> u32>;

    /// Handles are numbered as they are made.
    fn numbered(capacity: usize) -> Numbered {
        let next = AtomicU32::new(0);
        let make = move || Arc::new(next.fetch_add(1, Ordering::Relaxed));
        PerKey::new(NonZeroUsize::new(capacity).unwrap(), make, |request| *request)
    }

    #[test]
    fn the_first_callers_of_one_key_get_one_handle() {
        for _ in 0..100 {
            let made = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&made);
            let make = move || {
                thread::yield_now();
                Arc::new(count.fetch_add(1, Ordering::Relaxed))
            };
            let per_key =
                PerKey::new(NonZeroUsize::new(10).unwrap(), make, |request: &u32| *request);
            let start = Barrier::new(4);
            let handles: Vec<_> = thread::scope(|scope| {
                let first = || {
                    start.wait();
                    per_key.select(&7).into_owned()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(first)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(handles.iter().all(|handle| Arc::ptr_eq(handle, &handles[0])));
            assert_eq!(made.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn it_stays_bounded_and_keeps_the_keys_in_use() {
        let per_key = numbered(100);
        let used = per_key.handle(&0);
        for key in 1..10_000u32 {
            assert!(Arc::ptr_eq(&per_key.handle(&0), &used), "the key in use was kept");
            let _ = per_key.handle(&key);
        }
        assert!(per_key.len() <= 100 && per_key.entries().len() == per_key.len());
    }

    #[test]
    fn a_map_for_one_key_keeps_that_key() {
        let per_key = numbered(1);
        assert!(Arc::ptr_eq(&per_key.handle(&5), &per_key.handle(&5)));
        assert_eq!(per_key.len(), 1);
    }

    #[test]
    fn a_call_keeps_the_handle_of_a_key_that_is_forgotten() {
        let per_key = numbered(2);
        let kept = per_key.handle(&0);
        // Each of the others is in use for a while.
        (3..300).for_each(|step| drop(per_key.handle(&(step / 3))));
        assert_eq!((*kept, Arc::strong_count(&kept)), (0, 1), "forgotten by the map");
        assert_ne!(*per_key.handle(&0), 0, "starts afresh");
    }

    #[test]
    fn clones_share_their_handles_and_no_handle_is_common_to_all_requests() {
        let per_key = numbered(10);
        let clone = per_key.clone();
        assert!(Arc::ptr_eq(&per_key.handle(&1), &clone.handle(&1)));
        assert!(per_key.common().is_none());
    }

    #[test]
    fn a_maker_that_panics_is_called_again_by_the_next_request_even_one_that_waits() {
        let tried = AtomicU32::new(0);
        let make = move || {
            let first = tried.fetch_add(1, Ordering::Relaxed) == 0;
            if first {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "long enough for the other thread to wait for this one"
                )]
                thread::sleep(Duration::from_millis(20));
                panic!("the first one");
            }
            Arc::new(1)
        };
        let per_key = PerKey::new(NonZeroUsize::new(10).unwrap(), make, |request: &u32| *request);
        let made = thread::scope(|scope| {
            let make =
                || scope.spawn(|| catch_unwind(AssertUnwindSafe(|| per_key.handle(&1))).is_ok());
            let threads = [make(), make()];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(made.iter().filter(|&&made| made).count(), 1);
        assert_eq!(*per_key.handle(&1), 1);
    }

    /// A handle that is changed while it runs: its configuration, and how often it was told.
    #[derive(Clone)]
    struct Changeable(Arc<(AtomicU32, AtomicU32)>);

    impl Changeable {
        fn new(config: u32) -> Self {
            Self(Arc::new((AtomicU32::new(config), AtomicU32::new(0))))
        }

        fn told(&self) -> u32 {
            self.0.1.load(Ordering::Relaxed)
        }
    }

    impl Reconfigure for Changeable {
        type Config = u32;

        fn reconfigure(&self, config: u32) -> Result<(), ConfigError> {
            ConfigError::require(config != 0, "number", config, "above zero")?;
            self.0.0.store(config, Ordering::Relaxed);
            self.0.1.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn config(&self) -> u32 {
            self.0.0.load(Ordering::Relaxed)
        }

        /// Slowly, so that changes come while it is made.
        fn another(&self) -> Self {
            let another = Self::new(self.config());
            (0..3).for_each(|_| thread::yield_now());
            another
        }

        fn follow(&self, pattern: &Self) {
            self.0.0.store(pattern.config(), Ordering::Relaxed);
        }
    }

    type Key = fn(&u32) -> u32;

    fn changeable(capacity: usize) -> PerKey<u32, Changeable, Key> {
        let key: Key = |request| *request;
        PerKey::of(NonZeroUsize::new(capacity).unwrap(), Changeable::new(1), key)
    }

    #[test]
    fn handles_that_are_held_and_those_of_later_keys_are_changed_and_one_tells_of_it() {
        let per_key = changeable(10);
        let held = [per_key.handle(&1), per_key.handle(&2)];
        held[1].reconfigure(7).unwrap();
        per_key.clone().reconfigure(2).unwrap();
        assert!(held.iter().all(|handle| handle.config() == 2), "also the one changed by itself");
        assert_eq!(held.map(|handle| handle.told()), [0, 1]);
        assert_eq!((per_key.handle(&3).config(), per_key.config()), (2, Some(2)));
    }

    #[test]
    fn what_a_call_holds_of_a_key_that_is_forgotten_stays_as_it_is() {
        let per_key = changeable(2);
        let held = per_key.handle(&0);
        // Each of the others is in use for a while.
        (3..300).for_each(|step| drop(per_key.handle(&(step / 3))));
        assert!(per_key.entries().iter().all(|(key, _)| *key != 0), "forgotten by the map");
        per_key.reconfigure(2).unwrap();
        assert_eq!((held.config(), per_key.handle(&0).config()), (1, 2));
        per_key.reconfigure(3).unwrap();
        assert_eq!(held.config(), 1);
    }

    #[test]
    fn a_configuration_that_is_refused_changes_no_handle() {
        let per_key = changeable(10);
        let held = per_key.handle(&1);
        assert_eq!(per_key.reconfigure(0).unwrap_err().field, "number");
        assert_eq!((held.config(), per_key.handle(&2).config(), per_key.config()), (1, 1, Some(1)));
    }

    #[test]
    fn handles_that_a_function_makes_are_not_changed() {
        let key: Key = |request| *request;
        let made = || Changeable::new(1);
        let per_key = PerKey::new(NonZeroUsize::new(10).unwrap(), made, key);
        let held = per_key.handle(&1);
        assert_eq!(per_key.reconfigure(2).unwrap_err().field, "make");
        assert_eq!((held.config(), per_key.config()), (1, None));
    }

    /// The handle of a key that is first seen during a change must not keep the old configuration.
    #[test]
    fn no_handle_misses_a_change_that_comes_while_it_is_made() {
        for round in 0..300 {
            let per_key = changeable(64);
            let start = Barrier::new(3);
            thread::scope(|scope| {
                for offset in [0, 16] {
                    let (per_key, start) = (&per_key, &start);
                    scope.spawn(move || {
                        start.wait();
                        (offset..offset + 16).for_each(|key| drop(per_key.handle(&key)));
                    });
                }
                start.wait();
                (2..6).for_each(|config| per_key.reconfigure(config).unwrap());
            });
            for (key, handle) in per_key.entries() {
                assert_eq!(handle.config(), 5, "key {key}, round {round}");
            }
        }
    }

    #[test]
    fn keys_stay_out_of_the_debug_output() {
        let per_key = numbered(10);
        drop(per_key.handle(&4_711));
        assert_eq!(format!("{per_key:?}"), "PerKey { .. }");
    }
}
