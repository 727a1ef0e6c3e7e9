//! A place for files.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
};

/// Gone at the end, with the files.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("steadfast-bench-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left there is temporary.
        let _ = fs::remove_dir_all(&self.0);
    }
}
