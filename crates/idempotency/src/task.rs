//! The task of the first request with a key: claim, run, settle.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use steadfast_core::Executed;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    Change, Claim, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, Outcome, RecordId, Refused,
    StoreError, StoreErrorKind, StoredReply,
    flights::{Ended, Leader},
    hold::Hold,
    shared::{Shared, now},
    telemetry::Event,
};

/// What the caller of the first request is told.
pub(crate) enum Said<T> {
    Executed(T),
    Replayed(StoredReply),
    Refused(Refused),
    Panicked(Panic),
}

type Panic = Box<dyn Any + Send>;

pub(crate) struct Task<T> {
    shared: Arc<Shared>,
    id: RecordId,
    terms: ClaimTerms,
    wait_until: Instant,
    /// Taken when the caller is told. The caller may have gone.
    caller: Option<oneshot::Sender<Said<T>>>,
}

/// How the run of an operation ended.
enum Run<T> {
    Returned(T, Outcome),
    Panicked(Panic),
    /// The handle was shut down, and waits no longer.
    Stopped,
}

/// What the store is told when an operation has ended.
enum End {
    Complete(StoredReply),
    Release,
    Abandon,
}

/// What became of telling it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Applied(Event),
    Lost,
    Never,
}

impl<T: Send + 'static> Task<T> {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        id: RecordId,
        fingerprint: Fingerprint,
        wait_until: Instant,
        caller: oneshot::Sender<Said<T>>,
    ) -> Self {
        let settings = shared.settings;
        let terms = ClaimTerms {
            // The generator of the thread: seeded by the system, and never in step with another.
            token: ClaimToken::generate(&mut rand::rng()),
            fingerprint,
            lease: settings.lease,
            retention: settings.retention,
            on_abandoned: settings.on_abandoned,
        };
        Self { shared: Arc::clone(shared), id, terms, wait_until, caller: Some(caller) }
    }

    /// All of it. Returns what those that follow are told.
    pub(crate) async fn lead<F, Fut>(mut self, leader: &Leader, operation: F) -> Ended
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = (T, Outcome)> + Send + 'static,
    {
        let (reply, asked_at) = self.claim(leader).await;
        let attempt = match reply {
            Ok(ClaimReply::Claimed { attempt }) => attempt,
            Ok(ClaimReply::Done { reply }) => {
                return match StoredReply::decode(&reply) {
                    Ok(reply) => {
                        self.say(Said::Replayed(reply.clone()));
                        Ended::Stored(reply)
                    }
                    Err(error) => {
                        let error = StoreError::corrupt().because(error);
                        self.shared.telemetry.store_failed("claim", &error);
                        self.refuse(Refused::unreadable())
                    }
                };
            }
            Ok(ClaimReply::Mismatch) => return self.refuse(Refused::mismatch()),
            Ok(ClaimReply::Abandoned) => return self.refuse(Refused::abandoned()),
            Ok(ClaimReply::InFlight { .. }) => {
                self.say(Said::Refused(self.shared.in_flight()));
                // A follower may have more time.
                return Ended::Again;
            }
            // An earlier copy may have been executed, and what is known of it cannot be read.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                return self.refuse(Refused::unreadable());
            }
            Err(error) => {
                let ended = self.refuse(Refused::store());
                if error.executed() == Executed::Maybe {
                    self.give_up().await;
                }
                return ended;
            }
        };
        if self.shared.stop.is_raised() {
            // Nothing was begun, and nothing is begun to be cut off.
            let ended = self.refuse(Refused::shut_down(Executed::No));
            self.give_up().await;
            return ended;
        }
        self.shared.telemetry.tell(Event::Ran);
        let hold = Arc::new(Hold::new(asked_at, self.terms.lease));
        let claim = Claim { attempt, hold: Arc::clone(&hold) };
        let run = self.run(claim, operation, &hold).await;
        self.settle(run, &hold).await
    }

    /// Frees a key that was claimed, or may have been, for an operation that never ran: it would
    /// stay claimed.
    async fn give_up(&self) {
        match self.tell(&End::Release, |_| {}).await {
            Told::Applied(event) => self.shared.telemetry.tell(event),
            Told::Never => self.shared.telemetry.tell(Event::Unsettled),
            // It was never this one's.
            Told::Lost => {}
        }
    }

    /// Claims the key, again while another process is busy with it and there is time to wait.
    /// Returns when the claim was asked for that was answered: its lease is counted from there.
    async fn claim(&self, leader: &Leader) -> (Result<ClaimReply, StoreError>, Instant) {
        let shared = &*self.shared;
        let (mut asked, mut last) = (0, Duration::ZERO);
        loop {
            let claim =
                || shared.within_limit("claim", shared.store.boxed_claim(&self.id, &self.terms));
            let mut asked_at = now();
            let mut reply = claim().await;
            // Its answer was lost, perhaps, or this process stood still and its lease is over: by
            // its token it is the same claim.
            let is_lost = match &reply {
                Ok(ClaimReply::Claimed { .. }) => now() >= asked_at + self.terms.lease,
                Ok(_) => false,
                Err(error) => error.executed() == Executed::Maybe,
            };
            if is_lost {
                asked_at = now();
                reply = claim().await.map_err(|error| error.executed_as(Executed::Maybe));
            }
            if matches!(reply, Ok(ClaimReply::Claimed { .. } | ClaimReply::InFlight { .. })) {
                leader.known();
            }
            let left = self.wait_until.saturating_duration_since(now());
            let is_busy = matches!(reply, Ok(ClaimReply::InFlight { .. }));
            if !is_busy || left.is_zero() || shared.stop.is_raised() {
                return (reply, asked_at);
            }
            last = shared.backoff.delay(asked, last, &mut rand::rng());
            asked += 1;
            self.sleep(last.min(left)).await;
        }
    }

    /// Runs the operation, and renews its claim meanwhile.
    async fn run<F, Fut>(&self, claim: Claim, operation: F, hold: &Hold) -> Run<T>
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = (T, Outcome)> + Send + 'static,
    {
        // In a box, so that it can be dropped where a panic is caught.
        let mut running = Box::pin(async move { operation(claim).await });
        let mut renewed = pin!(hold.renew(&self.shared, &self.id, &self.terms));
        let mut stopped = pin!(self.shared.stop.raised());
        let run = poll_fn(|cx| {
            // The operation is dropped when it has panicked: none of it is seen again.
            match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
                Ok(Poll::Ready((result, outcome))) => {
                    return Poll::Ready(Run::Returned(result, outcome));
                }
                Err(panic) => return Poll::Ready(Run::Panicked(panic)),
                Ok(Poll::Pending) => {}
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Run::Stopped);
            }
            // It never ends.
            let _ = renewed.as_mut().poll(cx);
            Poll::Pending
        })
        .await;
        // Where it is cancelled its drop may panic, which must not leave the key unsettled.
        match (run, catch_unwind(AssertUnwindSafe(|| drop(running)))) {
            (Run::Stopped, Err(panic)) => Run::Panicked(panic),
            (run, _) => run,
        }
    }

    /// Tells the store what has become of the operation, and then the caller: a reply is recorded
    /// before it is seen.
    async fn settle(mut self, run: Run<T>, hold: &Hold) -> Ended {
        let (end, said) = match run {
            Run::Returned(result, outcome) => {
                let end = match outcome {
                    Outcome::Store(reply) => End::Complete(self.kept(reply)),
                    Outcome::NotKept => End::Complete(StoredReply::NotKept),
                    Outcome::Release => End::Release,
                    Outcome::Abandon => End::Abandon,
                };
                (end, Said::Executed(result))
            }
            Run::Panicked(panic) => {
                self.shared.telemetry.tell(Event::Panicked);
                (End::Abandon, Said::Panicked(panic))
            }
            Run::Stopped => (End::Abandon, Said::Refused(Refused::shut_down(Executed::Maybe))),
        };
        let (mut said, mut caller) = (Some(said), self.caller.take());
        let told = self
            .tell(&end, |told| {
                if let (Some(said), Some(caller)) = (said.take(), caller.take()) {
                    if told == Told::Lost && matches!(end, End::Complete(_)) {
                        let lost = Refused::lost(self.shared.settings.retry_after);
                        send(caller, Said::Refused(lost));
                        discard(said);
                    } else {
                        send(caller, said);
                    }
                }
            })
            .await;
        match told {
            Told::Applied(event) => self.shared.telemetry.tell(event),
            Told::Lost => hold.lose(&self.shared),
            Told::Never => self.shared.telemetry.tell(Event::Unsettled),
        }
        match (told, end) {
            (Told::Applied(_), End::Complete(reply)) => Ended::Stored(reply),
            (Told::Applied(_), End::Abandon) => self.shared.abandoned(),
            _ => Ended::Again,
        }
    }

    fn kept(&self, reply: Bytes) -> StoredReply {
        if reply.len() > self.shared.settings.most_reply_bytes {
            StoredReply::NotKept
        } else {
            StoredReply::Kept(reply)
        }
    }

    /// Tells the store an end, again until it answers or the lease is over. `answer` is called once
    /// it has answered, and at the latest as the call ends that is under way at `store_limit`, at
    /// twice of it: the caller does not wait for a store that is down, and what it is given is
    /// true.
    async fn tell(&self, end: &End, mut answer: impl FnMut(Told)) -> Told {
        let shared = &*self.shared;
        let ClaimTerms { token, lease, retention, .. } = self.terms;
        let (began, mut tries, mut last) = (now(), 0, Duration::ZERO);
        let mut frame = match end {
            End::Complete(reply) => reply.encode(),
            End::Release | End::Abandon => Bytes::new(),
        };
        let mut event = end.event();
        let told = loop {
            let (store, id) = (&shared.store, &self.id);
            let (name, call) = match end {
                End::Complete(_) => {
                    ("complete", store.boxed_complete(id, token, frame.clone(), retention))
                }
                End::Release => ("release", store.boxed_release(id, token)),
                End::Abandon => ("abandon", store.boxed_abandon(id, token, retention)),
            };
            match shared.within_limit(name, call).await {
                Ok(Change::Applied) => break Told::Applied(event),
                Ok(Change::Lost) => break Told::Lost,
                Err(error) if error.kind() == StoreErrorKind::Full && event == Event::Stored => {
                    // There is room for a tombstone, which refuses what would otherwise run again.
                    (frame, event) = (StoredReply::NotKept.encode(), Event::NotKept);
                    continue;
                }
                Err(_) => {}
            }
            let elapsed = now().saturating_duration_since(began);
            if elapsed >= shared.settings.store_limit {
                answer(Told::Never);
            }
            if elapsed >= lease || elapsed >= shared.settings.store_limit && shared.stop.is_raised()
            {
                break Told::Never;
            }
            last = shared.backoff.delay(tries, last, &mut rand::rng());
            tries += 1;
            self.sleep(last).await;
        };
        answer(told);
        told
    }

    /// Sleeps, or less where a shutdown waits no longer.
    async fn sleep(&self, time: Duration) {
        if !self.shared.stop.is_raised() {
            let _ = tokio::time::timeout(time, self.shared.stop.raised()).await;
        } else {
            sleep(time.min(Duration::from_millis(20))).await;
        }
    }

    fn refuse(&mut self, refused: Refused) -> Ended {
        self.say(Said::Refused(refused));
        Ended::Refused(refused)
    }

    fn say(&mut self, said: Said<T>) {
        if let Some(caller) = self.caller.take() {
            send(caller, said);
        }
    }
}

/// The caller may have gone, and its waker may panic.
fn send<T>(caller: oneshot::Sender<Said<T>>, said: Said<T>) {
    discard(catch_unwind(AssertUnwindSafe(|| caller.send(said))));
}

/// A panic of its drop must not leave the key unsettled.
fn discard<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

impl End {
    fn event(&self) -> Event {
        match self {
            Self::Complete(StoredReply::Kept(_)) => Event::Stored,
            Self::Complete(StoredReply::NotKept) => Event::NotKept,
            Self::Release => Event::Released,
            Self::Abandon => Event::Abandoned,
        }
    }
}
