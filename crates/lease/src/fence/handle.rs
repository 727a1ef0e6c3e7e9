//! The handle.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use steadfast_core::{ConfigError, Detach, FencingToken, Snapshot};
use tokio::sync::oneshot;

use super::{
    config::FenceConfig,
    gate::Standing,
    mark::FenceMark,
    pass::{Common, Pass, Resource},
    refused::Fenced,
    telemetry::Telemetry,
};

/// Keeps former holders of a lease away from a resource of this process: a call that presents a
/// token below the highest is refused, and the calls of a former holder have ended before the first
/// of a new one begins.
///
/// **Reads pass the fence too, wherever a write depends on what was read.** A fence on writes alone
/// lets a former holder's late write land between a new holder's first read and its first write,
/// and that write undoes it.
///
/// Check and call are one step: a newer token is the highest at once, and from then on no older
/// call is let in. Then its call waits for the older ones that are under way, or cancels them
/// ([`OlderCalls`](crate::OlderCalls)). A call that is dropped, fails or panics gives its place
/// back. Calls under the same token run side by side; calls with
/// [numbers](FenceMark::numbered) run one after another.
///
/// The marks are in memory: a fence that is made anew has seen nothing, unless it is given a
/// [`floor`](FenceConfig::floor). What outlasts the process needs marks that do too, those of
/// [`Fences::open`](crate::Fences::open).
///
/// Clones share the fence.
///
/// ```
/// use steadfast_lease::{Fence, FenceConfig, Fenced, FencingToken};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fence = Fence::new(FenceConfig::new())?;
/// let [old, new] = [33_u64, 34].map(|token| FencingToken::try_from(token).unwrap());
/// let append = async |token| fence.run(token, async { Ok::<_, Fenced>("appended") }).await;
/// assert_eq!(append(new).await, Ok("appended"));
/// assert_eq!(append(old).await, Err(Fenced::stale(old, new)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Fence {
    resource: Arc<Resource>,
}

/// A [`Fence`] as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FenceSnapshot {
    /// The highest mark, or the floor.
    pub highest: Option<FenceMark>,
    /// Passes under the highest mark, clones and those of calls that wait among them.
    pub running: usize,
    /// Passes under older marks, for which those wait.
    pub older: usize,
}

impl Fence {
    /// A fence that has seen no token, or the floor.
    ///
    /// # Errors
    /// When a time of the configuration is longer than 10 years.
    pub fn new(config: FenceConfig) -> Result<Self, ConfigError> {
        let (name, rules) = config.check()?;
        let common = Arc::new(Common { rules, telemetry: Telemetry::new(name), marks: None });
        Ok(Self { resource: Arc::new(Resource::new(common, "".into(), None)) })
    }

    /// Lets a call in under its token, with or without a number, and waits until it may run. Then
    /// newer calls wait for the pass.
    ///
    /// A holder that polls several calls on one task may wait for itself, if one of them keeps an
    /// older pass meanwhile: up to the patience.
    ///
    /// # Errors
    /// When the token is stale, its number is out of order, it is too far ahead, or older calls do
    /// not end within the patience.
    ///
    /// # Cancellation
    /// Dropped while it waits, the call is gone; its token stays the highest.
    pub async fn enter(&self, call: impl Into<FenceMark>) -> Result<Pass, Fenced> {
        let (pass, standing) = self.resource.begin(call.into())?;
        pass.admitted(standing).await
    }

    /// Lets a call in that may run at once.
    ///
    /// # Errors
    /// As [`enter`](Self::enter), which this does not wait like: older calls that are under way
    /// make it [`Busy`](crate::FencedReason::Busy), and shut out they are. So does a mark that has
    /// to be written down first, which this does not do.
    pub fn try_enter(&self, call: impl Into<FenceMark>) -> Result<Pass, Fenced> {
        let (pass, standing) = self.resource.begin(call.into())?;
        match standing {
            Standing::Runs => Ok(pass.passed()),
            _ => Err(pass.refused(Fenced::busy(self.resource.common.rules.settings.retry_after))),
        }
    }

    /// Runs `call` behind the fence. The future may be spawned if `future` may.
    ///
    /// # Errors
    /// Those of `future`, and the refusals of [`enter`](Self::enter); with
    /// [`OlderCalls::Cancel`](crate::OlderCalls::Cancel) a call that was overtaken, whose future
    /// was dropped.
    ///
    /// # Cancellation
    /// Dropped, `future` is dropped first, then newer calls may run. Effects that it has sent off
    /// are not undone: run those [to their end](Self::run_detached).
    pub fn run<C, F, T, E>(
        &self,
        call: C,
        future: F,
    ) -> impl Future<Output = Result<T, E>> + use<C, F, T, E>
    where
        C: Into<FenceMark>,
        F: Future<Output = Result<T, E>>,
        E: From<Fenced>,
    {
        let (fence, call) = (self.clone(), call.into());
        async move {
            let pass = fence.enter(call).await?;
            // After the pass, so that it is dropped before it.
            let mut future = pin!(future);
            let Some(watch) = pass.watch_if_cancelled() else { return future.await };
            poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Pending => pass.poll_cancelled(&watch, cx).map(|fenced| Err(fenced.into())),
                ready => ready,
            })
            .await
        }
    }

    /// Runs `call` behind the fence in a place of `detach`, to its end: neither its caller's
    /// leaving nor a newer call cancels it. For effects that go on once they were sent, such as a
    /// statement on a connection: newer calls wait for their end.
    ///
    /// # Errors
    /// Those of `future`, and the refusals of [`enter`](Self::enter). There may be no place; and a
    /// task that panics, that reaches the limit of `detach`, or whose runtime ends, is
    /// [`Broken`](crate::FencedReason::Broken).
    ///
    /// # Cancellation
    /// Dropped before it was let in, `future` is not run; later, it goes on.
    pub async fn run_detached<F, T, E>(
        &self,
        detach: &Detach,
        call: impl Into<FenceMark>,
        future: F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Fenced> + Send + 'static,
    {
        let telemetry = &self.resource.common.telemetry;
        let place = detach.reserve().map_err(|_| telemetry.refused(Fenced::no_place()))?;
        let pass = self.enter(call).await?;
        let (answer, answered) = oneshot::channel();
        place.spawn(async move {
            let outcome = future.await;
            drop(pass);
            // The caller may have gone.
            let _ = answer.send(outcome);
        });
        answered.await.unwrap_or_else(|_| Err(telemetry.refused(Fenced::broken()).into()))
    }

    /// The highest token that it has seen, or the floor.
    #[must_use]
    pub fn highest(&self) -> Option<FencingToken> {
        self.resource.highest().map(FenceMark::token)
    }
}

impl From<Arc<Resource>> for Fence {
    fn from(resource: Arc<Resource>) -> Self {
        Self { resource }
    }
}

impl Fence {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> FenceSnapshot {
        let (running, older) = self.resource.counts();
        FenceSnapshot { highest: self.resource.highest(), running, older }
    }
}

impl Snapshot for Fence {
    type State = FenceSnapshot;

    fn snapshot(&self) -> FenceSnapshot {
        Self::snapshot(self)
    }
}
