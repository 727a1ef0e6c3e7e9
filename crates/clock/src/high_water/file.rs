//! The high water in a file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{HighWater, HighWaterError};
use crate::Timestamp;

/// The high water in a file of 24 bytes, replaced as a whole: a reader finds what was stored last,
/// whenever the power went.
///
/// Each mark is written to a second file (`….high-water-new`), flushed to the disk, and renamed
/// over the first; then the directory is flushed. A third file (`….high-water-lock`) is locked
/// while the value lives, so that no two clocks share one mark; removing it removes that
/// protection. Symbolic links are followed, and a relative path is resolved, once: when it is
/// opened.
///
/// A file that is not there is taken for that of a clock that never ran: keep it, and back it up,
/// with what the clock's stamps are kept in. Not for network file systems: there a lock may hold on
/// one machine only, and a flush may not reach the disk.
#[derive(Debug)]
pub struct HighWaterFile {
    path: PathBuf,
    new: PathBuf,
    directory: PathBuf,
    /// Unlocked when it is closed.
    _lock: File,
}

/// What the file begins with: its kind and its version.
const MAGIC: [u8; 8] = *b"sfclock1";

const LENGTH: usize = 24;

impl HighWaterFile {
    /// The high water at `path`, whose directory must exist. The file need not.
    ///
    /// # Errors
    /// When the file is in use, by this process or another, or cannot be locked.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, HighWaterError> {
        let (directory, path) = resolve(&path.into(), LINKS).map_err(failed("locked"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(&path, ".high-water-lock"));
        let lock = lock.map_err(failed("locked"))?;
        match lock.try_lock() {
            Ok(()) => {
                Ok(Self { new: beside(&path, ".high-water-new"), path, directory, _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(HighWaterError::InUse { path }),
            Err(TryLockError::Error(error)) => Err(failed("locked")(error)),
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
            Err(error) => Err(failed("read")(error)),
        }
    }

    fn store(&self, mark: Timestamp) -> Result<(), HighWaterError> {
        // Another clock has raised it only if the lock file was removed; to lower the mark would
        // lose its.
        if self.load()?.is_some_and(|stored| stored > mark) {
            return Err(HighWaterError::InUse { path: self.path.clone() });
        }
        self.write(mark).map_err(failed("stored"))
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

/// The mark, and its complement: a mark that was damaged is not believed.
fn encode(mark: Timestamp) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&mark.to_be_bytes());
    bytes[16..].copy_from_slice(&(!mark.to_bits()).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Timestamp, &'static str> {
    let (magic, rest) = bytes.split_first_chunk().ok_or("it is too short")?;
    if *magic != MAGIC {
        return Err("it is of another kind or version");
    }
    let rest: [u8; 16] = rest.try_into().map_err(|_| "it is not 24 bytes long")?;
    let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|index| rest[at + index]));
    let mark = Timestamp::from_bits(word(0));
    if word(8) == !mark.to_bits() { Ok(mark) } else { Err("its two copies differ") }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> HighWaterError {
    move |source| HighWaterError::Io { action, source }
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
