//! A store whose ways fail as a test wants, and an operation that counts its runs.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use steadfast_core::{Error, Executed};
use steadfast_idempotency::{
    Answer, AsBytes, Census, Change, Claim, ClaimReply, ClaimTerms, ClaimToken, Fingerprint,
    Idempotency, IdempotencyConfig, IdempotencySnapshot, MemoryConfig, MemoryStore, Outcome,
    RecordId, Refused, Store, StoreError, View,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// What happens to one call of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The store is not reached.
    Unreached,
    /// The store does it, and its answer is lost.
    AnswerLost,
    /// The call is lost, and nothing is heard.
    Silence,
    /// It takes this long.
    Slow(Duration),
    /// The store does it, and this much later it answers.
    SlowAnswer(Duration),
    /// The store does it, and then this process stands still, so that its timers notice later.
    StandsStill(Duration),
    /// The store panics instead.
    Panics,
    /// The store does it, and panics.
    PanicsAfter,
    /// The store finds something that is no record.
    Corrupt,
    /// A completion of more than so many bytes is lost, and nothing is heard.
    SilenceIfLong(usize),
    /// Nothing is heard of a claim, and this much later the store does it.
    Late(Duration),
    /// The store answers with this.
    Fails(fn() -> StoreError),
}

/// The clock goes on, and no timer has noticed.
pub(crate) fn stand_still(time: Duration) {
    let mut advance = Box::pin(tokio::time::advance(time));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(advance.as_mut().poll(&mut cx).is_pending());
}

/// A store in memory behind a way that fails by a script for each operation, and then works.
#[derive(Clone)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    script: Arc<Mutex<VecDeque<(&'static str, Fault)>>>,
    /// What was called.
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Faulty {
    pub(crate) fn new() -> Self {
        let inner = MemoryStore::new(MemoryConfig::new()).unwrap();
        Self { inner, script: Arc::default(), calls: Arc::default() }
    }

    /// The next `times` calls of `operation` meet this.
    pub(crate) fn next(&self, operation: &'static str, fault: Fault, times: usize) {
        self.script.lock().unwrap().extend(vec![(operation, fault); times]);
    }

    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == operation).count()
    }

    fn fault(&self, operation: &'static str) -> Fault {
        self.calls.lock().unwrap().push(operation);
        let mut script = self.script.lock().unwrap();
        let at = script.iter().position(|(name, _)| *name == operation);
        at.and_then(|at| script.remove(at)).map_or(Fault::None, |(_, fault)| fault)
    }

    async fn through<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.fault(operation) {
            Fault::None => {}
            Fault::Unreached => return Err(StoreError::unavailable(Executed::No)),
            Fault::AnswerLost => {
                call.await?;
                return Err(StoreError::unavailable(Executed::Maybe));
            }
            Fault::Fails(error) => return Err(error()),
            Fault::Silence => pending().await,
            Fault::Slow(time) => tokio::time::sleep(time).await,
            Fault::SlowAnswer(time) => {
                let answer = call.await;
                tokio::time::sleep(time).await;
                return answer;
            }
            Fault::StandsStill(time) => {
                let answer = call.await;
                stand_still(time);
                return answer;
            }
            Fault::Panics => panic!("instead"),
            Fault::PanicsAfter => {
                call.await?;
                panic!("afterwards")
            }
            Fault::Corrupt => return Err(StoreError::corrupt()),
            Fault::SilenceIfLong(_) => {}
            Fault::Late(_) => unreachable!("only claims come late"),
        }
        call.await
    }
}

impl Store for Faulty {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        let is_late = |script: &VecDeque<_>| {
            let mut claims = script.iter().filter(|(name, _)| *name == "claim");
            claims.next().is_some_and(|(_, fault)| matches!(fault, Fault::Late(_)))
        };
        if is_late(&self.script.lock().unwrap())
            && let Fault::Late(time) = self.fault("claim")
        {
            let (inner, id, terms) = (self.inner.clone(), id.clone(), *terms);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                let _ = inner.claim(&id, &terms).await;
            });
            return pending().await;
        }
        self.through("claim", self.inner.claim(id, terms)).await
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        self.through("renew", self.inner.renew(id, token, lease, retention)).await
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let len = reply.len();
        let call = self.inner.complete(id, token, reply, retention);
        let is_too_long = |script: &VecDeque<_>| {
            let too_long =
                |fault: &Fault| matches!(fault, Fault::SilenceIfLong(most) if len > *most);
            script.front().is_some_and(|(name, fault)| *name == "complete" && too_long(fault))
        };
        if is_too_long(&self.script.lock().unwrap()) {
            self.fault("complete");
            return pending().await;
        }
        self.through("complete", call).await
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        self.through("release", self.inner.release(id, token)).await
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        self.through("abandon", self.inner.abandon(id, token, retention)).await
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        self.through("look", self.inner.look(id)).await
    }

    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        self.through("forget", self.inner.forget(id)).await
    }

    async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        self.through("purge_expired", self.inner.purge_expired(most)).await
    }

    async fn census(&self) -> Result<Option<Census>, StoreError> {
        self.through("census", self.inner.census()).await
    }
}

/// A process: a handle over a store that others may share.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) handle: Idempotency,
    pub(crate) runs: Arc<AtomicU32>,
}

pub(crate) type Failed = Error<std::io::Error>;

impl Process {
    pub(crate) fn new(config: IdempotencyConfig, store: &Faulty) -> Self {
        let handle = Idempotency::new(config, store.clone()).unwrap();
        Self { handle, runs: Arc::default() }
    }

    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    pub(crate) fn snapshot(&self) -> IdempotencySnapshot {
        self.handle.snapshot()
    }

    /// An operation of 100 ms, whose reply is the number of its run.
    pub(crate) async fn pay(&self) -> Result<Bytes, Failed> {
        self.pay_for(100 * MS, 1).await
    }

    pub(crate) async fn pay_for(&self, time: Duration, payload: u8) -> Result<Bytes, Failed> {
        let runs = Arc::clone(&self.runs);
        let operation = move |_: Claim| async move {
            tokio::time::sleep(time).await;
            Ok(Bytes::from((runs.fetch_add(1, Ordering::Relaxed) + 1).to_string()))
        };
        self.handle.run(id(), print(payload), AsBytes, operation).await
    }

    /// An operation that ends at once, in this way.
    pub(crate) async fn end(&self, outcome: Outcome) -> Result<Answer<u32>, Refused> {
        self.end_after(Duration::ZERO, outcome).await
    }

    pub(crate) async fn end_after(
        &self,
        time: Duration,
        outcome: Outcome,
    ) -> Result<Answer<u32>, Refused> {
        let runs = Arc::clone(&self.runs);
        let operation = move |_: Claim| async move {
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            (runs.fetch_add(1, Ordering::Relaxed) + 1, outcome)
        };
        self.handle.execute(id(), print(1), operation).await
    }
}

pub(crate) fn id() -> RecordId {
    RecordId::new("alice", "7f3a").unwrap()
}

pub(crate) fn print(payload: u8) -> Fingerprint {
    Fingerprint::from_bytes([payload; 32])
}

pub(crate) fn refused(result: Result<Bytes, Failed>) -> Refused {
    match result {
        Err(Error::Refused(refusal)) => {
            let refusal: Box<dyn std::error::Error> = refusal;
            *refusal.downcast::<Refused>().unwrap()
        }
        other => panic!("{other:?} is not refused"),
    }
}
