//! Marks that outlast the process, in a file.

mod frames;

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex},
};

use steadfast_core::{ConfigError, parts::lock};
use tokio::{sync::oneshot, task::spawn_blocking};

use super::mark::FenceMark;

/// The file of marks failed, or cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarksError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file failed.
    #[error("the marks in {} could not be {action}", path.display())]
    Io {
        /// What was tried: `read`, `stored` or `locked`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// What is in the file is not what was stored there. Nothing can be fenced by it: restore it,
    /// or find out by hand which tokens were seen.
    #[error("{} holds no marks that can be trusted: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Other fences use the file, in this process or another: each would forget what the other has
    /// seen.
    #[error("{} is in use by other fences", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// The file. Marks are appended and flushed to the disk; those that come while the disk is busy are
/// written together.
#[derive(Debug)]
pub(crate) struct Marks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Neither lock is held while the other's work is done, but that of the file while the disk is.
    waiting: Mutex<Vec<Waiting>>,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Waiting {
    name: Box<str>,
    mark: FenceMark,
    stored: oneshot::Sender<Result<(), io::ErrorKind>>,
}

/// What is stored, and the file that it is stored in.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    directory: PathBuf,
    /// `None` once a write has failed: what the file holds from there on is not known.
    file: Option<File>,
    bytes: u64,
    marks: HashMap<Box<str>, FenceMark>,
    lock: File,
    /// The process that locked it: a copy that a fork made must not give the lock back.
    owner: u32,
    is_closed: bool,
}

/// A resource by its name, and its highest mark.
pub(crate) type Stored = (Box<str>, FenceMark);

/// A file is written anew when it is longer than this, and than four times what is in it.
const SMALL_BYTES: u64 = 1 << 20;

impl Marks {
    /// Reads the file, and writes it anew. Blocks.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Stored>), MarksError> {
        let log = Log::open(path)?;
        let marks = log.marks.iter().map(|(name, mark)| (name.clone(), *mark)).collect();
        let (waiting, log) = (Mutex::default(), Mutex::new(log));
        Ok((Self { shared: Arc::new(Shared { waiting, log }) }, marks))
    }

    /// Ready once the mark outlasts the process and the machine. Dropped, it may be stored all the
    /// same.
    pub(crate) async fn store(&self, name: &str, mark: FenceMark) -> io::Result<()> {
        let (stored, result) = oneshot::channel();
        lock(&self.shared.waiting).push(Waiting { name: name.into(), mark, stored });
        let shared = Arc::clone(&self.shared);
        // Off the threads of the runtime. One that finds nothing to do has been served by another.
        drop(spawn_blocking(move || shared.flush()));
        match result.await {
            Ok(stored) => stored.map_err(io::Error::from),
            // The runtime ends.
            Err(_) => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

#[cfg(test)]
impl Marks {
    /// Has the next write fail: what can only be read refuses it.
    pub(super) fn fail_once(&self) {
        let mut log = lock(&self.shared.log);
        log.file = Some(File::open(&log.path).expect("it is there"));
    }
}

impl Drop for Marks {
    /// The file is free for others after that. A write that is under way is waited for, and one
    /// whose call has gone is not begun.
    fn drop(&mut self) {
        lock(&self.shared.log).close();
    }
}

impl Shared {
    fn flush(&self) {
        let mut log = lock(&self.log);
        let waiting = mem::take(&mut *lock(&self.waiting));
        if waiting.is_empty() {
            return;
        }
        let batch = waiting.iter().map(|waiting| (&*waiting.name, waiting.mark));
        let result = log.store(batch).map_err(|error| error.kind());
        drop(log);
        for waiting in waiting {
            // Its call may have gone.
            let _ = waiting.stored.send(result);
        }
    }
}

impl Log {
    fn open(path: &Path) -> Result<Self, MarksError> {
        let failed = |action, source| MarksError::Io { action, path: path.to_owned(), source };
        let (directory, path) = resolve(path).map_err(|source| failed("locked", source))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(&path, ".fence-lock"))
            .map_err(|source| failed("locked", source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(MarksError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(failed("locked", source)),
        }
        let (marks, owner) = (HashMap::new(), process::id());
        let mut log =
            Self { path, directory, file: None, bytes: 0, marks, lock, owner, is_closed: false };
        let bytes = match fs::read(&log.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => frames::HEAD.to_vec(),
            Err(source) => return Err(failed("read", source)),
        };
        let read = frames::read(&bytes, |name, mark| raise(&mut log.marks, name, mark));
        read.map_err(|reason| MarksError::Corrupt { path: log.path.clone(), reason })?;
        // What a crash has left half written is gone after that, and the disk is known to take
        // writes.
        log.write_anew().map_err(|source| failed("stored", source))?;
        Ok(log)
    }

    fn store<'a>(
        &mut self,
        batch: impl Iterator<Item = (&'a str, FenceMark)> + Clone,
    ) -> io::Result<()> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for (name, mark) in batch.clone() {
            raise(&mut self.marks, name, mark);
        }
        let frame = frames::frame(batch);
        let is_long = self.bytes > SMALL_BYTES.max(4 * frames::bytes_of(&self.marks));
        match &mut self.file {
            Some(file) if !is_long => {
                let written = file.write_all(&frame).and_then(|()| file.sync_data());
                if written.is_err() {
                    // After a failed flush the kernel may have dropped what it holds.
                    self.file = None;
                }
                self.bytes += frame.len() as u64;
                written
            }
            _ => self.write_anew(),
        }
    }

    /// A lock belongs to all copies of a descriptor, and a child that another thread makes holds
    /// copies until it runs a program of its own: to drop this one is not enough.
    fn close(&mut self) {
        (self.file, self.is_closed) = (None, true);
        if self.owner == process::id() {
            // Where that fails, the kernel still unlocks when the last copy is closed.
            let _ = self.lock.unlock();
        }
    }

    /// All marks in a new file, which takes the place of the old one as a whole.
    fn write_anew(&mut self) -> io::Result<()> {
        self.file = None;
        let new = beside(&self.path, ".fence-new");
        // A leftover of a crash, or a link that was put there: nothing is written through it.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&new)?;
        let mut bytes = frames::HEAD.to_vec();
        if !self.marks.is_empty() {
            bytes.extend(frames::frame(self.marks.iter().map(|(name, mark)| (&**name, *mark))));
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_directory(&self.directory)?;
        (self.file, self.bytes) = (Some(file), bytes.len() as u64);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

fn raise(marks: &mut HashMap<Box<str>, FenceMark>, name: &str, mark: FenceMark) {
    match marks.get_mut(name) {
        Some(highest) => *highest = mark.max(*highest),
        None => drop(marks.insert(name.into(), mark)),
    }
}

/// The directory and the file that `path` stands for; links are followed once, here. The file need
/// not be there, but its directory must.
fn resolve(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name)
        }
        Err(error) => return Err(error),
    };
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    Ok((directory, path))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
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
    use steadfast_core::FencingToken;

    use super::*;

    fn mark(token: u64) -> FenceMark {
        FenceMark::new(FencingToken::try_from(token).unwrap())
    }

    #[tokio::test]
    async fn a_failed_write_is_told_and_the_next_writes_the_file_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        let (marks, _) = Marks::open(&path).unwrap();
        marks.store("a", mark(1)).await.unwrap();
        marks.fail_once();
        marks.store("a", mark(2)).await.unwrap_err();
        marks.store("b", mark(1)).await.unwrap();
        drop(marks);
        let (_, mut found) = Marks::open(&path).unwrap();
        found.sort();
        // Higher than any call that ran, which refuses too much and nothing too little.
        assert_eq!(found, [("a".into(), mark(2)), ("b".into(), mark(1))]);
    }

    /// Calls let in one after the other may be stored in another order.
    #[tokio::test]
    async fn a_mark_that_is_stored_late_does_not_lower_a_greater_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        let (marks, _) = Marks::open(&path).unwrap();
        marks.store("a", mark(5)).await.unwrap();
        marks.store("a", mark(3)).await.unwrap();
        drop(marks);
        // As it was appended, and as it was written anew by the first reading.
        for _ in 0..2 {
            let (_, found) = Marks::open(&path).unwrap();
            assert_eq!(found, [("a".into(), mark(5))]);
        }
    }

    /// Another may have opened the file by then.
    #[tokio::test]
    async fn a_call_that_comes_to_be_stored_after_the_end_is_refused_and_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        let (marks, _) = Marks::open(&path).unwrap();
        let (stored, result) = oneshot::channel();
        lock(&marks.shared.waiting).push(Waiting { name: "a".into(), mark: mark(1), stored });
        let shared = Arc::clone(&marks.shared);
        drop(marks);
        shared.flush();
        assert_eq!(result.await.unwrap(), Err(io::ErrorKind::BrokenPipe));
        assert!(Marks::open(&path).unwrap().1.is_empty());
    }

    #[test]
    fn a_copy_in_a_forked_process_does_not_give_the_lock_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("marks");
        let parents = Log::open(&path).unwrap();
        drop(Log {
            path: parents.path.clone(),
            directory: parents.directory.clone(),
            file: None,
            bytes: 0,
            marks: HashMap::new(),
            lock: parents.lock.try_clone().unwrap(),
            owner: parents.owner ^ 1,
            is_closed: false,
        });
        assert!(matches!(Log::open(&path).unwrap_err(), MarksError::InUse { .. }));
        drop(parents);
        Log::open(&path).unwrap();
    }
}
