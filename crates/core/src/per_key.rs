//! One handle for each key, bounded.

use std::{convert::Infallible, fmt, hash::Hash, num::NonZeroUsize, sync::Arc};

use quick_cache::sync::Cache;

use crate::{Select, Selected};

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
        Self {
            handles: Arc::new(Handles { map: Cache::new(capacity.get()), make: Box::new(make) }),
            key,
        }
    }

    /// The handle of `key`, made if there is none.
    #[must_use]
    pub fn handle(&self, key: &K) -> V {
        let Handles { map, make } = &*self.handles;
        match map.get_or_insert_with(key, || Ok::<_, Infallible>(make())) {
            Ok(handle) => handle,
            Err(never) => match never {},
        }
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

    #[test]
    fn keys_stay_out_of_the_debug_output() {
        let per_key = numbered(10);
        drop(per_key.handle(&4_711));
        assert_eq!(format!("{per_key:?}"), "PerKey { .. }");
    }
}
