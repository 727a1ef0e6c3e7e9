//! The layers as a program meets them, on a paused clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adaptive;
#[cfg(feature = "http")]
mod adaptive_bodies;
#[cfg(feature = "http")]
mod bodies;
mod cancel;
mod contract;
mod cuts;
#[cfg(feature = "http")]
mod deadline;
mod explore;
mod fixed;
#[cfg(feature = "keyed")]
mod keyed;
#[cfg(feature = "metrics")]
mod metrics;
mod reconfigure;
mod shape;
#[cfg(feature = "tracing")]
mod tracing;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_core::DefaultClassifier;
use steadfast_timeout::{Elapsed, LimitConfig, MultipleOf, Quantile, TimeLimit, TimeoutLayer};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// The bounds of most tests: 10 ms to 5 s, cold at 1 s.
pub(crate) fn quantile() -> MultipleOf<Quantile> {
    LimitConfig::quantile(10 * MS, 5000 * MS).cold_start(1000 * MS)
}

pub(crate) fn adaptive() -> TimeLimit {
    TimeLimit::new(quantile()).unwrap()
}

pub(crate) fn fixed(limit: Duration) -> TimeLimit {
    TimeLimit::new(LimitConfig::fixed(limit)).unwrap()
}

/// `future` as one that ends in a `Result`.
pub(crate) async fn ok<F: Future>(future: F) -> Result<F::Output, Elapsed> {
    Ok(future.await)
}

/// A call that is never answered.
pub(crate) fn never() -> std::future::Pending<Result<(), Elapsed>> {
    std::future::pending()
}

/// How an upstream answers its next request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    After(Duration),
    FailAfter(Duration),
    AtOnce,
    Never,
}

/// A service whose answers are set by the test.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(Arc<Mutex<Answer>>);

impl Upstream {
    pub(crate) fn new(answer: Answer) -> Self {
        Self(Arc::new(Mutex::new(answer)))
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.0.lock().unwrap() = answer;
    }

    pub(crate) async fn answer(self) -> Result<(), BoxError> {
        let answer = *self.0.lock().unwrap();
        match answer {
            Answer::After(latency) => tokio::time::sleep(latency).await,
            Answer::FailAfter(latency) => {
                tokio::time::sleep(latency).await;
                return Err("failed".into());
            }
            Answer::AtOnce => {}
            Answer::Never => std::future::pending().await,
        }
        Ok(())
    }
}

/// `upstream` behind `limit`.
pub(crate) fn behind(
    limit: &TimeLimit,
    upstream: &Upstream,
) -> impl Service<(), Response = (), Error = BoxError, Future: Send> + Clone + use<> {
    let upstream = upstream.clone();
    TimeoutLayer::new(limit.clone()).layer(service_fn(move |()| upstream.clone().answer()))
}

/// One call through a fresh clone.
pub(crate) async fn call<S>(service: &S) -> Result<(), BoxError>
where
    S: Service<(), Response = (), Error = BoxError> + Clone,
{
    service.clone().oneshot(()).await
}

/// A limit that has seen a hundred answers after 50 ms.
pub(crate) async fn settled(limit: &TimeLimit) -> Upstream {
    let upstream = Upstream::new(Answer::After(50 * MS));
    let service = behind(limit, &upstream);
    for _ in 0..100 {
        call(&service).await.unwrap();
    }
    upstream
}

#[test]
fn everything_public_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<TimeLimit>();
    shared::<TimeoutLayer>();
    shared::<TimeoutLayer<DefaultClassifier>>();
    shared::<steadfast_timeout::Timeout<()>>();
    shared::<
        steadfast_timeout::ResponseFuture<
            std::future::Ready<Result<(), Infallible>>,
            DefaultClassifier,
        >,
    >();
    shared::<Elapsed>();
}
