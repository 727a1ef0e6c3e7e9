//! The task of the first request with a key: claim, run, settle.

use std::{
    any::Any,
    future::poll_fn,
    num::NonZeroU32,
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

use self::end::{End, Told};
use crate::{
    Claim, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, Outcome, RecordId, Refused, StoreError,
    StoreErrorKind, StoredReply,
    flights::{Ended, Leader},
    hold::Hold,
    settlement::Settlement,
    shared::{Shared, now},
    telemetry::Event,
};

mod doubt;
mod end;

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
    may_arrive: bool,
    /// Whether nothing was executed under the claim: nothing was begun, or it was released.
    is_free: bool,
}

/// What a store has answered to a claim.
struct Asked {
    reply: Result<ClaimReply, StoreError>,
    /// When the claim was asked for that was answered: its lease is counted from there.
    at: Instant,
    /// Whether another was not answered: it may still be on its way, on another connection than
    /// what is said of its key after it.
    may_arrive: bool,
}

/// How the run of an operation ended.
enum Run<T> {
    Returned(T, Outcome),
    Panicked(Panic),
    /// The handle was shut down, and waits no longer.
    Stopped,
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
        let (shared, caller) = (Arc::clone(shared), Some(caller));
        Self { shared, id, terms, wait_until, caller, may_arrive: false, is_free: true }
    }

    /// All of it.
    pub(crate) async fn lead<F, Fut>(&mut self, leader: &Leader, operation: F)
    where
        F: FnOnce(Claim) -> Fut + Send + 'static,
        Fut: Future<Output = (T, Outcome)> + Send + 'static,
    {
        let Asked { reply, at: asked_at, may_arrive } = self.claim(leader).await;
        self.may_arrive = may_arrive;
        let (attempt, is_granted) = match reply {
            Ok(ClaimReply::Claimed { attempt }) => (attempt, true),
            Ok(ClaimReply::Done { reply }) => {
                return match StoredReply::decode(&reply) {
                    Ok(reply) => {
                        self.finish(leader, Ended::Stored(reply.clone()), Said::Replayed(reply));
                    }
                    Err(error) => {
                        let error = StoreError::corrupt().because(error);
                        self.shared.telemetry.store_failed("claim", &error);
                        self.refuse(leader, Refused::unreadable());
                    }
                };
            }
            Ok(ClaimReply::Mismatch) => return self.refuse(leader, Refused::mismatch()),
            Ok(ClaimReply::Abandoned) => return self.refuse(leader, Refused::abandoned()),
            Ok(ClaimReply::InFlight { .. }) => {
                let in_flight = Said::Refused(self.shared.in_flight());
                // A follower may have more time.
                return self.finish(leader, Ended::Again, in_flight);
            }
            Err(error) if self.shared.settings.runs_without(error.kind()) => {
                (NonZeroU32::MIN, false)
            }
            // An earlier copy may have been executed, and what is known of it cannot be read.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                return self.refuse(leader, Refused::unreadable());
            }
            Err(error) if error.executed() == Executed::Maybe => {
                self.say(Said::Refused(Refused::store()));
                Box::pin(self.give_up()).await;
                return leader.end(Ended::Refused(Refused::store()));
            }
            Err(_) => return self.refuse(leader, Refused::store()),
        };
        if self.shared.stop.is_raised() {
            // Nothing was begun, and nothing is begun to be cut off.
            let refused = Refused::shut_down(Executed::No);
            self.say(Said::Refused(refused));
            Box::pin(self.give_up()).await;
            return leader.end(Ended::Refused(refused));
        }
        self.is_free = false;
        self.shared.telemetry.tell(Event::Ran);
        if !is_granted {
            self.shared.telemetry.tell(Event::Unclaimed);
        }
        let hold = Arc::new(Hold::new(asked_at, self.terms.lease, is_granted));
        let settlement = Settlement::new(&self.shared, &self.id, attempt, &self.terms);
        let claim = Claim { attempt, hold: Arc::clone(&hold), settlement: settlement.clone() };
        let run = self.run(claim, operation, &hold).await;
        if matches!(run, Run::Panicked(_)) {
            self.shared.telemetry.tell(Event::Panicked);
        }
        let (end, said) = self.end(run, settlement.as_deref());
        self.is_free = matches!(end, End::Release);
        self.settle(leader, end, Some(said), &hold, settlement).await;
    }

    /// Frees a key that was claimed, or may have been, for an operation that never ran: it would
    /// stay claimed. The caller does not wait for it, and duplicates do.
    async fn give_up(&self) {
        match self.tell(&End::Release, None, &mut |_| {}).await {
            Told::Applied(event) => self.shared.telemetry.tell(event),
            Told::Never => self.shared.telemetry.tell(Event::Unsettled),
            // It was never this one's.
            Told::Lost => {}
        }
    }

    /// When its flight has ended: a claim that arrives now would hold the key for an operation that
    /// has ended, and is released once more.
    pub(crate) async fn release_late(&self) {
        if self.may_arrive && self.is_free {
            Box::pin(self.release_again()).await;
        }
    }

    async fn release_again(&self) {
        self.sleep(self.shared.settings.store_limit).await;
        let _ = self.tell_once(&End::Release, None, &Bytes::new()).await;
    }

    /// Claims the key, again while another process is busy with it and there is time to wait.
    async fn claim(&self, leader: &Leader) -> Asked {
        let shared = &*self.shared;
        let is_maybe = |reply: &Result<_, StoreError>| {
            reply.as_ref().is_err_and(|error| error.executed() == Executed::Maybe)
        };
        let (mut asked, mut last, mut may_arrive) = (0, Duration::ZERO, false);
        loop {
            let claim =
                || shared.within_limit("claim", shared.store.boxed_claim(&self.id, &self.terms));
            let mut asked_at = now();
            let mut reply = claim().await;
            may_arrive |= is_maybe(&reply);
            // Its answer was lost, perhaps, or this process stood still and its lease is over: by
            // its token it is the same claim.
            let is_lost = match &reply {
                Ok(ClaimReply::Claimed { .. }) => now() >= asked_at + self.terms.lease,
                Ok(_) => false,
                // Twice silent would be twice the wait, before an operation that runs anyway.
                Err(error) if error.kind() == StoreErrorKind::TimedOut => {
                    !shared.settings.runs_without(error.kind())
                }
                Err(error) => error.executed() == Executed::Maybe,
            };
            if is_lost {
                asked_at = now();
                reply = claim().await.map_err(|error| error.executed_as(Executed::Maybe));
                may_arrive |= is_maybe(&reply);
            }
            if matches!(reply, Ok(ClaimReply::Claimed { .. } | ClaimReply::InFlight { .. })) {
                leader.known();
            }
            if !matches!(reply, Ok(ClaimReply::InFlight { .. })) {
                return Asked { reply, at: asked_at, may_arrive };
            }
            let left = self.wait_until.saturating_duration_since(now());
            if left.is_zero() || shared.stop.is_raised() {
                return Asked { reply, at: asked_at, may_arrive };
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
        // In a box for one that makes it wait.
        let mut renewed = None;
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
            let renewed = renewed
                .get_or_insert_with(|| Box::pin(hold.renew(&self.shared, &self.id, &self.terms)));
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
    // Not an `async fn`: its arguments would be in its future twice.
    #[expect(clippy::manual_async_fn, reason = "its future is half as large so")]
    fn settle(
        &mut self,
        leader: &Leader,
        end: End,
        mut said: Option<Said<T>>,
        hold: &Hold,
        settlement: Option<Arc<Settlement>>,
    ) -> impl Future<Output = ()> + Send {
        async move {
            // A release that is refused finds the operation's transaction committed, or another's.
            let in_doubt = settlement.filter(|_| matches!(end, End::Release));
            let mut caller = self.caller.take();
            if !hold.is_granted()
                && let (Some(said), Some(caller)) = (said.take(), caller.take())
            {
                // The store does not know of the run, and may not for long.
                send(caller, said);
            }
            let told = self
                .tell(&end, Some(hold), &mut |told| {
                    if told == Told::Lost && in_doubt.is_some() {
                        return;
                    }
                    if told != Told::Never {
                        leader.end(self.ended(told, &end));
                    }
                    if let (Some(said), Some(caller)) = (said.take(), caller.take()) {
                        if told == Told::Lost && matches!(end, End::Complete(_)) {
                            hold.refuse();
                            let lost = Refused::lost(self.shared.settings.retry_after);
                            send(caller, Said::Refused(lost));
                            discard(said);
                        } else {
                            send(caller, said);
                        }
                    }
                })
                .await;
            match (told, in_doubt) {
                (Told::Applied(event), _) => self.shared.telemetry.tell(event),
                (Told::Lost, Some(settlement)) => {
                    Box::pin(self.look(leader, hold, &settlement, said.zip(caller))).await;
                }
                (Told::Lost, None) => hold.lose(&self.shared),
                (Told::Never, _) => self.shared.telemetry.tell(Event::Unsettled),
            }
            leader.end(self.ended(told, &end));
        }
    }

    /// What those that follow are told.
    fn ended(&self, told: Told, end: &End) -> Ended {
        match (told, end) {
            (Told::Applied(_), End::Complete(reply) | End::Settled(reply)) => {
                Ended::Stored(reply.clone())
            }
            // They would run it again, with the store still down.
            (Told::Never, End::Complete(reply)) if self.shared.settings.runs_when_down() => {
                Ended::Stored(reply.clone())
            }
            (Told::Applied(_), End::Abandon) => self.shared.abandoned(),
            _ => Ended::Again,
        }
    }

    /// What the end of a run means for the key, and what the caller is told.
    fn end(&self, run: Run<T>, settlement: Option<&Settlement>) -> (End, Said<T>) {
        let most = self.shared.settings.most_reply_bytes;
        // What an operation does in its transaction, and does not commit, is not done.
        let failed = if settlement.is_some() { End::Release } else { End::Abandon };
        let (result, outcome) = match run {
            Run::Returned(result, outcome) => (result, outcome),
            Run::Panicked(panic) => return (failed, Said::Panicked(panic)),
            Run::Stopped => {
                return (failed, Said::Refused(Refused::shut_down(Executed::Maybe)));
            }
        };
        let settled = settlement.and_then(Settlement::reply);
        let end = match (outcome, settled) {
            (Outcome::Release, _) => End::Release,
            (Outcome::Abandon, _) => failed,
            (_, Some(reply)) => End::Settled(reply),
            (Outcome::Store(reply) | Outcome::Settled(reply), None) => {
                End::Complete(StoredReply::within(most, reply))
            }
            (Outcome::NotKept, None) => End::Complete(StoredReply::NotKept),
        };
        (end, Said::Executed(result))
    }

    /// Sleeps, or less where a shutdown waits no longer.
    async fn sleep(&self, time: Duration) {
        if !self.shared.stop.is_raised() {
            let _ = tokio::time::timeout(time, self.shared.stop.raised()).await;
        } else {
            sleep(time.min(Duration::from_millis(20))).await;
        }
    }

    fn refuse(&mut self, leader: &Leader, refused: Refused) {
        self.finish(leader, Ended::Refused(refused), Said::Refused(refused));
    }

    /// The flight first: the caller may send a duplicate at once, which must not find a flight that
    /// is over.
    fn finish(&mut self, leader: &Leader, ended: Ended, said: Said<T>) {
        leader.end(ended);
        self.say(said);
    }

    fn say(&mut self, said: Said<T>) {
        if let Some(caller) = self.caller.take() {
            send(caller, said);
        }
    }
}

/// The caller may have gone, and its waker may panic.
pub(crate) fn send<T>(caller: oneshot::Sender<T>, said: T) {
    discard(catch_unwind(AssertUnwindSafe(|| caller.send(said))));
}

/// A panic of its drop must not leave the key unsettled.
pub(crate) fn discard<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}
