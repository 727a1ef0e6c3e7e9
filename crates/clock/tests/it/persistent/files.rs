//! What a file of 20 bytes does on a disk that others use as well.

use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, symlink},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use steadfast_clock::{HighWater, HighWaterError, HighWaterFile, Timestamp};
use tempfile::tempdir;

use super::{file, open};

const MARK: Timestamp = Timestamp::from_bits(9);

const CHILDREN: u32 = 1000;

#[test]
fn a_mark_replaces_the_last_one_as_a_whole_and_never_writes_into_it() {
    let directory = tempdir().unwrap();
    let (store, path) = (file(directory.path()), directory.path().join("high-water"));
    store.store(MARK).unwrap();
    // A process that opened the last mark goes on to read that: what is written is another file.
    let (mut reader, inode) = (fs::File::open(&path).unwrap(), fs::metadata(&path).unwrap().ino());
    store.store(MARK.next()).unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    assert!(!directory.path().join("high-water.high-water-new").exists(), "it was renamed");
    let mut before = Vec::new();
    reader.read_to_end(&mut before).unwrap();
    assert_eq!(before[8..16], MARK.to_be_bytes());
    assert_eq!(store.load().unwrap(), Some(MARK.next()));
}

#[test]
fn a_link_in_the_place_of_the_second_file_leads_nowhere() {
    let directory = tempdir().unwrap();
    let (victim, new) =
        (directory.path().join("victim"), directory.path().join("high-water.high-water-new"));
    fs::write(&victim, "precious").unwrap();
    let store = file(directory.path());
    for target in ["victim", "nothing"] {
        symlink(target, &new).unwrap();
        store.store(MARK).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!directory.path().join("nothing").exists());
        assert!(!directory.path().join("high-water").is_symlink());
        assert_eq!(store.load().unwrap(), Some(MARK));
    }
}

#[test]
fn a_hard_link_in_the_place_of_the_second_file_is_not_written_through() {
    let directory = tempdir().unwrap();
    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::hard_link(&victim, directory.path().join("high-water.high-water-new")).unwrap();
    file(directory.path()).store(MARK).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_file_without_end_is_garbage_and_not_read_to_its_end() {
    let directory = tempdir().unwrap();
    open(file(directory.path())).tick().unwrap();
    let path = directory.path().join("high-water");
    // Sparse, and more than there is memory.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 43).unwrap();
    assert!(matches!(file(directory.path()).load(), Err(HighWaterError::Corrupt { .. })));
}

/// A child that is being made holds a copy of every descriptor until it runs a program of its own,
/// and the lock of a file belongs to all copies of its descriptor: only to close it would leave the
/// file in use for as long as that.
#[test]
fn a_file_is_free_once_its_clock_is_gone_while_other_threads_make_children() {
    let directory = tempdir().unwrap();
    let done = AtomicBool::new(false);
    let (mut reopened, mut in_use) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CHILDREN {
                assert!(Command::new("true").status().unwrap().success());
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            match HighWaterFile::open(directory.path().join("high-water")) {
                Ok(store) => drop(store),
                Err(HighWaterError::InUse { .. }) => in_use += 1,
                Err(error) => panic!("{error}"),
            }
            reopened += 1;
        }
    });
    assert!(reopened > CHILDREN, "{reopened} reopened");
    assert_eq!(in_use, 0, "of {reopened} reopened while {CHILDREN} children were made");
}
