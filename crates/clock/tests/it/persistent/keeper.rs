//! The task that raises the mark ahead of time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, ThreadId},
    time::Duration,
};

use steadfast_clock::{
    HighWater, HighWaterError, HighWaterFile, HlcConfig, Keeper, KeeperConfig, PersistentHlc,
    Timestamp,
};
use steadfast_core::ManualWallClock;
use tempfile::tempdir;
use tokio::task::JoinHandle;

use super::{Memory, open};
use crate::{HOUR, MS, manual};

type Wall = Arc<ManualWallClock>;

/// Notes on which threads it was asked, fails or panics when it is told to, and waits where it is
/// told to.
#[derive(Debug, Default)]
struct Watched {
    inner: Memory,
    threads: Mutex<Vec<ThreadId>>,
    fails: AtomicBool,
    panics: AtomicBool,
    asked: AtomicU64,
    waits: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Watched {
    fn by_this_thread(&self) -> usize {
        self.threads.lock().unwrap().iter().filter(|&&id| id == thread::current().id()).count()
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl HighWater for Watched {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        self.inner.load()
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        self.threads.lock().unwrap().push(thread::current().id());
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        if self.fails.load(Ordering::SeqCst) {
            return Err(HighWaterError::Store { action: "stored", source: "on purpose".into() });
        }
        let waits = self.waits.lock().unwrap().take();
        if let Some(release) = waits {
            release.recv().unwrap();
        }
        self.inner.store(mark)
    }
}

/// A clock whose first mark is stored, and its keeper.
fn kept(config: KeeperConfig) -> (PersistentHlc<Wall, Arc<Watched>>, Arc<Watched>, JoinHandle<()>) {
    let store = Arc::new(Watched::default());
    let clock = PersistentHlc::open(Arc::new(manual()), HlcConfig::new(), Arc::clone(&store));
    let clock = clock.unwrap();
    clock.keep_ahead().unwrap();
    store.threads.lock().unwrap().clear();
    let keeper = tokio::spawn(Keeper::new(&clock, config).unwrap().run());
    (clock, store, keeper)
}

/// Lets so much time pass, on all clocks, a millisecond at a time.
async fn pass(clock: &PersistentHlc<Wall, Arc<Watched>>, time: Duration, mut each: impl FnMut()) {
    for _ in 0..time.as_millis() {
        clock.hlc().clock().advance(MS);
        // The paused clock does not go on while a thread that may block is at work.
        tokio::time::sleep(MS).await;
        each();
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_runs_no_event_waits_for_the_store() {
    for config in [KeeperConfig::new(), KeeperConfig::new().every(MS)] {
        let (clock, store, _keeper) = kept(config);
        let mut last = clock.tick().unwrap();
        pass(&clock, 10_000 * MS, || {
            let stamp = clock.tick().unwrap();
            assert!(stamp > last);
            last = stamp;
        })
        .await;
        assert_eq!(store.by_this_thread(), 0, "an event stored");
        let state = clock.snapshot();
        assert!(state.high_water > last && state.left > 62 * MS, "{state:?}");
        // A store lasts for at least a quarter of the reserve of 250 ms.
        let asked = store.asked();
        assert!((40..=1 + 160).contains(&asked), "{asked}, {config:?}");
        assert_eq!((state.asked, state.failed, state.reserve), (asked, 0, 250 * MS));
    }
}

#[tokio::test(start_paused = true)]
async fn without_it_events_do() {
    let (clock, store, keeper) = kept(KeeperConfig::new());
    keeper.abort();
    pass(&clock, 1000 * MS, || {
        clock.tick().unwrap();
    })
    .await;
    assert_eq!(store.by_this_thread(), 3, "and the first mark");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_again_and_fails_no_event_while_the_mark_is_ahead() {
    let (clock, store, _keeper) = kept(KeeperConfig::new());
    store.fails.store(true, Ordering::SeqCst);
    let before = store.asked();
    pass(&clock, 240 * MS, || {
        clock.tick().unwrap();
    })
    .await;
    // At 125, 156 and 218 ms: for one failure there is time before the mark is reached.
    assert_eq!((store.asked() - before, clock.snapshot().failed), (3, 3));
    assert_eq!(store.by_this_thread(), 0);
    pass(&clock, 60 * MS, || ()).await;
    clock.tick().unwrap_err();
    assert_eq!(store.by_this_thread(), 1, "an event has tried for itself");

    store.fails.store(false, Ordering::SeqCst);
    let mut last = clock.tick().unwrap();
    store.threads.lock().unwrap().clear();
    pass(&clock, 2000 * MS, || {
        let stamp = clock.tick().unwrap();
        assert!(stamp > last);
        last = stamp;
    })
    .await;
    assert_eq!(store.by_this_thread(), 0, "it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_for_long_is_asked_as_often_as_ever_and_not_more() {
    let (clock, store, keeper) = kept(KeeperConfig::new());
    store.fails.store(true, Ordering::SeqCst);
    let before = store.asked();
    pass(&clock, 60_000 * MS, || ()).await;
    let asked = store.asked() - before;
    assert!((470..=482).contains(&asked), "{asked} in 60 s, of one in 125 ms");
    assert!(!keeper.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_is_not_asked_each_time_that_a_keeper_looks_often() {
    let (clock, store, _keeper) = kept(KeeperConfig::new().every(MS));
    store.fails.store(true, Ordering::SeqCst);
    let before = store.asked();
    pass(&clock, 10_000 * MS, || ()).await;
    let asked = store.asked() - before;
    // Each eighth of 500 ms, which a timer rounds up.
    assert!((150..=162).contains(&asked), "{asked} in 10 s");
    store.fails.store(false, Ordering::SeqCst);
    pass(&clock, 63 * MS, || ()).await;
    assert!(clock.snapshot().left > 187 * MS, "it looks often again");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_ends_neither_it_nor_the_clock() {
    let (clock, store, keeper) = kept(KeeperConfig::new());
    store.panics.store(true, Ordering::SeqCst);
    let before = store.asked();
    pass(&clock, 200 * MS, || ()).await;
    assert!(store.asked() >= 2 && !keeper.is_finished());
    assert_eq!(clock.snapshot().failed, store.asked() - before, "a panic is a failure");
    store.panics.store(false, Ordering::SeqCst);
    pass(&clock, 200 * MS, || ()).await;
    clock.tick().unwrap();
    assert_eq!(store.by_this_thread(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_of_them_ask_the_store_no_more_than_one() {
    let (clock, store, _keeper) = kept(KeeperConfig::new().every(MS));
    let _other = tokio::spawn(Keeper::new(&clock, KeeperConfig::new()).unwrap().run());
    let before = store.asked();
    pass(&clock, 10_000 * MS, || {
        clock.tick().unwrap();
    })
    .await;
    let asked = store.asked() - before;
    assert!((150..=160).contains(&asked) && store.by_this_thread() == 0, "{asked} in 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_back_leaves_it_nothing_to_store_until_time_comes_up_to_the_mark()
{
    let (clock, store, _keeper) = kept(KeeperConfig::new().every(MS));
    pass(&clock, 100 * MS, || {
        clock.tick().unwrap();
    })
    .await;
    let before = store.asked();
    clock.hlc().clock().step_back(HOUR);
    let mut last = clock.tick().unwrap();
    pass(&clock, 5000 * MS, || {
        let stamp = clock.tick().unwrap();
        assert!(stamp > last);
        last = stamp;
    })
    .await;
    assert_eq!((store.asked(), store.by_this_thread()), (before, 0), "it counts below the mark");
    // Time passes the last mark with a jump: then it is ahead again.
    clock.hlc().clock().advance(2 * HOUR);
    pass(&clock, 2 * MS, || ()).await;
    clock.tick().unwrap();
    assert_eq!((store.asked(), store.by_this_thread()), (before + 1, 0));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_handle_and_then_the_file_is_free() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("high-water");
    let mut last = Timestamp::MIN;
    for _ in 0..20 {
        let clock = open(HighWaterFile::open(&path).unwrap());
        let keeper = tokio::spawn(Keeper::new(&clock, KeeperConfig::new()).unwrap().run());
        clock.hlc().clock().step_back(HOUR);
        tokio::time::sleep(200 * MS).await;
        let stamp = clock.tick().unwrap();
        assert!(stamp > last);
        last = stamp;
        let other = clock.clone();
        drop(clock);
        tokio::time::sleep(200 * MS).await;
        assert!(!keeper.is_finished(), "another handle lives");
        drop(other);
        keeper.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_stores_it_leaves_the_store_to_end_and_the_clock_sound() {
    let (clock, store, keeper) = kept(KeeperConfig::new());
    let (release, waits) = mpsc::channel();
    *store.waits.lock().unwrap() = Some(waits);
    let before = store.asked();
    clock.hlc().clock().advance(125 * MS);
    while store.asked() == before {
        tokio::time::advance(MS).await;
        tokio::task::yield_now().await;
    }
    keeper.abort();
    assert!(keeper.await.unwrap_err().is_cancelled());
    let (mark, stamp) = (clock.snapshot().high_water, clock.tick().unwrap());
    assert!(stamp <= mark, "below the mark no event waits, and a snapshot never does");
    release.send(()).unwrap();
    while clock.snapshot().high_water == mark {
        thread::yield_now();
    }
    assert_eq!(store.load().unwrap(), Some(clock.snapshot().high_water));
}

#[tokio::test(start_paused = true)]
async fn dropped_before_it_was_polled_it_has_done_nothing() {
    let (clock, store, keeper) = kept(KeeperConfig::new());
    let before = store.asked();
    keeper.abort();
    let unpolled = Keeper::new(&clock, KeeperConfig::new()).unwrap().run();
    pass(&clock, 300 * MS, || ()).await;
    drop(unpolled);
    assert_eq!(store.asked(), before);
}

#[test]
fn the_end_of_its_runtime_ends_it_and_not_the_clock() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (clock, _, keeper) = runtime.block_on(async { kept(KeeperConfig::new()) });
    drop(runtime);
    assert!(keeper.is_finished());
    clock.hlc().clock().advance(HOUR);
    clock.tick().unwrap();
}

#[test]
fn a_period_that_cannot_work_is_refused() {
    let clock = open(Memory::default());
    for every in [Duration::ZERO, MS / 2, 126 * MS, HOUR] {
        let error = Keeper::new(&clock, KeeperConfig::new().every(every)).unwrap_err();
        assert_eq!(error.field, "every");
    }
    for every in [MS, 125 * MS] {
        let _ = Keeper::new(&clock, KeeperConfig::new().every(every)).unwrap();
    }
    let narrow = HlcConfig::new().max_drift(2 * MS);
    let clock = PersistentHlc::open(manual(), narrow, Memory::default()).unwrap();
    assert_eq!(Keeper::new(&clock, KeeperConfig::new()).unwrap_err().value, "500µs");
}
