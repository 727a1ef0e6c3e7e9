//! What the server has executed, in a file that outlives it.

use std::{
    collections::HashSet,
    env,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A file that is removed with this.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// An empty file with a name of its own.
    pub(crate) fn new() -> io::Result<Self> {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("six-silences-{}-{number}", process::id()));
        File::create(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// How many orders were executed.
    pub(crate) fn executed(&self) -> io::Result<usize> {
        Ok(fs::read_to_string(&self.0)?.lines().count())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Left behind it would be an empty wish of the temporary directory's, and no more.
        let _ = fs::remove_file(&self.0);
    }
}

/// The server's hand on it: one line for each order that it executes.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    keys: HashSet<String>,
}

impl Journal {
    /// With the keys of the orders that were executed before.
    pub(crate) fn open(path: &str) -> io::Result<Self> {
        let keys = fs::read_to_string(path)?.lines().map(str::to_owned).collect();
        Ok(Self { file: OpenOptions::new().append(true).open(path)?, keys })
    }

    /// Executes an order. With the key of one that was executed it is that one, and nothing is
    /// done. Effect and record are one write here, which no crash can part.
    pub(crate) fn execute(&mut self, key: Option<&str>) -> io::Result<()> {
        if let Some(key) = key
            && !self.keys.insert(key.to_owned())
        {
            return Ok(());
        }
        self.file.write_all(format!("{}\n", key.unwrap_or("no key")).as_bytes())
    }
}
