//! A server's wall clock, which a test steps while the server runs.

use std::{
    env,
    fs::{self, File, Permissions},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::guardian::{self, missing};

/// An offset in a file that the server has mapped, by a library that is preloaded into it.
///
/// libfaketime would do as much, but Redis hangs under it: its allocator asks for the time while it
/// starts, and libfaketime allocates then.
#[derive(Debug)]
pub(super) struct Clock {
    file: File,
    /// What the server's clock is off by, in seconds, and which of the two slots says so.
    offset: Mutex<(i64, u8)>,
    /// What is put in front of the server's command line.
    words: [String; 3],
}

/// As the library has it: two slots of 64 bits, and which of them holds.
const SLOTS: u64 = 2;
const SLOT_BYTES: u64 = 8;
const BYTES: usize = 24;

impl Clock {
    /// Compiles the library in the server's directory.
    pub(super) fn new(directory: &Path) -> Self {
        let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|programs| programs.join("cc").exists());
        if !found {
            missing("cc", &"it is not in PATH, and compiles a server's clock");
        }
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let [source, library, offset] = ["clock.c", "clock.so", "clock"].map(path);
        fs::write(&source, include_str!("clock.c")).expect("it was made a moment ago");
        let command =
            ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", &library, &source];
        guardian::run(directory, &command.map(str::to_owned));
        let file = File::create(&offset).expect("it was made a moment ago");
        file.write_all_at(&[0; BYTES], 0).expect("a disk with space");
        // The server may be another user's.
        for (file, mode) in [(&library, 0o755), (&offset, 0o644)] {
            fs::set_permissions(file, Permissions::from_mode(mode)).expect("they are this user's");
        }
        let preloaded = format!("LD_PRELOAD={library}");
        let words = ["env".to_owned(), preloaded, format!("STEADFAST_CLOCK={offset}")];
        Self { file, offset: Mutex::default(), words }
    }

    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    /// Sets the clock forward by so many seconds, or back.
    pub(super) fn step(&self, seconds: i64) {
        let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        let (sum, slot) = (offset.0 + seconds, offset.1 ^ 1);
        // The slot that does not hold, and then that it does: the server reads in between.
        let at = u64::from(slot) * SLOT_BYTES;
        let written = self.file.write_all_at(&sum.to_ne_bytes(), at);
        written
            .and_then(|()| self.file.write_all_at(&[slot], SLOTS * SLOT_BYTES))
            .expect("the file has its length already");
        *offset = (sum, slot);
    }
}
