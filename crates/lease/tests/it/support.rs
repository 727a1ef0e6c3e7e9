//! A store whose ways fail as a test wants.

use std::{
    collections::{HashSet, VecDeque},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_core::{BootClock, Executed};
use steadfast_lease::{
    AcquireReply, AcquireTerms, HolderName, LeaseClient, LeaseClientConfig, LeaseName, Margin,
    MemoryConfig, MemoryStore, Nonce, RenewReply, Store, StoreError, View,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SEC: Duration = Duration::from_secs(1);
pub(crate) const TTL: Duration = Duration::from_secs(12);
/// Of the TTL, by the default margin: 12 s less 120 ms less 2 ms.
pub(crate) const VALID: Duration = Duration::from_millis(11_878);

/// What happens to one call of the store.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The store is not reached.
    Unreached,
    /// The store does it, and its answer is lost.
    AnswerLost,
    /// The call is lost, and nothing is heard.
    Silence,
    /// The store does it, and nothing is heard.
    DoneInSilence,
    /// It takes this long to get there.
    SlowThere(Duration),
    /// Its answer takes this long.
    SlowBack(Duration),
    /// The store answers this instead, and does nothing.
    Acquired(AcquireReply),
    Renewed(RenewReply),
    /// The store's code panics.
    Panic,
}

/// A store in memory behind a way that fails by a script for each operation, and then works.
#[derive(Clone)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    script: Arc<Mutex<VecDeque<(&'static str, Fault)>>>,
    calls: Arc<Mutex<Vec<&'static str>>>,
    /// Names that nothing is heard of.
    silent: Arc<Mutex<HashSet<LeaseName>>>,
}

impl Faulty {
    pub(crate) fn new() -> Self {
        let inner = MemoryStore::new(MemoryConfig::new().clock(BootClock::tokio())).unwrap();
        let (script, calls, silent) = Default::default();
        Self { inner, script, calls, silent }
    }

    /// The next `times` calls of `operation` meet this.
    pub(crate) fn next(&self, operation: &'static str, fault: Fault, times: usize) {
        self.script.lock().unwrap().extend(vec![(operation, fault); times]);
    }

    /// From now on nothing is heard of this name.
    pub(crate) fn silence(&self, name: &LeaseName) {
        self.silent.lock().unwrap().insert(name.clone());
    }

    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == operation).count()
    }

    fn fault(&self, operation: &'static str, name: &LeaseName) -> Option<Fault> {
        self.calls.lock().unwrap().push(operation);
        if self.silent.lock().unwrap().contains(name) {
            return Some(Fault::Silence);
        }
        let mut script = self.script.lock().unwrap();
        let at = script.iter().position(|(of, _)| *of == operation)?;
        script.remove(at).map(|(_, fault)| fault)
    }

    async fn through<T>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match fault {
            Some(Fault::Unreached) => return Err(StoreError::unavailable(Executed::No)),
            Some(Fault::AnswerLost) => {
                call.await?;
                return Err(StoreError::unavailable(Executed::Maybe));
            }
            Some(Fault::Silence) => return pending().await,
            Some(Fault::DoneInSilence) => {
                call.await?;
                return pending().await;
            }
            Some(Fault::SlowThere(time)) => tokio::time::sleep(time).await,
            Some(Fault::SlowBack(time)) => {
                let answer = call.await;
                tokio::time::sleep(time).await;
                return answer;
            }
            Some(Fault::Panic) => panic!("in the store"),
            // An await on the way, as in every call over a network.
            _ => tokio::task::yield_now().await,
        }
        call.await
    }
}

impl Store for Faulty {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        match self.fault("acquire", name) {
            Some(Fault::Acquired(reply)) => Ok(reply),
            fault => self.through(fault, self.inner.acquire(name, terms)).await,
        }
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        match self.fault("renew", name) {
            Some(Fault::Renewed(reply)) => Ok(reply),
            fault => self.through(fault, self.inner.renew(name, nonce)).await,
        }
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        let fault = self.fault("release", name);
        self.through(fault, self.inner.release(name, nonce)).await
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        let fault = self.fault("observe", name);
        self.through(fault, self.inner.observe(name, seen)).await
    }
}

pub(crate) fn config() -> LeaseClientConfig {
    LeaseClientConfig::new().ttl(TTL).clock(BootClock::tokio())
}

pub(crate) fn client(store: &Faulty) -> LeaseClient {
    LeaseClient::new(config(), store.clone()).unwrap()
}

pub(crate) fn name() -> LeaseName {
    numbered(0)
}

pub(crate) fn numbered(n: usize) -> LeaseName {
    LeaseName::new(format!("name {n}")).unwrap()
}

/// Whether another is granted the lease at once. It gives it back.
pub(crate) async fn is_free(store: &Faulty, name: &LeaseName) -> bool {
    let terms = AcquireTerms {
        nonce: Nonce::generate(&mut rand::rng()),
        holder: HolderName::new("another").unwrap(),
        ttl: SEC,
        floor: None,
    };
    let reply = store.inner.acquire(name, &terms).await.unwrap();
    store.inner.release(name, terms.nonce).await.unwrap();
    matches!(reply, AcquireReply::Granted { .. })
}

pub(crate) fn validity(ttl: Duration) -> Duration {
    Margin::new().validity(ttl)
}

/// How many tasks the runtime has.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Lets all tasks that can run do so.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
