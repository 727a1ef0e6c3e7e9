//! Work that goes on after its caller has gone.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::timeout};

use self::places::{End, Places, Ticket};
use crate::{ConfigError, Snapshot};

mod places;

/// How many tasks a [`Detach`] runs, and for how long.
///
/// | | default | why |
/// |---|---|---|
/// | `most` | 1,024 | a thousand tasks of a few kilobytes each; more are a sign that something hangs |
/// | `limit` | none | only the program knows how long its work may take |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct DetachConfig {
    most: NonZeroUsize,
    limit: Option<Duration>,
}

impl DetachConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self { most: NonZeroUsize::new(1024).expect("1,024 is not zero"), limit: None }
    }

    /// How many tasks there may be at a time, reserved places among them.
    pub const fn most(mut self, most: NonZeroUsize) -> Self {
        self.most = most;
        self
    }

    /// How long a task may take; then it is cancelled. Without a limit a task that never ends keeps
    /// its place, and [`Detach::shutdown`] waits for it.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl Default for DetachConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs work in the background that nothing waits for any more: writes that every node should get,
/// a handler whose client has gone, a lease that is kept alive.
///
/// Bounded in number, and in time if the config says so. A handle: clones share the bounds. Before
/// a program ends it waits for the work: [`shutdown`](Self::shutdown).
///
/// The work runs as tasks of the tokio runtime in which its place was reserved; a limit needs that
/// runtime's timer. Outside of a runtime no place is given. A task that panics, or whose runtime
/// ends, gives its place back like any other. A task is in no span of `tracing`, whichever its
/// caller is in: work that is to be, brings it along (`work.instrument(Span::current())`), as a
/// quorum's calls do.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::{Detach, DetachConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let detach = Detach::new(DetachConfig::new().limit(Duration::from_secs(10)))?;
/// // Reserved before there is any work: once the work has begun there is no need to refuse it.
/// let place = detach.reserve()?;
/// place.spawn(async { /* ... */ });
/// detach.shutdown().await;
/// assert_eq!(detach.snapshot().finished, 1);
/// assert!(detach.reserve().is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Detach {
    places: Arc<Places>,
    limit: Option<Duration>,
}

/// A [`Detach`] as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DetachSnapshot {
    /// Places that are reserved for work that has not begun.
    pub reserved: usize,
    /// Tasks under way.
    pub in_flight: usize,
    /// Tasks that have finished.
    pub finished: u64,
    /// Tasks that were cancelled at the limit.
    pub timed_out: u64,
    /// Places that were refused: because of too many, after the shutdown, or outside of a runtime.
    pub refused: u64,
    /// Tasks that were ended by a panic, or with their runtime.
    pub broken: u64,
    /// Whether it was shut down.
    pub is_shut_down: bool,
}

/// Why there is no place for more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// All places are taken.
    #[error("all {most} places are taken")]
    Full {
        /// How many there are.
        most: usize,
    },
    /// It was shut down.
    #[error("shut down")]
    ShutDown,
    /// The caller is outside of a tokio runtime.
    #[error("no tokio runtime to run in")]
    NoRuntime,
}

impl Detach {
    /// A handle of its own, with nothing under way.
    ///
    /// # Errors
    /// When the limit is zero.
    pub fn new(config: DetachConfig) -> Result<Self, ConfigError> {
        let DetachConfig { most, limit } = config;
        ConfigError::require(
            limit.is_none_or(|limit| !limit.is_zero()),
            "limit",
            limit,
            "above zero",
        )?;
        Ok(Self { places: Arc::new(Places::new(most.get())), limit })
    }

    /// Reserves a place for work to come. Dropped without work, the place is given back.
    ///
    /// # Errors
    /// When all places are taken, after [`shutdown`](Self::shutdown), and outside of a tokio
    /// runtime. Counted as refused.
    pub fn reserve(&self) -> Result<Place, ReserveError> {
        // The runtime first: a place that no task can use is not taken.
        let Ok(runtime) = Handle::try_current() else {
            return Err(self.places.refuse(ReserveError::NoRuntime));
        };
        Ok(Place { ticket: self.places.reserve()?, runtime, limit: self.limit })
    }

    /// Runs `work` in the background, in a place reserved for it now.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve); then `work` is dropped.
    pub fn spawn<F>(&self, work: F) -> Result<(), ReserveError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.reserve()?.spawn(work);
        Ok(())
    }

    /// Gives out no more places, and waits until all tasks have ended and all places are given
    /// back. A place that was reserved before may still be used.
    ///
    /// With a limit it takes at most that long after the last place was used. Dropping the future
    /// ends the wait and nothing else.
    pub async fn shutdown(&self) {
        self.places.shut_down();
        self.idle().await;
    }

    /// Waits until no task is under way and no place is reserved. Dropping the future ends the
    /// wait.
    pub async fn idle(&self) {
        self.places.idle().await;
    }
}

impl Detach {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> DetachSnapshot {
        self.places.snapshot()
    }
}

impl Snapshot for Detach {
    type State = DetachSnapshot;

    fn snapshot(&self) -> DetachSnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Detach")
            .field("limit", &self.limit)
            .field("snapshot", &snapshot)
            .finish_non_exhaustive()
    }
}

/// One of the places of a [`Detach`], for one task. Dropped without one, it is given back.
#[must_use = "a place that is dropped is given back"]
pub struct Place {
    ticket: Ticket,
    runtime: Handle,
    limit: Option<Duration>,
}

impl Place {
    /// Runs `work` in the background. It is cancelled at the limit, if there is one. If the runtime
    /// has ended since, `work` is dropped here, and counted as broken.
    pub fn spawn<F>(self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { mut ticket, runtime, limit } = self;
        ticket.begin();
        // In this order: whenever both are dropped together, what the work held is gone before its
        // place is given back.
        let task = (work, ticket);
        runtime.spawn(async move {
            let (work, mut ticket) = task;
            let in_time = match limit {
                Some(limit) => timeout(limit, work).await.is_ok(),
                None => {
                    work.await;
                    true
                }
            };
            ticket.end(if in_time { End::Finished } else { End::TimedOut });
        });
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::{future::pending, sync::mpsc};

    use tokio::time::{Instant, advance, sleep};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at_most(most: usize) -> Detach {
        Detach::new(DetachConfig::new().most(NonZeroUsize::new(most).unwrap())).unwrap()
    }

    fn counts(detach: &Detach) -> (usize, usize) {
        let DetachSnapshot { reserved, in_flight, .. } = detach.snapshot();
        (reserved, in_flight)
    }

    /// Says at its drop whether a place is still taken for it.
    struct Holds(Detach, mpsc::Sender<(usize, usize)>);

    impl Drop for Holds {
        fn drop(&mut self) {
            let _ = self.1.send(counts(&self.0));
        }
    }

    #[test]
    fn a_limit_of_zero_is_refused() {
        assert_eq!(
            Detach::new(DetachConfig::new().limit(Duration::ZERO)).unwrap_err().field,
            "limit"
        );
    }

    #[tokio::test]
    async fn a_place_that_is_dropped_is_given_back() {
        let detach = at_most(1);
        let place = detach.reserve().unwrap();
        assert_eq!(counts(&detach), (1, 0));
        assert_eq!(detach.reserve().unwrap_err(), ReserveError::Full { most: 1 });
        drop(place);
        assert_eq!(counts(&detach), (0, 0));
        detach.spawn(async {}).unwrap();
        detach.idle().await;
        let snapshot = detach.snapshot();
        assert_eq!((snapshot.finished, snapshot.refused, snapshot.broken), (1, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_work_takes_as_long_as_it_takes() {
        let detach = at_most(1);
        detach.spawn(sleep(Duration::from_secs(86_400))).unwrap();
        let start = Instant::now();
        detach.shutdown().await;
        assert_eq!(((Instant::now() - start).as_secs(), detach.snapshot().finished), (86_400, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_limit_work_that_hangs_is_cancelled_and_gone_before_its_place_is_free() {
        let detach = Detach::new(DetachConfig::new().limit(30 * MS)).unwrap();
        let (sender, dropped) = mpsc::channel();
        let holds = Holds(detach.clone(), sender);
        detach
            .spawn(async move {
                let _holds = holds;
                pending::<()>().await;
            })
            .unwrap();
        let start = Instant::now();
        detach.idle().await;
        assert_eq!((Instant::now() - start, detach.snapshot().timed_out), (30 * MS, 1));
        assert_eq!(dropped.recv().unwrap(), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_a_place_that_is_reserved_and_for_the_work_that_comes_in_it() {
        let detach = at_most(3);
        let (place, unused) = (detach.reserve().unwrap(), detach.reserve().unwrap());
        let shutdown = tokio::spawn({
            let detach = detach.clone();
            async move { detach.shutdown().await }
        });
        tokio::task::yield_now().await;
        assert_eq!(detach.reserve().unwrap_err(), ReserveError::ShutDown);
        place.spawn(sleep(20 * MS));
        advance(10 * MS).await;
        drop(unused);
        tokio::task::yield_now().await;
        assert!(!shutdown.is_finished());
        shutdown.await.unwrap();
        assert_eq!((counts(&detach), detach.snapshot().finished), ((0, 0), 1));
    }

    #[tokio::test]
    async fn dropping_the_wait_changes_nothing_else() {
        let detach = at_most(1);
        let place = detach.reserve().unwrap();
        assert!(futures::poll!(Box::pin(detach.shutdown())).is_pending());
        place.spawn(async {});
        detach.idle().await;
        assert!(detach.snapshot().is_shut_down);
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_place_back() {
        let detach = at_most(1);
        detach.spawn(async { panic!("in the background") }).unwrap();
        detach.idle().await;
        assert_eq!((detach.snapshot().broken, counts(&detach)), (1, (0, 0)));
        detach.spawn(async {}).unwrap();
        detach.shutdown().await;
        assert_eq!(detach.snapshot().finished, 1);
    }

    /// Panics at its drop, and asks for a place in it.
    struct Hostile(Detach);

    impl Drop for Hostile {
        fn drop(&mut self) {
            assert!(self.0.reserve().is_ok(), "no lock is held, and a place is left");
            panic!("at the drop");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_whose_drop_panics_or_comes_back_gives_its_place_back() {
        let detach = Detach::new(DetachConfig::new().limit(MS)).unwrap();
        for hostile in [Hostile(detach.clone()), Hostile(detach.clone())] {
            let hangs = detach.snapshot().broken == 0;
            let work = async move {
                let _hostile = hostile;
                if hangs {
                    pending::<()>().await;
                }
            };
            detach.spawn(work).unwrap();
            detach.idle().await;
        }
        assert_eq!((detach.snapshot().broken, counts(&detach)), (2, (0, 0)));
    }

    #[test]
    fn a_limit_without_a_timer_breaks_the_work_and_gives_its_place_back() {
        let detach = Detach::new(DetachConfig::new().limit(MS)).unwrap();
        let (sender, dropped) = mpsc::channel();
        let holds = Holds(detach.clone(), sender);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            detach.spawn(async move { drop(holds) }).unwrap();
            detach.shutdown().await;
        });
        assert_eq!((dropped.recv().unwrap(), detach.snapshot().broken), ((0, 1), 1));
    }

    #[test]
    fn outside_of_a_runtime_there_is_no_place() {
        let detach = at_most(1);
        assert_eq!(detach.spawn(pending()).unwrap_err(), ReserveError::NoRuntime);
        assert_eq!((detach.snapshot().refused, counts(&detach)), (1, (0, 0)));
    }

    #[test]
    fn work_that_ends_with_its_runtime_gives_its_place_back() {
        let detach = at_most(2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reserved = runtime.block_on(async {
            detach.spawn(pending()).unwrap();
            detach.reserve().unwrap()
        });
        drop(runtime);
        assert_eq!((detach.snapshot().broken, counts(&detach)), (1, (1, 0)));
        // A place outlives its runtime, and the work that comes in it is dropped.
        let (sender, dropped) = mpsc::channel();
        let holds = Holds(detach.clone(), sender);
        reserved.spawn(async move { drop(holds) });
        assert_eq!(dropped.recv().unwrap(), (0, 1), "dropped while its place was still taken");
        assert_eq!((detach.snapshot().broken, counts(&detach)), (2, (0, 0)));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(detach.shutdown());
    }

    /// Threads reserve, use and drop places until the shutdown: not one place comes after it, and
    /// not one is lost.
    #[test]
    fn a_shutdown_that_races_with_reservations_loses_none() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        for _ in 0..50 {
            let detach = at_most(4);
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (detach, runtime) = (detach.clone(), runtime.handle().clone());
                    std::thread::spawn(move || {
                        let _in_it = runtime.enter();
                        let mut used = 0;
                        loop {
                            match detach.reserve() {
                                Ok(place) if used % 3 == 2 => drop(place),
                                Ok(place) => place.spawn(tokio::task::yield_now()),
                                Err(ReserveError::ShutDown) => return used - used / 3,
                                Err(_) => continue,
                            }
                            used += 1;
                        }
                    })
                })
                .collect();
            runtime.block_on(async {
                while detach.snapshot().finished < 20 {
                    tokio::task::yield_now().await;
                }
                detach.shutdown().await;
            });
            let at_shutdown = detach.snapshot();
            let spawned: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(
                (at_shutdown.reserved, at_shutdown.in_flight, at_shutdown.finished),
                (0, 0, spawned)
            );
            assert_eq!(
                DetachSnapshot { refused: 0, ..detach.snapshot() },
                DetachSnapshot { refused: 0, ..at_shutdown }
            );
        }
    }
}
