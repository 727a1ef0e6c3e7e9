//! Calls that finish in the background.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use steadfast_core::{ConfigError, Snapshot};
use tokio::{runtime::Handle, sync::Notify, time::timeout};

use super::losers::Losers;

/// Calls that nobody waits for any more finish in the background: for writes, which every node should get though a quorum is
/// enough to go on.
///
/// Bounded in time and number: a call that takes longer than the limit is cancelled, and so are those that would be too
/// many. A handle: clones share the bound. Before a program ends it waits for them: [`shutdown`](Self::shutdown).
///
/// They run as tasks of the tokio runtime in which they were let go, which needs its timer; let go outside of one, they are
/// cancelled. A panic of one node's service leaves the other nodes alone.
///
/// ```
/// use std::time::Duration;
/// use steadfast_quorum::{Detach, Plan};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let detach = Detach::new(Duration::from_secs(10))?;
/// let plan = Plan::all_at_once().detach(detach.clone());
/// // ... calls by this plan ...
/// detach.shutdown().await;
/// # drop(plan);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Detach {
    shared: Arc<Shared>,
}

struct Shared {
    limit: Duration,
    most: usize,
    state: Mutex<DetachSnapshot>,
    idle: Notify,
}

/// A [`Detach`] as plain data. Counted are calls of a [`QuorumCall`](crate::QuorumCall), each with all nodes that were still
/// out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DetachSnapshot {
    /// Under way.
    pub in_flight: usize,
    /// Finished in time: every node has answered, or failed.
    pub finished: u64,
    /// Cancelled at the limit.
    pub timed_out: u64,
    /// Cancelled because of too many, after the shutdown, or outside of a runtime.
    pub refused: u64,
    /// Ended by a panic of a service, or with their runtime.
    pub broken: u64,
    /// Whether it was shut down.
    pub is_shut_down: bool,
}

impl Detach {
    /// Up to 1,024 calls of up to `limit` each.
    ///
    /// # Errors
    /// When `limit` is zero.
    pub fn new(limit: Duration) -> Result<Self, ConfigError> {
        Self::with_most(limit, 1024)
    }

    /// Up to `most` calls of up to `limit` each.
    ///
    /// # Errors
    /// When `limit` or `most` is zero.
    pub fn with_most(limit: Duration, most: usize) -> Result<Self, ConfigError> {
        ConfigError::require(!limit.is_zero(), "limit", limit, "above zero")?;
        ConfigError::require(most > 0, "most", most, "at least 1")?;
        let shared = Shared { limit, most, state: Mutex::default(), idle: Notify::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits until every call has finished or was cancelled, at most for the limit. From now on calls that are let go are
    /// cancelled.
    ///
    /// Dropping the future changes nothing but that nobody waits.
    pub async fn shutdown(&self) {
        self.shared.lock().is_shut_down = true;
        self.idle().await;
    }

    /// Waits until no call is under way.
    pub async fn idle(&self) {
        loop {
            // Registered before the look: a call that ends between the two is heard.
            let idle = self.shared.idle.notified();
            if self.shared.lock().in_flight == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl<F> Losers<F> for Detach
where
    F: Future<Output = ()> + Send + 'static,
{
    fn let_go(&self, stragglers: F) -> bool {
        // The runtime first: a place that nobody can use is not taken.
        let runtime = Handle::try_current().ok();
        let Some((runtime, ticket)) = runtime.and_then(|runtime| Some((runtime, self.shared.admit()?))) else {
            self.shared.lock().refused += 1;
            return false;
        };
        let limit = self.shared.limit;
        runtime.spawn(async move {
            let mut ticket = ticket;
            let end = if timeout(limit, stragglers).await.is_ok() { End::Finished } else { End::TimedOut };
            ticket.end = end;
        });
        true
    }
}

impl Shared {
    /// A place among those under way, if there is one.
    fn admit(self: &Arc<Self>) -> Option<Ticket> {
        let mut state = self.lock();
        if state.is_shut_down || state.in_flight >= self.most {
            return None;
        }
        state.in_flight += 1;
        Some(Ticket { shared: Arc::clone(self), end: End::Broken })
    }

    /// Nothing panics while it is held: a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, DetachSnapshot> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum End {
    Finished,
    TimedOut,
    Broken,
}

/// One of those under way, until it is dropped: with its task, however that ends.
struct Ticket {
    shared: Arc<Shared>,
    end: End,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.in_flight -= 1;
        match self.end {
            End::Finished => state.finished += 1,
            End::TimedOut => state.timed_out += 1,
            End::Broken => state.broken += 1,
        }
        let is_idle = state.in_flight == 0;
        drop(state);
        if is_idle {
            self.shared.idle.notify_waiters();
        }
    }
}

impl Snapshot for Detach {
    type State = DetachSnapshot;

    fn snapshot(&self) -> DetachSnapshot {
        *self.shared.lock()
    }
}

impl fmt::Debug for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach")
            .field("limit", &self.shared.limit)
            .field("most", &self.shared.most)
            .finish_non_exhaustive()
    }
}
