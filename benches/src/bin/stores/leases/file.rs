//! A file: locked, read, written in one of two places, flushed, unlocked, on a thread that may
//! block.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use rustix::time::{ClockId, clock_gettime};
use steadfast_lease::{FileConfig, FileStore, Nonce};
use tokio::task::spawn_blocking;

use super::{HOLDER, TTL};
use crate::{BoxError, directory::Directory, options::Options};

pub(super) async fn measure(options: &Options) -> Result<(), BoxError> {
    let directory = Directory::new()?;
    let store = FileStore::open(FileConfig::new(), directory.path().join("leases")).await?;
    let bare = Bare { path: directory.path().join("bare") };
    std::fs::write(&bare.path, [0; 2 * SLOT])?;
    super::compare("file", store, &bare, (options.rounds, super::always)).await
}

/// As large as a record of the store's.
const SLOT: usize = 512;

struct Bare {
    path: PathBuf,
}

/// What of a record decides.
struct Slot {
    sequence: u64,
    token: u64,
    until: u64,
    nonce: [u8; 16],
}

impl Slot {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*check) {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(*body.get(at..)?.first_chunk()?));
        let nonce = *body.get(24..)?.first_chunk()?;
        Some(Self { sequence: number(0)?, token: number(8)?, until: number(16)?, nonce })
    }

    fn encode(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.token.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.until.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.nonce);
        bytes[40..40 + HOLDER.len()].copy_from_slice(HOLDER.as_bytes());
        let check = crc32fast::hash(&bytes[..SLOT - 4]);
        bytes[SLOT - 4..].copy_from_slice(&check.to_le_bytes());
        bytes
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

impl Bare {
    /// Changes the newer record, where it is to be written at all.
    async fn change(
        &self,
        change: impl FnOnce(Slot, u64) -> Result<Option<Slot>, BoxError> + Send + 'static,
    ) -> Result<(), BoxError> {
        let path = self.path.clone();
        let work = move || {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            file.try_lock()?;
            let done = change_locked(&file, change);
            file.unlock()?;
            done
        };
        spawn_blocking(work).await?
    }
}

fn change_locked(
    file: &File,
    change: impl FnOnce(Slot, u64) -> Result<Option<Slot>, BoxError>,
) -> Result<(), BoxError> {
    let mut bytes = [0; 2 * SLOT];
    file.read_exact_at(&mut bytes, 0)?;
    let newer = bytes.chunks(SLOT).filter_map(Slot::decode).max_by_key(|slot| slot.sequence);
    let first = Slot { sequence: 0, token: 0, until: 0, nonce: [0; 16] };
    let slot = newer.unwrap_or(first);
    let next = slot.sequence + 1;
    if let Some(slot) = change(slot, nanos(ClockId::Boottime))? {
        let place = if next.is_multiple_of(2) { 0 } else { SLOT };
        file.write_all_at(&Slot { sequence: next, ..slot }.encode(), place as u64)?;
        file.sync_data()?;
    }
    Ok(())
}

impl super::Bare for Bare {
    async fn acquire(&self, nonce: Nonce) -> Result<(), BoxError> {
        let acquire = move |slot: Slot, now| {
            if slot.until > now {
                return Err("it is held".into());
            }
            let token = (slot.token + 1).max(nanos(ClockId::Realtime) / 1000);
            let until = now + u64::try_from(TTL.as_nanos())?;
            Ok(Some(Slot { token, until, nonce: nonce.to_bytes(), ..slot }))
        };
        self.change(acquire).await
    }

    async fn renew(&self, nonce: Nonce) -> Result<(), BoxError> {
        let renew = move |slot: Slot, now| {
            if slot.nonce != nonce.to_bytes() || slot.until <= now {
                return Err("it is not held".into());
            }
            Ok(Some(Slot { until: now + u64::try_from(TTL.as_nanos())?, ..slot }))
        };
        self.change(renew).await
    }

    async fn release(&self, nonce: Nonce) -> Result<(), BoxError> {
        let release = move |slot: Slot, _| {
            let is_own = slot.nonce == nonce.to_bytes();
            Ok(is_own.then_some(Slot { until: 0, ..slot }))
        };
        self.change(release).await
    }

    async fn look(&self) -> Result<(), BoxError> {
        self.change(|_, _| Ok(None)).await
    }
}
