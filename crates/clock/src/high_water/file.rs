//! The high water in a file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
};

use super::{HighWater, HighWaterError};
use crate::Timestamp;

/// The high water in a file of 20 bytes, replaced as a whole: a reader finds what was stored last,
/// whenever the power went.
///
/// Each mark is written to a second file (`….high-water-new`), flushed to the disk, and renamed
/// over the first; then the directory is flushed. A third file (`….high-water-lock`) is locked
/// while the value lives, so that no two clocks share one mark; removing it removes that
/// protection. The lock is given back when the value is dropped, also while another thread makes a
/// child process; a process that is killed may leave it to a child that it was just making, until
/// that runs its program. It belongs to the process that opened it: one that forks to become a
/// daemon opens it afterwards. Symbolic links are followed, and a relative path is resolved, once:
/// when it is opened.
///
/// The bytes are the kind and the version of the file, the mark, and a CRC-32 of both. A file of
/// another version is refused.
///
/// A file that is not there is taken for that of a clock that never ran: keep it, and back it up,
/// with what the clock's stamps are kept in. Not for network file systems: there a lock may hold on
/// one machine only, and a flush may not reach the disk.
#[derive(Debug)]
pub struct HighWaterFile {
    path: PathBuf,
    new: PathBuf,
    directory: PathBuf,
    lock: File,
    /// The process that locked it: a copy that a fork made must not give the lock back.
    owner: u32,
}

/// What the file begins with: its kind, and then its version in one byte.
const KIND: [u8; 7] = *b"sfclock";

/// Version 1 checked the mark by its complement, which two words that were swapped pass.
const VERSION: u8 = b'2';

/// Kind and version, and the mark: what the check is of.
const CHECKED: usize = 16;

const LENGTH: usize = CHECKED + 4;

impl HighWaterFile {
    /// The high water at `path`, whose directory must exist. The file need not.
    ///
    /// # Errors
    /// When the file is in use, by this process or another, or cannot be locked.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, HighWaterError> {
        let path = path.into();
        let (directory, path) =
            resolve(&path, LINKS).map_err(|source| failed("locked", &path, source))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(&path, ".high-water-lock"));
        let lock = lock.map_err(|source| failed("locked", &path, source))?;
        match lock.try_lock() {
            Ok(()) => {
                let (new, owner) = (beside(&path, ".high-water-new"), process::id());
                Ok(Self { path, new, directory, lock, owner })
            }
            Err(TryLockError::WouldBlock) => Err(HighWaterError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(failed("locked", &path, source)),
        }
    }

    fn write(&self, mark: Timestamp) -> io::Result<()> {
        // A leftover of a crash, or a link that was put there, is removed: nothing is written
        // through it.
        match fs::remove_file(&self.new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&self.new)?;
        file.write_all(&encode(mark))?;
        file.sync_all()?;
        fs::rename(&self.new, &self.path)?;
        sync_directory(&self.directory)
    }
}

impl HighWater for HighWaterFile {
    fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
        match read(&self.path) {
            Ok(bytes) => decode(&bytes)
                .map(Some)
                .map_err(|reason| HighWaterError::Corrupt { path: self.path.clone(), reason }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", &self.path, source)),
        }
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        // Another clock has raised it only if the lock file was removed; to lower the mark would
        // lose its.
        if self.load()?.is_some_and(|stored| stored > mark) {
            return Err(HighWaterError::InUse { path: self.path.clone() });
        }
        self.write(mark).map_err(|source| failed("stored", &self.path, source))
    }
}

impl Drop for HighWaterFile {
    /// A lock belongs to all copies of a descriptor. A child that another thread makes holds copies
    /// of all of them until it runs a program of its own, so that to close this one is not enough.
    /// A child that never does may drop its copy of this value, while the clock here runs on.
    fn drop(&mut self) {
        if self.owner == process::id() {
            // Where that fails, the kernel still unlocks when the last copy is closed.
            let _ = self.lock.unlock();
        }
    }
}

/// So many links may lead from one to the next, as on Linux.
const LINKS: usize = 40;

/// The directory and the file that `path` stands for. The file need not be there, but its directory
/// must.
fn resolve(path: &Path, links: usize) -> io::Result<(PathBuf, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::canonicalize(parent.unwrap_or(Path::new(".")))?;
    let path = directory.join(name);
    match fs::read_link(&path) {
        // Not canonicalised as a whole, because the file at its end may not have been written yet.
        Ok(target) if links > 0 => resolve(&directory.join(target), links - 1),
        Ok(_) => Err(io::Error::other("too many symbolic links")),
        Err(_) => Ok((directory, path)),
    }
}

/// At most a byte more than a mark has: whatever the file has become, that tells it from one.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LENGTH + 1);
    File::open(path)?.take(LENGTH as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A CRC sees every damage of up to 32 bits in a row, and what was moved.
fn encode(mark: Timestamp) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..7].copy_from_slice(&KIND);
    bytes[7] = VERSION;
    bytes[8..CHECKED].copy_from_slice(&mark.to_be_bytes());
    let check = crc32fast::hash(&bytes[..CHECKED]);
    bytes[CHECKED..].copy_from_slice(&check.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Timestamp, &'static str> {
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or("it is too short")?;
    match head {
        [kind @ .., VERSION] if *kind == KIND => {}
        [kind @ .., _] if *kind == KIND => return Err("it is of another version"),
        _ => return Err("it is of another kind"),
    }
    let rest: [u8; LENGTH - 8] = rest.try_into().map_err(|_| "it is not 20 bytes long")?;
    let (mark, check) = rest.split_first_chunk().expect("twelve bytes begin with eight");
    let checked = crc32fast::hash(&bytes[..CHECKED]);
    if check == checked.to_be_bytes() {
        Ok(Timestamp::from_be_bytes(*mark))
    } else {
        Err("its check does not fit its mark")
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> HighWaterError {
    HighWaterError::Io { action, path: path.to_owned(), source }
}

/// A name that was given to a file outlasts a crash once its directory is flushed.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be flushed; the rename is as durable as the system makes it.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Timestamp = Timestamp::from_bits(0x0123_4567_89ab_cdef);

    #[test]
    fn a_copy_in_a_forked_process_does_not_give_the_lock_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let parents = HighWaterFile::open(&path).unwrap();
        // What a child has after a fork: the same value over a copy of the same descriptor.
        let HighWaterFile { path: its, new, directory: its_directory, lock, owner } = &parents;
        drop(HighWaterFile {
            path: its.clone(),
            new: new.clone(),
            directory: its_directory.clone(),
            lock: lock.try_clone().unwrap(),
            owner: owner ^ 1,
        });
        let again = HighWaterFile::open(&path).unwrap_err();
        assert!(matches!(again, HighWaterError::InUse { .. }), "{again}");
        drop(parents);
        HighWaterFile::open(&path).unwrap();
    }

    #[test]
    fn a_mark_comes_back() {
        for mark in [Timestamp::MIN, MARK, Timestamp::MAX] {
            assert_eq!(decode(&encode(mark)), Ok(mark));
        }
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
    }

    #[test]
    fn a_file_of_another_kind_or_version_says_so() {
        let mut first = [0; 24];
        first[..8].copy_from_slice(b"sfclock1");
        first[16..].fill(0xff);
        assert_eq!(decode(&first), Err("it is of another version"), "as it was written once");
        let mut bytes = encode(MARK);
        bytes[0] = b'S';
        assert_eq!(decode(&bytes), Err("it is of another kind"));
        assert_eq!(decode(&bytes[..7]), Err("it is too short"));
    }

    /// All of these are seen for certain, whatever the mark: a CRC-32 (of IEEE 802.3) has a Hamming
    /// distance of 7 over 128 bits.
    #[test]
    fn up_to_three_flipped_bits_are_seen() {
        let good = encode(MARK);
        let flip = |bytes: &mut [u8; LENGTH], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
        for a in 0..LENGTH * 8 {
            let mut bytes = good;
            flip(&mut bytes, a);
            assert!(decode(&bytes).is_err(), "{a}");
            for b in a + 1..LENGTH * 8 {
                flip(&mut bytes, b);
                assert!(decode(&bytes).is_err(), "{a} {b}");
                for c in b + 1..LENGTH * 8 {
                    flip(&mut bytes, c);
                    assert!(decode(&bytes).is_err(), "{a} {b} {c}");
                    flip(&mut bytes, c);
                }
                flip(&mut bytes, b);
            }
        }
    }

    #[test]
    fn swapped_words_are_seen() {
        for mark in (0..64).map(|shift| Timestamp::from_bits(MARK.to_bits().rotate_left(shift))) {
            let good = encode(mark);
            for length in [1, 2, 4, 8] {
                let starts = |from: usize| (from..=LENGTH - length).step_by(length);
                for (a, b) in starts(0).flat_map(|a| starts(a + length).map(move |b| (a, b))) {
                    let mut bytes = good;
                    for offset in 0..length {
                        bytes.swap(a + offset, b + offset);
                    }
                    assert!(bytes == good || decode(&bytes).is_err(), "{mark}: {a} {b} {length}");
                }
            }
        }
    }
}
