//! A clock that is restarted.

#[cfg(unix)]
mod files;
#[cfg(feature = "tokio")]
mod keeper;
mod marks;

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use steadfast_clock::{
    ClockError, HighWater, HighWaterError, HighWaterFile, Hlc, HlcConfig, OpenError, PersistentHlc,
    PersistentHlcSnapshot, Physical, Timestamp,
};
use steadfast_core::{ManualWallClock, SystemWallClock};
use steadfast_testkit::FaultyClock;
use tempfile::tempdir;

use crate::{HOUR, MS, manual};

fn open<H: HighWater>(store: H) -> PersistentHlc<ManualWallClock, H> {
    PersistentHlc::open(manual(), HlcConfig::new(), store).unwrap()
}

fn file(directory: &Path) -> HighWaterFile {
    HighWaterFile::open(directory.join("high-water")).unwrap()
}

#[test]
fn a_clock_set_back_between_two_runs_stays_monotone() {
    let directory = tempdir().unwrap();
    let mut last = Timestamp::MIN;
    for back in [Duration::ZERO, HOUR, 24 * HOUR, Duration::ZERO] {
        let clock = open(file(directory.path()));
        clock.hlc().clock().step_back(back);
        for _ in 0..10 {
            let stamp = clock.tick().unwrap();
            assert!(stamp > last);
            last = stamp;
            clock.hlc().clock().advance(100 * MS);
        }
    }
}

#[test]
fn what_was_heard_is_remembered_though_it_was_only_adopted() {
    let directory = tempdir().unwrap();
    let remote = Timestamp::from(Physical::from_unix(crate::NOW + 400 * MS));
    open(file(directory.path())).merge(remote).unwrap();
    assert!(open(file(directory.path())).tick().unwrap() > remote);
    let received = open(file(directory.path())).update(remote.next()).unwrap();
    assert!(open(file(directory.path())).tick().unwrap() > received);
}

/// Stores in memory that outlasts the clock, and fails when it is told to.
#[derive(Clone, Debug, Default)]
struct Memory {
    mark: Arc<AtomicU64>,
    stores: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
}

impl HighWater for Memory {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        let mark = self.mark.load(Ordering::SeqCst);
        Ok((mark > 0).then_some(Timestamp::from_bits(mark)))
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        self.stores.fetch_add(1, Ordering::SeqCst);
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return Err(HighWaterError::Store {
                action: "stored",
                source: io::Error::from(io::ErrorKind::StorageFull).into(),
            });
        }
        assert!(
            mark.to_bits() > self.mark.swap(mark.to_bits(), Ordering::SeqCst),
            "a mark only rises"
        );
        Ok(())
    }
}

#[test]
fn a_stamp_that_could_not_be_kept_is_not_given_out_and_the_next_event_tries_again() {
    let store = Memory::default();
    store.failures.store(2, Ordering::SeqCst);
    let clock = open(store.clone());
    assert!(matches!(clock.tick(), Err(HighWaterError::Store { action: "stored", .. })));
    assert!(matches!(clock.update(Timestamp::MIN), Err(ClockError::HighWater(_))));
    let stamp = clock.tick().unwrap();
    assert!(stamp.to_bits() <= store.mark.load(Ordering::SeqCst));
}

#[test]
fn the_store_is_asked_once_in_a_reserve_and_never_when_kept_ahead() {
    let store = Memory::default();
    let clock = open(store.clone());
    for _ in 0..10_000 {
        clock.tick().unwrap();
        clock.hlc().clock().advance(MS / 10);
    }
    // A second of ticks, and half of 500 ms at a time.
    assert_eq!(store.stores.load(Ordering::SeqCst), 4);
    for _ in 0..10_000 {
        clock.keep_ahead().unwrap();
        let before = store.stores.load(Ordering::SeqCst);
        clock.tick().unwrap();
        assert_eq!(store.stores.load(Ordering::SeqCst), before, "no event waits for the store");
        clock.hlc().clock().advance(MS);
    }
    assert!(
        store.stores.load(Ordering::SeqCst) <= 4 + 160,
        "each store lasts for a quarter of the reserve"
    );
}

#[test]
fn a_process_that_keeps_crashing_does_not_run_away() {
    let store = Memory::default();
    for _ in 0..100 {
        open(store.clone()).tick().unwrap();
    }
    let clock = open(store);
    clock.tick().unwrap();
    assert!(
        clock.hlc().lead() < 250 * MS + 102 * (MS + 2 * Physical::GRAIN),
        "{:?}",
        clock.hlc().lead()
    );
}

#[test]
fn kept_ahead_as_often_as_documented_no_event_waits() {
    let store = Memory::default();
    let clock = open(store.clone());
    clock.keep_ahead().unwrap();
    for grain in 1..100_000 {
        clock.hlc().clock().advance(MS / 10);
        if grain % 1250 == 0 {
            clock.keep_ahead().unwrap();
        }
        let before = store.stores.load(Ordering::SeqCst);
        clock.tick().unwrap();
        assert_eq!(store.stores.load(Ordering::SeqCst), before, "an event waited");
    }
}

#[test]
fn a_peer_that_is_always_ahead_does_not_make_every_event_wait() {
    let store = Memory::default();
    let clock = open(store.clone());
    for millis in 0..5000_u32 {
        clock.hlc().clock().advance(MS);
        clock.update(Physical::from_unix(crate::NOW + (millis + 300) * MS).into()).unwrap();
    }
    let stores = store.stores.load(Ordering::SeqCst);
    assert!(stores <= 8 + 5 * 4 + 1, "{stores}");
}

#[test]
fn a_wall_clock_that_was_far_beyond_the_end_for_a_moment_does_not_lock_the_clock_out() {
    let store = Memory::default();
    let clock = open(store.clone());
    clock
        .hlc()
        .clock()
        .set(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(40_000_000_000));
    let last = clock.tick().unwrap();
    for _ in 0..3 {
        assert!(open(store.clone()).tick().unwrap() > last);
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_and_never_replaced() {
    let directory = tempdir().unwrap();
    let (volume, etc) = (directory.path().join("volume"), directory.path().join("etc"));
    fs::create_dir(&volume).unwrap();
    fs::create_dir(&etc).unwrap();
    let link = || std::os::unix::fs::symlink("../volume/mark", etc.join("mark")).unwrap();
    link();
    let first = open(HighWaterFile::open(etc.join("mark")).unwrap()).tick().unwrap();
    assert!(volume.join("mark").is_file() && etc.join("mark").is_symlink());
    let held = HighWaterFile::open(volume.join("mark")).unwrap();
    assert!(
        matches!(HighWaterFile::open(etc.join("mark")), Err(HighWaterError::InUse { .. })),
        "another name for it"
    );
    drop(held);
    let clock = open(HighWaterFile::open(etc.join("mark")).unwrap());
    clock.hlc().clock().step_back(HOUR);
    assert!(clock.tick().unwrap() > first);
}

#[test]
fn a_mark_that_somebody_else_raised_is_not_lowered() {
    let directory = tempdir().unwrap();
    let first = file(directory.path());
    fs::remove_file(directory.path().join("high-water.high-water-lock")).unwrap();
    let second = file(directory.path());
    second.store(Timestamp::from_bits(9)).unwrap();
    assert!(matches!(first.store(Timestamp::from_bits(8)), Err(HighWaterError::InUse { .. })));
    assert_eq!(first.load().unwrap(), Some(Timestamp::from_bits(9)));
}

#[test]
fn many_threads_share_one_mark() {
    let store = Memory::default();
    let clock = Arc::new(open(store.clone()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    let stamp = clock.tick().unwrap();
                    assert!(stamp.to_bits() <= store.mark.load(Ordering::SeqCst));
                }
            });
        }
    });
}

#[test]
fn a_second_clock_on_one_file_is_refused_until_the_first_is_gone() {
    let directory = tempdir().unwrap();
    let first = file(directory.path());
    let path = directory.path().join("high-water");
    assert!(
        matches!(HighWaterFile::open(&path), Err(HighWaterError::InUse { path: named }) if named == path)
    );
    drop(first);
    HighWaterFile::open(path).unwrap();
}

#[test]
fn garbage_in_the_file_is_an_error_and_never_a_clock_that_begins_anew() {
    let directory = tempdir().unwrap();
    open(file(directory.path())).tick().unwrap();
    let path = directory.path().join("high-water");
    let good = fs::read(&path).unwrap();
    assert_eq!(good.len(), 20);
    let garbage = (0..good.len())
        .map(|cut| good[..cut].to_vec())
        .chain([[&good[..], b"x"].concat(), vec![0; 20]]);
    let flipped = (0..good.len() * 8).map(|bit| {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    for bytes in garbage.chain(flipped) {
        fs::write(&path, &bytes).unwrap();
        let error =
            PersistentHlc::open(manual(), HlcConfig::new(), file(directory.path())).unwrap_err();
        assert!(
            matches!(error, OpenError::HighWater(HighWaterError::Corrupt { .. })),
            "{bytes:?}: {error}"
        );
    }
    fs::write(&path, good).unwrap();
    open(file(directory.path())).tick().unwrap();
}

#[test]
fn what_a_crash_left_half_written_is_overwritten() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("high-water.high-water-new"), b"half").unwrap();
    let stamp = open(file(directory.path())).tick().unwrap();
    assert!(open(file(directory.path())).tick().unwrap() > stamp);
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("missing/high-water");
    let error = HighWaterFile::open(&path).unwrap_err();
    assert!(matches!(error, HighWaterError::Io { action: "locked", .. }), "{error}");
    let text = format!("the high water in {} could not be locked", path.display());
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_store_that_is_chosen_when_the_program_starts_or_is_shared_does_as_well() {
    let directory = tempdir().unwrap();
    let shared = Memory::default();
    let stores: [Box<dyn HighWater>; 3] =
        [Box::new(file(directory.path())), Box::new(Arc::new(shared.clone())), Box::new(shared)];
    for store in stores {
        let store: Arc<dyn HighWater> = Arc::new(store);
        let last = open(Arc::clone(&store)).tick().unwrap();
        assert!(store.load().unwrap() >= Some(last));
        assert!(open(store).tick().unwrap() > last);
    }
}

#[test]
fn a_file_that_cannot_be_stored_or_read_is_named() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("high-water");
    let clock = open(file(directory.path()));
    fs::create_dir_all(directory.path().join("high-water.high-water-new/full")).unwrap();
    let error = clock.tick().unwrap_err();
    assert!(
        matches!(&error, HighWaterError::Io { action: "stored", path: named, .. } if *named == path)
    );
    assert_eq!(
        error.to_string(),
        format!("the high water in {} could not be stored", path.display())
    );
    fs::create_dir(&path).unwrap();
    let error = clock.tick().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the high water in {} could not be read", path.display())
    );
}

#[test]
fn a_snapshot_tells_the_mark_what_is_left_below_it_and_how_often_the_store_failed() {
    let store = Memory::default();
    let clock = open(store.clone());
    let empty = clock.snapshot();
    assert_eq!((empty.high_water, empty.left, empty.asked), (Timestamp::MIN, Duration::ZERO, 0));
    store.failures.store(1, Ordering::SeqCst);
    clock.tick().unwrap_err();
    let stamp = clock.tick().unwrap();
    clock.hlc().clock().advance(100 * MS);
    let state: PersistentHlcSnapshot = clock.snapshot();
    assert_eq!(state.clock, clock.hlc().snapshot());
    assert_eq!(
        (state.clock.last, state.high_water.to_bits()),
        (stamp, store.mark.load(Ordering::SeqCst))
    );
    assert_eq!((state.reserve, state.left), (250 * MS, 150 * MS));
    assert_eq!((state.asked, state.failed), (2, 1));
}

/// So many days above the latest time a clock believes.
fn beyond_the_limit(days: u64) -> Timestamp {
    Physical::LIMIT.plus_grains(days * 24 * 3600 * 10_000).into()
}

#[test]
fn a_mark_beyond_the_end_is_refused() {
    for mark in [Timestamp::MAX, beyond_the_limit(60).next()] {
        let store = Memory::default();
        store.mark.store(mark.to_bits(), Ordering::SeqCst);
        let error = PersistentHlc::open(manual(), HlcConfig::new(), store).unwrap_err();
        assert!(matches!(error, OpenError::Config(config) if config.field == "high_water"));
    }
}

#[test]
fn a_mark_that_a_clock_has_stored_can_be_opened_again_wherever_it_began() {
    let store = Memory::default();
    let config = HlcConfig::new().start_after(beyond_the_limit(30)).max_drift(24 * HOUR);
    let mut last = PersistentHlc::open(manual(), config, store.clone()).unwrap().tick().unwrap();
    for _ in 0..100 {
        let stamp = open(store.clone()).tick().unwrap();
        assert!(stamp > last);
        last = stamp;
    }
}

#[test]
fn a_clock_that_came_to_its_end_opens_and_gives_out_nothing_it_could_not_keep() {
    let store = Memory::default();
    let end = beyond_the_limit(60);
    store.mark.store(end.to_bits() - 2, Ordering::SeqCst);
    let clock = open(store.clone());
    assert_eq!(clock.tick().unwrap().to_bits(), end.to_bits() - 1);
    assert_eq!(clock.tick().unwrap(), end);
    for clock in [clock, open(store.clone())] {
        clock.keep_ahead().unwrap();
        assert!(matches!(clock.tick(), Err(HighWaterError::Exhausted)));
    }
    assert_eq!(store.mark.load(Ordering::SeqCst), end.to_bits());
}

#[test]
fn a_plain_clock_would_have_gone_back() {
    // What the mark is for: without it the second run stamps below the first.
    let first = Hlc::new(manual(), HlcConfig::new()).unwrap().tick();
    let set_back = manual();
    set_back.step_back(HOUR);
    assert!(Hlc::new(set_back, HlcConfig::new()).unwrap().tick() < first);
}

/// Set for the child process: where its mark is, and how far its wall clock is from the system's.
const CHILD: (&str, &str) = ("STEADFAST_HIGH_WATER", "STEADFAST_OFFSET_NANOS");

/// What the child process does: it stamps and prints until it is killed. Without the variables
/// there is nothing to do.
#[test]
fn child() {
    let (Ok(path), Ok(offset)) = (env::var(CHILD.0), env::var(CHILD.1)) else { return };
    let wall = FaultyClock::new(SystemWallClock).ahead_by_nanos(offset.parse().unwrap());
    let clock =
        PersistentHlc::open(wall, HlcConfig::new(), HighWaterFile::open(path).unwrap()).unwrap();
    loop {
        println!("stamp {}", clock.tick().unwrap().compact());
    }
}

#[test]
fn a_process_that_is_killed_and_restarted_with_its_clock_set_back_stays_monotone() {
    let directory = tempdir().unwrap();
    let mut last = Timestamp::MIN;
    for round in 0..4 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "persistent::child", "--nocapture"])
            .env(CHILD.0, directory.path().join("high-water"))
            .env(CHILD.1, (-round * 60_000_000_000_i64).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stamps = lines.filter_map(|line| {
            line.unwrap().split_once("stamp ").map(|(_, stamp)| stamp.parse().unwrap())
        });
        let stamps: Vec<Timestamp> = stamps.take(5000).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(stamps.len(), 5000);
        for stamp in stamps {
            assert!(stamp > last, "round {round}: {stamp} after {last}");
            last = stamp;
        }
    }
}
