//! Services that follow a script, and layers that do not wait long.

use std::{
    collections::VecDeque,
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    task::{self, Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, Ready, ready};
use steadfast_core::{Backoff, Ratio};
use steadfast_retry::{Budget, BudgetConfig, RetryConfig, RetryLayer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

pub(crate) type Reply = Result<u32, io::ErrorKind>;

/// Answers with the replies of its script, one after the other, then with the last one for ever.
#[derive(Clone, Default)]
pub(crate) struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    calls: Arc<Mutex<Vec<u32>>>,
}

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self { replies: Arc::new(Mutex::new(replies.into_iter().collect())), calls: Arc::default() }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

impl Service<u32> for Script {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.calls.lock().unwrap().push(request);
        let mut replies = self.replies.lock().unwrap();
        let reply = if replies.len() > 1 { replies.pop_front().unwrap() } else { replies[0] };
        ready(reply.map_err(io::Error::from))
    }
}

/// A handle's way to a pool of one connection.
pub(crate) struct Connection {
    pub(crate) pool: Arc<Semaphore>,
    waiting: Option<BoxFuture<'static, OwnedSemaphorePermit>>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self { pool: Arc::new(Semaphore::new(1)), waiting: None, taken: None }
    }

    /// Ready when the handle has the connection.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.taken.is_none() {
            let pool = Arc::clone(&self.pool);
            let acquire = || -> BoxFuture<'static, _> {
                Box::pin(async move { pool.acquire_owned().await.unwrap() })
            };
            self.taken =
                Some(task::ready!(self.waiting.get_or_insert_with(acquire).as_mut().poll(cx)));
            self.waiting = None;
        }
        Poll::Ready(())
    }

    /// The connection, until what holds it is dropped.
    pub(crate) fn take(&mut self) -> OwnedSemaphorePermit {
        self.taken.take().expect("called when it is ready")
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Self { pool: Arc::clone(&self.pool), waiting: None, taken: None }
    }
}

/// Not executed: safe to repeat.
pub(crate) const REFUSED: Reply = Err(io::ErrorKind::ConnectionRefused);
/// May have been executed.
pub(crate) const BROKEN: Reply = Err(io::ErrorKind::BrokenPipe);

pub(crate) fn attempts(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// A budget that is never exhausted by a test.
pub(crate) fn ample() -> Budget {
    Budget::new(BudgetConfig::new().floor_per_second(1_000_000)).unwrap()
}

pub(crate) fn exactly(percent: u8, floor_per_second: u32) -> Budget {
    Budget::new(
        BudgetConfig::new().ratio(Ratio::percent(percent)).floor_per_second(floor_per_second),
    )
    .unwrap()
}

/// Waits exactly a second between attempts.
pub(crate) fn steady() -> RetryConfig {
    RetryConfig::new().backoff(Backoff::constant(Duration::from_secs(1)).unwrap())
}

pub(crate) fn steadily() -> RetryLayer {
    RetryLayer::new(steady()).budget(ample())
}
