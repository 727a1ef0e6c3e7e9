//! What was written and what was read.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use tokio::time::sleep;

use crate::{
    Failure,
    checker::{KEY, PAUSE},
    denied::Denied,
    entry::Entry,
    register::Register,
};

/// All of one run.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) is_over: AtomicBool,
    /// The last write that was acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// The newest write that a read of a quorum has returned.
    pub(crate) returned: AtomicU64,
    pub(crate) unacknowledged: AtomicU64,
    pub(crate) a: Reads,
    pub(crate) b: Reads,
    pub(crate) one: Reads,
}

#[derive(Default)]
pub(crate) struct Reads {
    pub(crate) answered: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) old: AtomicU64,
}

impl Seen {
    pub(crate) async fn write(self: Arc<Self>, register: Register) -> Result<(), Failure> {
        for value in 1_u64.. {
            if self.is_over.load(SeqCst) {
                break;
            }
            match register.write(KEY, &value.to_string()).await {
                Ok(_) => self.acknowledged.store(value, SeqCst),
                // Read or not from now on, until a later one is.
                Err(_) => {
                    self.unacknowledged.fetch_add(1, SeqCst);
                }
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(crate) async fn read(
        self: Arc<Self>,
        register: Register,
        reads: fn(&Self) -> &Reads,
    ) -> Result<(), Failure> {
        while !self.is_over.load(SeqCst) {
            let floor = self.floor();
            let returned = reads(&self).record(register.read(KEY).await, floor)?;
            self.returned.fetch_max(returned, SeqCst);
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What one node says may be a write that comes to nothing, so no other reader has to see it.
    pub(crate) async fn read_one(self: Arc<Self>, register: Register) -> Result<(), Failure> {
        while !self.is_over.load(SeqCst) {
            let floor = self.floor();
            self.one.record(register.read_one(KEY).await, floor)?;
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What a read that begins now must see at least.
    fn floor(&self) -> u64 {
        self.acknowledged.load(SeqCst).max(self.returned.load(SeqCst))
    }
}

impl Reads {
    /// Counts a read, and says what it returned.
    fn record(&self, read: Result<Option<Entry>, Denied>, floor: u64) -> Result<u64, Failure> {
        let entry = match read {
            Ok(entry) => entry,
            Err(Denied::Garbled(node)) => return Err(Denied::Garbled(node).into()),
            Err(_) => {
                self.denied.fetch_add(1, SeqCst);
                return Ok(0);
            }
        };
        let value = entry.map_or(Ok(0), |entry| entry.value.parse())?;
        self.answered.fetch_add(1, SeqCst);
        self.old.fetch_add(u64::from(value < floor), SeqCst);
        Ok(value)
    }
}
