//! What the clones of a client, its leases and its one task share.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use rand::RngExt;
use steadfast_core::{
    BootClock, Detach, Executed,
    parts::{Waiters, lock},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    config::{Settings, call_limit},
    telemetry::{Event, Telemetry},
};
use crate::{
    HolderName, LeaseName, Nonce, Pace, StoreError, erased::Erased, keepalive::keep, lease::Held,
    protocol::End,
};

pub(crate) struct Shared {
    pub(crate) store: Box<dyn Erased>,
    pub(crate) settings: Settings,
    pub(crate) holder: HolderName,
    pub(crate) telemetry: Telemetry,
    /// A place for each call that asks for a lease: by it the grant is undone if the caller goes.
    pub(crate) detach: Detach,
    /// No panic leaves it half changed: nothing foreign runs under it, and wakers are woken
    /// outside.
    desk: Mutex<Desk>,
    /// Woken when the task has ended.
    idle: Waiters,
}

/// What the keep-alive task has to do.
#[derive(Default)]
struct Desk {
    /// The leases that are held. Here and not with the task: it may go with its runtime, and the
    /// next one takes over.
    members: BTreeMap<u64, Arc<Held>>,
    next_id: u64,
    /// What the task has not seen.
    news: Vec<News>,
    /// Of the task, while it waits.
    waker: Option<Waker>,
    is_running: bool,
    /// How many tasks have begun: one that has ended does not speak for the next.
    tasks: u64,
    is_shut_down: bool,
    /// The shutdown waits no longer.
    is_stopped: bool,
}

pub(crate) enum News {
    /// A lease to keep.
    Joined(u64),
    /// A grant to give back.
    Release(Release),
}

/// A grant to give back by its nonce.
pub(crate) struct Release {
    pub(crate) name: LeaseName,
    pub(crate) nonce: Nonce,
    pub(crate) ttl: Duration,
    /// Told the first answer, or the last error.
    pub(crate) tell: Option<oneshot::Sender<Result<bool, StoreError>>>,
}

impl Shared {
    pub(crate) fn new(
        store: Box<dyn Erased>,
        settings: Settings,
        holder: HolderName,
        telemetry: Telemetry,
        detach: Detach,
    ) -> Self {
        let (desk, idle) = Default::default();
        Self { store, settings, holder, telemetry, detach, desk, idle }
    }

    pub(crate) const fn clock(&self) -> &BootClock {
        &self.settings.clock
    }

    pub(crate) fn held(&self) -> usize {
        lock(&self.desk).members.len()
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        lock(&self.desk).is_shut_down
    }

    pub(crate) fn next_id(&self) -> u64 {
        let mut desk = lock(&self.desk);
        desk.next_id += 1;
        desk.next_id
    }

    /// Takes a lease in, unless the client was shut down.
    pub(crate) fn join(self: &Arc<Self>, held: &Arc<Held>) -> bool {
        let mut desk = lock(&self.desk);
        if desk.is_shut_down {
            return false;
        }
        desk.members.insert(held.id, Arc::clone(held));
        desk.news.push(News::Joined(held.id));
        drop(desk);
        self.rouse();
        true
    }

    /// Ends a lease for its holder, and has it given back. Needs no runtime; where the task has
    /// gone and none can be started, the grant runs out.
    pub(crate) fn leave(
        self: &Arc<Self>,
        held: &Held,
        tell: Option<oneshot::Sender<Result<bool, StoreError>>>,
    ) {
        // Before all else: no renewal that is under way counts any more.
        let before = held.finish(End::Released);
        let mut desk = lock(&self.desk);
        let was_member = desk.members.remove(&held.id);
        // The store knows that it is lost, or is told by the task.
        let is_lost = matches!(before, Some(End::Lost(_)));
        if was_member.is_some() || !is_lost || tell.is_some() {
            let (name, ttl) = (held.name.clone(), held.ttl());
            desk.news.push(News::Release(Release { name, nonce: held.nonce, ttl, tell }));
        }
        drop(desk);
        drop(was_member);
        self.rouse();
    }

    /// A lease that has ended by itself.
    pub(crate) fn forget(&self, id: u64) -> bool {
        let forgotten = lock(&self.desk).members.remove(&id);
        forgotten.is_some()
    }

    pub(crate) fn member(&self, id: u64) -> Option<Arc<Held>> {
        lock(&self.desk).members.get(&id).cloned()
    }

    /// All leases, for a task that begins.
    pub(crate) fn members(&self) -> Vec<u64> {
        lock(&self.desk).members.keys().copied().collect()
    }

    /// What is new to the task. `None` ends it: nothing is held, and it has no call out. A lease
    /// that joins after that starts the next task, for both happen under one lock.
    pub(crate) fn take_news(&self, has_calls: bool) -> Option<Vec<News>> {
        let mut desk = lock(&self.desk);
        let is_done = desk.members.is_empty() && desk.news.is_empty() && !has_calls;
        if is_done || desk.is_stopped {
            desk.is_running = false;
            return None;
        }
        Some(std::mem::take(&mut desk.news))
    }

    /// Whether there is something new, or the task is woken when there is.
    pub(crate) fn poll_news(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut desk = lock(&self.desk);
        if !desk.news.is_empty() || desk.is_stopped {
            return Poll::Ready(());
        }
        let before = desk.waker.replace(waker);
        drop(desk);
        drop(before);
        Poll::Pending
    }

    /// Wakes the task, or starts it.
    fn rouse(self: &Arc<Self>) {
        let runtime = Handle::try_current();
        let mut desk = lock(&self.desk);
        if desk.is_running {
            let waker = desk.waker.take();
            drop(desk);
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
        let Ok(runtime) = runtime else { return };
        desk.is_running = true;
        desk.tasks += 1;
        let running = Running { shared: Arc::clone(self), task: desk.tasks };
        // A runtime that is shutting down drops it here.
        drop(desk);
        runtime.spawn(keep(running));
    }

    /// Gives back all that is held, and waits for that.
    pub(crate) async fn shut_down(self: &Arc<Self>) {
        let members = {
            let mut desk = lock(&self.desk);
            desk.is_shut_down = true;
            desk.members.values().cloned().collect::<Vec<_>>()
        };
        for held in members {
            self.leave(&held, None);
        }
        self.detach.shutdown().await;
        let waiter = self.idle.join();
        std::future::poll_fn(|cx| waiter.poll(cx, || (!lock(&self.desk).is_running).then_some(())))
            .await;
    }

    /// Ends the task: the shutdown has waited for long enough.
    pub(crate) fn stop(&self) {
        let mut desk = lock(&self.desk);
        desk.is_stopped = true;
        let waker = desk.waker.take();
        drop(desk);
        if let Some(waker) = waker {
            waker.wake();
        }
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
        let waker = {
            let mut desk = lock(&self.shared.desk);
            // Gone with its runtime. What it leaves undone the next task does.
            if desk.tasks == self.task {
                desk.is_running = false;
                desk.waker.take()
            } else {
                None
            }
        };
        drop(waker);
        self.shared.idle.wake();
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
