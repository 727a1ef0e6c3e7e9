//! A file that this process has locked.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use steadfast_core::Executed;

use super::slots::{self, FILE_BYTES, Kept};
use crate::StoreError;

/// Unlocked when it is dropped. To close it is not enough: a lock belongs to all copies of a
/// descriptor, and a child that another thread makes holds copies until it runs a program of its
/// own.
#[derive(Debug)]
pub(super) struct Locked {
    file: File,
}

/// Locks the file at `path`; `None` while another process, or another thread, has locked it. Makes
/// it first where that is asked for.
pub(super) fn open(path: &Path, makes: bool) -> io::Result<Option<Locked>> {
    let mut options = OpenOptions::new();
    let file = match options.read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && makes => make(path)?,
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Locked { file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// An empty file, which outlasts a crash of the machine. Several processes may make it at once.
fn make(path: &Path) -> io::Result<File> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(directory)?;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

impl Locked {
    /// The newer record; the first one, which is written then, where there is none.
    pub(super) fn read(&self) -> Result<Kept, StoreError> {
        let failed = |error| StoreError::unavailable(Executed::No).because(error);
        // One more than there should be: what is longer is another's.
        let mut bytes = [0; FILE_BYTES + 1];
        let mut length = 0;
        while length < bytes.len() {
            match self.file.read_at(&mut bytes[length..], length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if let Some(kept) = slots::read(&bytes[..length])? {
            return Ok(kept);
        }
        let first = Kept::first();
        let mut whole = [0; FILE_BYTES];
        whole[..slots::SLOT_BYTES].copy_from_slice(&first.encode());
        self.file.write_all_at(&whole, 0).and_then(|()| self.file.sync_all()).map_err(failed)?;
        Ok(first)
    }

    /// Writes the record over the older one. When it returns, it is on the disk.
    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        self.file.write_all_at(&kept.encode(), kept.offset() as u64)?;
        self.file.sync_data()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where that fails, the kernel still unlocks when the last copy is closed.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
impl Locked {
    /// As a child has it that was just made.
    pub(super) fn copy(&self) -> File {
        self.file.try_clone().expect("descriptors are left")
    }
}
