//! What the clones of a client, its leases and its one task share.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rand::RngExt;
use steadfast_core::{BootClock, Detach, Executed};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    config::{Settings, call_limit},
    desk::{Desk, Release},
    telemetry::{Event, Telemetry},
};
use crate::{HolderName, Pace, StoreError, erased::Erased, keepalive::keep, lease::Held};

pub(crate) struct Shared {
    pub(crate) store: Box<dyn Erased>,
    pub(crate) settings: Settings,
    pub(crate) holder: HolderName,
    pub(crate) telemetry: Telemetry,
    /// A place for each call that asks for a lease: by it the grant is undone if the caller goes.
    pub(crate) detach: Detach,
    pub(crate) desk: Desk,
}

impl Shared {
    pub(crate) fn new(
        store: Box<dyn Erased>,
        settings: Settings,
        holder: HolderName,
        telemetry: Telemetry,
        detach: Detach,
    ) -> Self {
        Self { store, settings, holder, telemetry, detach, desk: Desk::default() }
    }

    pub(crate) const fn clock(&self) -> &BootClock {
        &self.settings.clock
    }

    /// Takes a lease in, unless the client was shut down.
    pub(crate) fn join(self: &Arc<Self>, held: &Arc<Held>) -> bool {
        let is_in = self.desk.join(held);
        if is_in {
            self.rouse();
        }
        is_in
    }

    /// Ends a lease for its holder, and has it given back. Needs no runtime; where the task has
    /// gone and none can be started, the grant runs out.
    pub(crate) fn leave(
        self: &Arc<Self>,
        held: &Held,
        tell: Option<oneshot::Sender<Result<bool, StoreError>>>,
    ) {
        // Its holder was quicker to drop it than the task to say so.
        if let Some(loss) = self.desk.leave(held, tell) {
            self.telemetry.lost(&held.name, held.token, loss);
        }
        self.rouse();
    }

    /// Wakes the task, or starts it.
    fn rouse(self: &Arc<Self>) {
        let runtime = Handle::try_current();
        let Some(task) = self.desk.rouse(runtime.is_ok()) else { return };
        let running = Running { shared: Arc::clone(self), task };
        if let Ok(runtime) = runtime {
            // A runtime that is shutting down drops it here.
            runtime.spawn(keep(running));
        }
    }

    /// Gives back all that is held, and waits for that.
    pub(crate) async fn shut_down(self: &Arc<Self>) {
        for held in self.desk.shut_down() {
            self.leave(&held, None);
        }
        self.detach.shutdown().await;
        self.desk.idle().await;
    }

    /// One call of the store's.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(limit, unpanicked(call)).await;
        let answer = answer.unwrap_or_else(|_| Err(StoreError::timed_out()));
        answer.inspect_err(|error| self.telemetry.store_failed(operation, error))
    }

    /// Gives a grant back, again until the store answers or the grant is over there too.
    pub(crate) async fn give_back(&self, release: Release) {
        let Release { name, nonce, ttl, tell } = release;
        let over_at = self.clock().now().saturating_add(ttl);
        let answer = loop {
            let call = self.store.boxed_release(&name, nonce);
            match self.within(call_limit(ttl), "release", call).await {
                Ok(was_held) => {
                    if was_held {
                        self.telemetry.tell(Event::Released);
                    }
                    break Ok(was_held);
                }
                Err(error) if self.clock().now() >= over_at => {
                    self.telemetry.tell(Event::Unreleased);
                    break Err(error);
                }
                Err(_) => sleep(jittered(Pace::of(ttl).retry_after())).await,
            }
        };
        if let Some(tell) = tell {
            // The caller may have gone.
            let _ = tell.send(answer);
        }
    }
}

/// The keep-alive task's right to run: given back however it ends.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    task: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.desk.ended(self.task);
    }
}

/// A panic of the store's is a failure of one call, and not the end of all leases.
async fn unpanicked<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let mut call = pin!(call);
    std::future::poll_fn(|cx| {
        // It is not polled again.
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(StoreError::unavailable(Executed::Maybe))))
    })
    .await
}

/// A tenth less at most, so that leases which began together are not renewed together for ever.
pub(crate) fn jittered(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random_range(0.9..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_takes_a_tenth_at_most_and_is_not_always_the_same() {
        let all: Vec<_> = (0..100).map(|_| jittered(Duration::from_secs(10))).collect();
        let bounds = Duration::from_secs(9)..=Duration::from_secs(10);
        assert!(all.iter().all(|span| bounds.contains(span)));
        let spread = all.iter().max().unwrap().saturating_sub(*all.iter().min().unwrap());
        assert!(spread > Duration::from_millis(300), "{spread:?}");
    }
}
