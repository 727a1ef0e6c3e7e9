//! A service that answers for as long as it is told to.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use steadfast_testkit::Traffic;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// A service whose clones are one.
#[derive(Clone)]
pub(crate) struct Upstream {
    state: Arc<Mutex<State>>,
    /// How many calls it works at; the others wait for their turn.
    workers: Arc<Semaphore>,
}

struct State {
    latency: Latency,
    answers_left: usize,
    calls: usize,
    silent_since: Option<Instant>,
    traffic: Traffic,
}

/// How long a call takes once a worker has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Latency {
    Constant(Duration),
    /// Log-normal, of this median and shape.
    LogNormal(Duration, f64),
}

impl Upstream {
    /// Answers as many calls as it is told to, and none after those.
    pub(crate) fn answering(answers: usize, latency: Latency, seed: u64) -> Self {
        let traffic = Traffic::seeded(seed);
        let state = State { latency, answers_left: answers, calls: 0, silent_since: None, traffic };
        let workers = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { state: Arc::new(Mutex::new(state)), workers }
    }

    /// The same with so many workers.
    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = Arc::new(Semaphore::new(workers));
        self
    }

    /// One call.
    pub(crate) async fn answer(&self) {
        let latency = self.state().next();
        match latency {
            Some(latency) => {
                let _worker = self.workers.acquire().await.unwrap();
                sleep(latency).await;
            }
            None => pending().await,
        }
    }

    /// When the first call came that was not answered.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        self.state().silent_since
    }

    /// How many calls have reached it.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    /// From now on each call is answered, after this long. Calls that were lost stay lost.
    pub(crate) fn answer_in(&self, latency: Latency) {
        let mut state = self.state();
        (state.latency, state.answers_left) = (latency, usize::MAX);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// How long this call takes, if it is answered.
    fn next(&mut self) -> Option<Duration> {
        self.calls += 1;
        if self.answers_left == 0 {
            self.silent_since.get_or_insert_with(Instant::now);
            return None;
        }
        self.answers_left -= 1;
        Some(match self.latency {
            Latency::Constant(latency) => latency,
            Latency::LogNormal(median, sigma) => self.traffic.log_normal(median, sigma),
        })
    }
}
