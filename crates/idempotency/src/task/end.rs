//! What the store is told when an operation has ended.

use std::time::Duration;

use bytes::Bytes;

use super::Task;
use crate::{
    Change, ClaimTerms, StoreError, StoreErrorKind, StoredReply, hold::Hold, shared::now,
    telemetry::Event,
};

/// What the store is told when an operation has ended.
pub(super) enum End {
    Complete(StoredReply),
    /// Nothing: the operation's own transaction has told it.
    Settled(StoredReply),
    Release,
    Abandon,
}

/// What became of telling it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Applied(Event),
    Lost,
    Never,
}

impl<T: Send + 'static> Task<T> {
    /// Tells the store an end, again until it answers or the lease is over. `answer` is called once
    /// it has answered, and at the latest as the call ends that is under way at `store_limit`, at
    /// twice of it: the caller does not wait for a store that is down, and what it is given is
    /// true.
    ///
    /// Where no claim was granted it ends there as well: there is none that must be settled, and a
    /// store that is down must not take up the places of other operations.
    pub(super) async fn tell(
        &self,
        end: &End,
        hold: Option<&Hold>,
        answer: &mut (impl FnMut(Told) + Send),
    ) -> Told {
        let shared = &*self.shared;
        let (began, mut tries, mut last) = (now(), 0, Duration::ZERO);
        let mut event = end.event();
        let mut frame = match end {
            End::Complete(reply) => reply.encode(),
            End::Release | End::Abandon => Bytes::new(),
            End::Settled(_) => {
                answer(Told::Applied(event));
                return Told::Applied(event);
            }
        };
        let told = loop {
            match self.tell_once(end, hold, &frame).await {
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
            let is_short = shared.stop.is_raised() || hold.is_some_and(|hold| !hold.is_granted());
            if elapsed >= self.terms.lease && event == Event::Stored {
                // A tombstone may get through where the reply does not.
                (frame, event) = (StoredReply::NotKept.encode(), Event::NotKept);
                continue;
            }
            if elapsed >= self.terms.lease || is_short && elapsed >= shared.settings.store_limit {
                break Told::Never;
            }
            if let Some(hold) = hold.filter(|hold| hold.is_due()) {
                // What is not told is still this one's to tell. Its answer says nothing new.
                let _ = Box::pin(hold.ask(shared, &self.id, &self.terms)).await;
            }
            last = shared.backoff.delay(tries, last, &mut rand::rng());
            tries += 1;
            Box::pin(self.sleep(last)).await;
        };
        answer(told);
        told
    }

    pub(super) async fn tell_once(
        &self,
        end: &End,
        hold: Option<&Hold>,
        frame: &Bytes,
    ) -> Result<Change, StoreError> {
        let (shared, id) = (&*self.shared, &self.id);
        let (store, ClaimTerms { token, retention, .. }) = (&shared.store, self.terms);
        // An end is told of a record. A release frees what was claimed, if anything was.
        if let Some(hold) = hold.filter(|hold| !hold.is_granted())
            && !matches!(end, End::Release)
            && Box::pin(hold.ask(shared, id, &self.terms)).await? == Change::Lost
        {
            return Ok(Change::Lost);
        }
        let (name, call) = match end {
            End::Complete(_) | End::Settled(_) => {
                ("complete", store.boxed_complete(id, token, frame.clone(), retention))
            }
            End::Release => ("release", store.boxed_release(id, token)),
            End::Abandon => ("abandon", store.boxed_abandon(id, token, retention)),
        };
        shared.within_limit(name, call).await
    }
}

impl End {
    fn event(&self) -> Event {
        match self {
            Self::Complete(StoredReply::Kept(_)) | Self::Settled(StoredReply::Kept(_)) => {
                Event::Stored
            }
            Self::Complete(StoredReply::NotKept) | Self::Settled(StoredReply::NotKept) => {
                Event::NotKept
            }
            Self::Release => Event::Released,
            Self::Abandon => Event::Abandoned,
        }
    }
}
