//! Sharing between cores without sharing cache lines.
//!
//! A response future outlives the call that made it, so it needs a handle of its own to the layer's
//! state. A plain `Arc` gives it one at the price of two writes to a reference count that *every*
//! core writes: on two threads that alone halves the throughput of a layer that otherwise only
//! reads. Here each thread clones a handle whose count only that thread touches; all of them lead
//! to the same state.

use std::{
    convert::Infallible,
    ops::Deref,
    sync::{Arc, OnceLock},
    thread,
};

use crate::thread_number::thread_number;

/// Shared state with a reference count for each of a few lanes. Threads are spread over the lanes.
///
/// Cloning a `Striped` is one write to a shared count, as with an `Arc`; do it for each service
/// handle. For each call take a [`lane`](Self::lane).
#[derive(Debug)]
pub struct Striped<T> {
    lanes: Arc<[Arc<Lane<T>>]>,
}

/// One thread's way to the shared state, to be cloned and dropped at will.
///
/// Aligned to two cache lines, because processors fetch lines in pairs: its reference count shares
/// them with no other lane's.
#[derive(Debug)]
#[repr(align(128))]
pub struct Lane<T> {
    index: usize,
    shared: Arc<T>,
}

impl<T> Striped<T> {
    /// Shares what `make` builds; it is told how many lanes there will be.
    pub fn new(make: impl FnOnce(usize) -> T) -> Self {
        match Self::try_new(|lanes| Ok::<_, Infallible>(make(lanes))) {
            Ok(striped) => striped,
            Err(never) => match never {},
        }
    }

    /// Shares what `make` builds, if it does.
    ///
    /// # Errors
    /// What `make` fails with.
    pub fn try_new<E>(make: impl FnOnce(usize) -> Result<T, E>) -> Result<Self, E> {
        let number = lane_count();
        Ok(Self::of(number, make(number)?))
    }

    /// Shares what `make` builds with one lane, which all threads use: for handles of which there
    /// are thousands, one for each key, and few threads use the same at once. 64 lanes of 256 bytes
    /// would outweigh the state.
    pub fn single(make: impl FnOnce(usize) -> T) -> Self {
        Self::of(1, make(1))
    }

    fn of(number: usize, shared: T) -> Self {
        let shared = Arc::new(shared);
        Self {
            lanes: (0..number)
                .map(|index| Arc::new(Lane { index, shared: Arc::clone(&shared) }))
                .collect(),
        }
    }

    /// This thread's handle.
    #[inline]
    #[must_use]
    pub fn lane(&self) -> &Arc<Lane<T>> {
        // The number of lanes is a power of two.
        &self.lanes[thread_number() & (self.lanes.len() - 1)]
    }
}

impl<T> Clone for Striped<T> {
    fn clone(&self) -> Self {
        Self { lanes: Arc::clone(&self.lanes) }
    }
}

impl<T> Deref for Striped<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // Every lane leads to the same state.
        &self.lanes[0].shared
    }
}

impl<T> Lane<T> {
    /// Which lane this is, below the number of lanes.
    #[inline]
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }
}

impl<T> Deref for Lane<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.shared
    }
}

/// How many lanes a [`Striped`] has: a power of two, at least the number of cores, so that as many
/// threads rarely meet on a lane; at most 64, because summing visits them all.
#[must_use]
pub fn lane_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        thread::available_parallelism().map_or(4, |cores| cores.get().next_power_of_two().min(64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lanes_lead_to_one_state_that_dies_with_the_last_handle() {
        let token = Arc::new(());
        let striped = Striped::new(|_| Arc::clone(&token));
        let here = Arc::clone(striped.lane());
        let there =
            thread::scope(|scope| scope.spawn(|| Arc::clone(striped.lane())).join().unwrap());
        assert!(Arc::ptr_eq(&*here, &*there) && Arc::ptr_eq(&*here, &*striped));
        drop((striped, here));
        assert_eq!(Arc::strong_count(&token), 2);
        drop(there);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn a_single_lane_serves_all_threads() {
        let striped = Striped::single(|lanes| lanes);
        let lanes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| Arc::clone(striped.lane()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(
            lanes
                .iter()
                .all(|lane| Arc::ptr_eq(lane, &lanes[0]) && lane.index() == 0 && ***lane == 1)
        );
    }
}
