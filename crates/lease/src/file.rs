//! Leases in files, for the processes of one machine.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use rand::RngExt;
use steadfast_core::{BootClock, Executed, SystemWallClock, WallClock, parts::lock};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use self::slots::{Boot, Kept};
use crate::{
    AcquireReply, AcquireTerms, LeaseName, Margin, Nonce, RenewReply, Slot, Store, StoreError,
    View, Vigil, polled,
};

mod config;
mod locked;
mod place;
mod slots;

pub use self::config::FileConfig;

/// Keeps leases in files of one directory, for any number of processes of one machine. Linux.
///
/// Each name has a file of a kilobyte, with two records that are written in turn: one that is half
/// written when its process is killed leaves the other. An operation locks the file, reads it,
/// decides, writes, flushes it to the disk and unlocks it, off the threads of the runtime. The lock
/// is the kernel's: it goes with a process that is killed. A process that is *stopped* in the
/// middle keeps it, and the others time out meanwhile, after `lock_wait`.
///
/// # What it promises
/// Leases are counted on the clock of the machine that runs through suspend, so no step of the wall
/// clock moves them. After a restart of the machine nothing says how much of them was left: a lease
/// from before is held until it was watched for a whole TTL without a renewal.
///
/// Tokens grow as long as the file is there, whatever becomes of processes; the wall clock is part
/// of them, so they grow after the file was lost as well, unless that clock has gone back. Files
/// are never removed: there are as many as names.
///
/// A directory that another machine may see, over a network or from a virtual machine's host, is no
/// place for it: locks and clocks are not shared. File systems that are known to be such are
/// refused.
///
/// ```
/// use steadfast_lease::{FileConfig, FileStore, LeaseClient, LeaseClientConfig, LeaseName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().join("leases");
/// let store = FileStore::open(FileConfig::new(), directory).await?;
/// let client = LeaseClient::new(LeaseClientConfig::new(), store)?;
/// let lease = client.try_acquire(LeaseName::new("nightly report")?).await?;
/// # lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    config: FileConfig,
    directory: PathBuf,
    boot: Boot,
    clock: BootClock,
    wall_clock: SystemWallClock,
    /// Of leases from before a restart of the machine, by what is watched of them. No panic leaves
    /// it half changed.
    vigils: Mutex<HashMap<LeaseName, Vigil<u64>>>,
}

/// Where a kernel says which boot this is: another after each restart.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl FileStore {
    /// Leases in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::StoreErrorKind::Misconfigured) when a value is outside of what its
    /// setter names, or the directory is of a file system that other machines may share;
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) when it cannot be made or read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(config: FileConfig, directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        config.check().map_err(|error| StoreError::misconfigured().because(error))?;
        let directory = directory.as_ref().to_owned();
        blocking(move || Self::open_blocking(config, &directory)).await
    }

    fn open_blocking(config: FileConfig, directory: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::unavailable(Executed::No).because(error);
        fs::create_dir_all(directory).map_err(failed)?;
        let directory = fs::canonicalize(directory).map_err(failed)?;
        place::refuse_shared(&directory)?;
        let boot = fs::read_to_string(BOOT_ID).map_err(failed)?;
        let boot = Boot::parse(&boot)
            .ok_or_else(|| StoreError::misconfigured().because("the kernel tells no boot"))?;
        Ok(Self::of(config, directory, boot))
    }

    fn of(config: FileConfig, directory: PathBuf, boot: Boot) -> Self {
        let (clock, wall_clock, vigils) = (BootClock::system(), SystemWallClock, Mutex::default());
        let shared = Shared { config, directory, boot, clock, wall_clock, vigils };
        Self { shared: Arc::new(shared) }
    }

    async fn look(&self, name: &LeaseName) -> Result<View, StoreError> {
        let look = |slot: &mut Slot, moment: Moment| Ok(slot.observe(moment.now));
        self.with(name, false, look).await
    }

    /// Does something to the record of a name, again while its file is locked by others.
    async fn with<T: Send + 'static>(
        &self,
        name: &LeaseName,
        makes: bool,
        change: impl Fn(&mut Slot, Moment) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + self.shared.config.lock_wait;
        loop {
            let (shared, name, change) = (Arc::clone(&self.shared), name.clone(), change.clone());
            let done = blocking(move || shared.attempt(&name, makes, change)).await?;
            if let Some(done) = done {
                return Ok(done);
            }
            if Instant::now() >= until {
                let busy = "the file is locked: a process stands still in the middle of a write";
                return Err(StoreError::timed_out().executed_as(Executed::No).because(busy));
            }
            // About as long as a flush takes, and not in step with the others.
            let pause = AGAIN.mul_f64(rand::rng().random_range(0.5..2.0));
            sleep(pause).await;
        }
    }
}

const AGAIN: Duration = Duration::from_millis(1);

/// What the clocks say while the file is locked.
#[derive(Clone, Copy)]
struct Moment {
    now: Duration,
    micros: u64,
}

impl Shared {
    /// One try; `None` while another has locked the file.
    fn attempt<T>(
        &self,
        name: &LeaseName,
        makes: bool,
        change: impl Fn(&mut Slot, Moment) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let path = place::of(&self.directory, name);
        let file = match locked::open(&path, makes) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            // A name that was never leased.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !makes => {
                return change(&mut Slot::default(), self.moment()).map(Some);
            }
            Err(error) => return Err(StoreError::unavailable(Executed::No).because(error)),
        };
        let Kept { sequence, boot, slot } = file.read()?;
        let moment = self.moment();
        let before = self.on_this_clock(name, sequence, boot, slot, moment.now);
        let mut after = before.clone();
        let answer = change(&mut after, moment)?;
        if after != before {
            let kept = Kept { sequence: sequence + 1, boot: self.boot, slot: after };
            file.write(&kept)
                .map_err(|error| StoreError::unavailable(Executed::Maybe).because(error))?;
            lock(&self.vigils).remove(name);
        }
        Ok(Some(answer))
    }

    fn moment(&self) -> Moment {
        let since = self.wall_clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Moment { now: self.clock.now().since_zero(), micros }
    }

    /// The record with its times on the clock of this boot: a lease from before a restart lasts for
    /// as long as it still has to be watched.
    fn on_this_clock(
        &self,
        name: &LeaseName,
        sequence: u64,
        boot: Boot,
        mut slot: Slot,
        now: Duration,
    ) -> Slot {
        let Some(owner) = slot.owner.as_mut().filter(|_| boot != self.boot) else { return slot };
        let mut vigils = lock(&self.vigils);
        let begin = || Vigil::begin(sequence, owner.ttl, Margin::new(), now);
        let vigil = vigils.entry(name.clone()).or_insert_with(begin);
        owner.until = now.saturating_add(vigil.look(sequence, owner.ttl, Margin::new(), now));
        slot
    }
}

impl Store for FileStore {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        let terms = terms.clone();
        let acquire = move |slot: &mut Slot, Moment { now, micros }: Moment| {
            slot.acquire(&terms, now, micros).map_err(|error| StoreError::full().because(error))
        };
        self.with(name, true, acquire).await
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        let renew = move |slot: &mut Slot, moment: Moment| Ok(slot.renew(nonce, moment.now));
        self.with(name, false, renew).await
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        let release = move |slot: &mut Slot, moment: Moment| Ok(slot.release(nonce, moment.now));
        self.with(name, false, release).await
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        polled::observe(seen, self.shared.config.look_every, || self.look(name)).await
    }
}

/// Off the threads of the runtime. A call whose future is dropped goes on to its end.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(call).await {
        Ok(result) => result,
        // The runtime ends, or the call has panicked.
        Err(error) => Err(StoreError::unavailable(Executed::Maybe).because(error)),
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("config", &self.shared.config)
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
