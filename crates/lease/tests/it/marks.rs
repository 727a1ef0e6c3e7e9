//! Marks that outlast the process.

use std::{fs, num::NonZeroUsize, path::Path, time::Duration};

use futures::future::join_all;
use steadfast_lease::{
    FenceConfig, FenceMark, Fenced, FencedReason, Fences, FencingToken, MarksError,
};

fn token(number: u64) -> FencingToken {
    FencingToken::try_from(number).unwrap()
}

fn open_with(config: FenceConfig, most: usize, path: &Path) -> Result<Fences, MarksError> {
    Fences::open(config, NonZeroUsize::new(most).unwrap(), path)
}

fn open(path: &Path) -> Fences {
    open_with(FenceConfig::new(), 1_000, path).unwrap()
}

/// What another process would find now.
fn copied(path: &Path) -> Fences {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    open(&copy)
}

#[tokio::test]
async fn a_mark_is_in_the_file_before_its_call_runs_and_a_restart_forgets_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let fences = open(&path);
    let pass = fences.enter("a", token(34)).await.unwrap();
    assert_eq!(copied(&path).highest("a"), Some(token(34)), "while it runs");
    drop(pass);
    let numbered = FenceMark::new(token(7)).numbered(3);
    fences.enter("b", numbered).await.unwrap();
    drop(fences);
    let again = open(&path);
    assert_eq!(again.enter("a", token(33)).await.unwrap_err(), Fenced::stale(token(33), token(34)));
    let late = FenceMark::new(token(7)).numbered(2);
    let refused = again.enter("b", late).await.unwrap_err();
    assert_eq!(refused, Fenced::out_of_order(token(7), Some(2), 3));
    again.enter("a", token(34)).await.unwrap();
}

#[tokio::test]
async fn calls_under_the_highest_token_write_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let fences = open(&path);
    fences.enter("a", token(1)).await.unwrap();
    let before = fs::read(&path).unwrap();
    for _ in 0..100 {
        fences.enter("a", token(1)).await.unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_together_are_all_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let fences = open(&path);
    for round in 1..=3 {
        let names: Vec<_> = (0..300).map(|number| format!("resource {number}")).collect();
        let calls = names.iter().map(|name| fences.enter(name, token(round)));
        for passed in join_all(calls).await {
            passed.unwrap();
        }
        let found = copied(&path);
        assert!(names.iter().all(|name| found.highest(name) == Some(token(round))));
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_while_it_is_stored_gives_its_place_back() {
    let directory = tempfile::tempdir().unwrap();
    let fences = open(&directory.path().join("marks"));
    let at_once = tokio::time::timeout(Duration::ZERO, fences.enter("a", token(1))).await;
    drop(at_once);
    let snapshot = fences.fence("a").unwrap().snapshot();
    assert_eq!((snapshot.running, snapshot.older), (0, 0));
    assert_eq!(snapshot.highest, Some(FenceMark::new(token(1))));
    fences.enter("a", token(1)).await.unwrap();
}

#[tokio::test]
async fn a_try_does_not_run_under_a_mark_that_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let fences = open(&directory.path().join("marks"));
    fences.enter("a", token(1)).await.unwrap();
    let fence = fences.fence("a").unwrap();
    fence.try_enter(token(1)).unwrap();
    assert_eq!(fence.try_enter(token(2)).unwrap_err().reason, FencedReason::Busy);
}

#[tokio::test]
async fn more_marks_than_places_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let fences = open(&path);
    for name in ["a", "b", "c"] {
        fences.enter(name, token(5)).await.unwrap();
    }
    drop(fences);
    let fewer = open_with(FenceConfig::new(), 2, &path).unwrap();
    assert_eq!((fewer.snapshot().resources, fewer.snapshot().most), (3, 2));
    for name in ["a", "b", "c"] {
        assert!(fewer.enter(name, token(4)).await.is_err());
        fewer.enter(name, token(5)).await.unwrap();
    }
    assert_eq!(fewer.enter("d", token(5)).await.unwrap_err().reason, FencedReason::Full);
}

#[tokio::test]
async fn a_floor_above_the_file_counts_and_is_stored_with_the_next_call() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    open(&path).enter("a", token(5)).await.unwrap();
    let config = FenceConfig::new().floor(token(9));
    let fences = open_with(config, 10, &path).unwrap();
    assert_eq!(fences.enter("a", token(8)).await.unwrap_err(), Fenced::stale(token(8), token(9)));
    fences.enter("a", token(9)).await.unwrap();
    drop(fences);
    assert_eq!(open(&path).highest("a"), Some(token(9)));
}

#[test]
fn two_at_a_time_are_refused_and_the_second_may_follow_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let first = open(&path);
    let second = open_with(FenceConfig::new(), 10, &path).unwrap_err();
    assert!(matches!(second, MarksError::InUse { .. }), "{second}");
    drop(first);
    open(&path);
}

#[test]
fn what_is_no_file_of_marks_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    for bytes in [&b""[..], b"hello", b"sffence2"] {
        fs::write(&path, bytes).unwrap();
        let error = open_with(FenceConfig::new(), 10, &path).unwrap_err();
        assert!(matches!(error, MarksError::Corrupt { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let nowhere = open_with(FenceConfig::new(), 10, Path::new("/nowhere/marks")).unwrap_err();
    assert!(matches!(nowhere, MarksError::Io { .. }), "{nowhere}");
    let config = FenceConfig::new().patience(Duration::MAX);
    let error = open_with(config, 10, &directory.path().join("other")).unwrap_err();
    assert!(matches!(error, MarksError::Config(_)), "{error}");
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_the_file_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let fences = open(&path);
    fences.enter("a", token(1)).await.unwrap();
    let whole = fs::read(&path).unwrap();
    fences.enter("a", token(2)).await.unwrap();
    drop(fences);
    let all = fs::read(&path).unwrap();
    for end in whole.len()..all.len() {
        fs::write(&path, &all[..end]).unwrap();
        let fences = open(&path);
        assert_eq!(fences.highest("a"), Some(token(1)), "{end}");
        fences.enter("a", token(3)).await.unwrap();
        drop(fences);
        assert_eq!(open(&path).highest("a"), Some(token(3)), "{end}");
    }
}

#[tokio::test]
async fn the_file_stays_short_however_many_marks_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marks");
    let fences = open(&path);
    let name = "x".repeat(255);
    // Five times as much as it may hold, many marks at a time.
    for round in 0..20_u64 {
        let calls = (0..1_000).map(|call| fences.enter(&name, token(round * 1_000 + call)));
        join_all(calls).await;
    }
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes < 3 << 20, "{bytes}");
    assert_eq!(copied(&path).highest(&name), Some(token(19_999)));
}
