//! An operation that has failed, and may have been committed.

use tokio::sync::oneshot;

use super::{Said, Task, discard, send};
use crate::{
    Refused, StoreError, StoredReply, View, ViewState,
    flights::{Ended, Leader},
    hold::Hold,
    settlement::Settlement,
    telemetry::Event,
};

impl<T: Send + 'static> Task<T> {
    /// Asks the store what has become of an operation in a transaction, whose key could not be
    /// freed: its commit went through, whatever it has heard of it, or another has taken over.
    /// `unsaid` is what the caller would be told otherwise. A panic goes on to it all the same.
    pub(super) async fn look(
        &self,
        leader: &Leader,
        hold: &Hold,
        settlement: &Settlement,
        unsaid: Option<(Said<T>, oneshot::Sender<Said<T>>)>,
    ) {
        let shared = &*self.shared;
        let view = shared.within_limit("look", shared.store.boxed_look(&self.id)).await;
        let (attempt, reply) = match view {
            Ok(Some(View { attempt, state: ViewState::Done { reply }, .. })) => {
                (Some(attempt), StoredReply::decode(&reply))
            }
            // Another is busy with it; or it will be known when the store answers again.
            _ => {
                hold.lose(shared);
                let lost = Refused::lost(shared.settings.retry_after);
                leader.end(Ended::Again);
                return say(unsaid, |said| match said {
                    Said::Executed(result) => {
                        discard(result);
                        Said::Refused(lost)
                    }
                    said => said,
                });
            }
        };
        let event = match &reply {
            Ok(StoredReply::NotKept) => Event::NotKept,
            _ => Event::Stored,
        };
        match attempt == Some(settlement.attempt) && settlement.reply().is_some() {
            true => shared.telemetry.tell(event),
            false => hold.lose(shared),
        }
        let ended = match reply {
            Ok(reply) => Ended::Stored(reply),
            Err(error) => {
                let error = StoreError::corrupt().because(error);
                shared.telemetry.store_failed("look", &error);
                Ended::Refused(Refused::unreadable())
            }
        };
        let known = match &ended {
            Ended::Stored(reply) => Said::Replayed(reply.clone()),
            _ => Said::Refused(Refused::unreadable()),
        };
        leader.end(ended);
        say(unsaid, |said| match said {
            Said::Panicked(_) => said,
            said => {
                discard(said);
                known
            }
        });
    }
}

fn say<T>(
    unsaid: Option<(Said<T>, oneshot::Sender<Said<T>>)>,
    instead: impl FnOnce(Said<T>) -> Said<T>,
) {
    if let Some((said, caller)) = unsaid {
        send(caller, instead(said));
    }
}
