//! Callers, and what became of their calls.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use steadfast::{breaker::CircuitOpen, cause};
use steadfast_testkit::Traffic;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{BoxError, ServiceExt, util::BoxCloneSyncService};

/// How calls come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// So many callers, each of which calls again as soon as it has its answer.
    Callers(u32),
    /// So many calls a second, at random.
    Poisson(u32),
}

/// How long a caller in a loop waits after a refusal: it would spin otherwise.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) sent: Instant,
    pub(crate) at: Instant,
    pub(crate) ok: bool,
    /// Refused by the open circuit, in its last attempt.
    pub(crate) refused: bool,
}

/// Calls that have ended, in the order of their end.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Ended>>>);

impl Calls {
    pub(crate) fn ended(&self) -> MutexGuard<'_, Vec<Ended>> {
        self.0.lock().unwrap()
    }

    /// Makes so many calls at once, and waits for their ends.
    pub(crate) async fn at_once(
        &self,
        service: &BoxCloneSyncService<(), (), BoxError>,
        number: usize,
    ) {
        let mut tasks = JoinSet::new();
        for _ in 0..number {
            let (service, calls) = (service.clone(), self.clone());
            tasks.spawn(async move { calls.make(service).await });
        }
        tasks.join_all().await;
    }

    async fn make(&self, service: BoxCloneSyncService<(), (), BoxError>) -> Ended {
        let sent = Instant::now();
        let outcome = service.oneshot(()).await;
        let refused = outcome.as_ref().is_err_and(|error| cause::<CircuitOpen>(&**error).is_some());
        let ended = Ended { sent, at: Instant::now(), ok: outcome.is_ok(), refused };
        self.ended().push(ended);
        ended
    }
}

impl Load {
    /// Sends calls until it is dropped; those under way are dropped with it.
    pub(crate) async fn send(
        self,
        service: &BoxCloneSyncService<(), (), BoxError>,
        calls: &Calls,
        seed: u64,
    ) {
        let mut tasks = JoinSet::new();
        let mut traffic = Traffic::seeded(seed);
        match self {
            Self::Callers(number) => {
                for _ in 0..number {
                    let (service, calls) = (service.clone(), calls.clone());
                    tasks.spawn(async move {
                        loop {
                            if calls.make(service.clone()).await.refused {
                                sleep(AFTER_REFUSAL).await;
                            }
                        }
                    });
                    sleep(traffic.arrival(1000.0)).await;
                }
                while tasks.join_next().await.is_some() {}
            }
            Self::Poisson(rate) => {
                let mut due = Instant::now();
                loop {
                    due += traffic.arrival(f64::from(rate));
                    sleep_until(due).await;
                    let (service, calls) = (service.clone(), calls.clone());
                    tasks.spawn(async move { calls.make(service).await });
                    while tasks.try_join_next().is_some() {}
                }
            }
        }
    }
}
