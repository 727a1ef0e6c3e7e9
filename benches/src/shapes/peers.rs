//! The peers. Breakers that are no layers stand in the smallest service that can be made of them,
//! and so do the ways to await some of several futures.

use std::task::{Context, Poll};

use failsafe::{Any, futures::CircuitBreaker};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use recloser::{AnyError, AsyncRecloser, Recloser, RecloserFuture};
use tower::{
    BoxError, Service, layer::layer_fn, limit::ConcurrencyLimitLayer, retry::RetryLayer,
    service_fn, timeout::TimeoutLayer,
};

use crate::{
    peers::{Attempts, LIMIT, PERMITS, breaker, consecutive, limiter, retry},
    quorums::{NEEDED, five, made},
    row::Row,
    service::{Fault, Inner},
};

pub(crate) fn rows() -> Vec<Row> {
    [breakers(), tower(), tower_resilience(), quorums()].into_iter().flatten().collect()
}

fn breakers() -> Vec<Row> {
    let mut rows = unguarded!(Peer, "recloser", layer_fn(reclosing));
    rows.extend(unguarded!(Peer, "recloser, small error", layer_fn(reclosing), Fault));
    rows.extend(unguarded!(Peer, "failsafe, default policy", {
        layer_fn(|inner| Failsafe { inner, breaker: failsafe::Config::new().build() })
    }));
    rows.extend(unguarded!(Peer, "failsafe, consecutive failures", {
        layer_fn(|inner| Failsafe { inner, breaker: consecutive() })
    }));
    rows
}

fn tower() -> Vec<Row> {
    let (timeout, retry) = (TimeoutLayer::new(LIMIT), RetryLayer::new(Attempts(3)));
    let limit = ConcurrencyLimitLayer::new(PERMITS);
    let mut rows = unguarded!(Peer, "tower timeout", timeout);
    rows.extend(unguarded!(Peer, "tower retry, no budget", retry));
    rows.extend(unguarded!(Peer, "tower concurrency limit", limit));
    rows.extend(unguarded!(
        Peer,
        "tower retry + timeout + concurrency limit",
        (&retry, &timeout, &limit)
    ));
    rows
}

fn tower_resilience() -> Vec<Row> {
    let mut rows = unguarded!(Peer, "tower-resilience breaker", breaker());
    rows.extend(unguarded!(Peer, "tower-resilience time limiter", limiter()));
    rows.extend(unguarded!(Peer, "tower-resilience retry + budget", retry()));
    rows.extend(unguarded!(Peer, "tower-resilience retry + breaker + time limiter", {
        (retry(), breaker(), limiter())
    }));
    rows
}

fn quorums() -> Vec<Row> {
    let mut rows = unguarded!(
        Peer,
        "FuturesUnordered, the first 3 of 5 services",
        layer_fn(|inner| first_of(&inner))
    );
    rows.extend(unguarded!(Peer, "join_all, all 5 services", layer_fn(|inner| all_of(&inner))));
    rows
}

/// A service whose calls go through a recloser.
#[derive(Clone)]
struct Reclosing<S> {
    inner: S,
    recloser: AsyncRecloser,
}

fn reclosing<S>(inner: S) -> Reclosing<S> {
    Reclosing { inner, recloser: AsyncRecloser::from(Recloser::default()) }
}

impl<S: Service<u64>> Service<u64> for Reclosing<S> {
    type Response = S::Response;
    type Error = recloser::Error<S::Error>;
    type Future = RecloserFuture<S::Future, AnyError>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(recloser::Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        self.recloser.call(self.inner.call(request))
    }
}

/// A service whose calls go through a failsafe breaker.
#[derive(Clone)]
struct Failsafe<S, B> {
    inner: S,
    breaker: B,
}

impl<S: Service<u64>, B: CircuitBreaker> Service<u64> for Failsafe<S, B> {
    type Response = S::Response;
    type Error = failsafe::Error<S::Error>;
    type Future =
        failsafe::futures::ResponseFuture<S::Future, B::FailurePolicy, B::Instrument, Any>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(failsafe::Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: u64) -> Self::Future {
        self.breaker.call(self.inner.call(request))
    }
}

/// The first answers to come, any three of them.
fn first_of<S: Inner<BoxError>>(
    service: &S,
) -> impl Service<u64, Response: 'static, Error = BoxError, Future: Send> + Clone + Send + use<S> {
    let services = five(service);
    service_fn(move |request| {
        let mut services = services.clone();
        async move {
            let mut calls: FuturesUnordered<_> =
                services.iter_mut().map(|service| made(service, request)).collect();
            let mut replies = Vec::with_capacity(services.len());
            while replies.len() < NEEDED {
                replies.push(calls.next().await.ok_or("too few answers")??);
            }
            Ok(replies)
        }
    })
}

/// All answers.
fn all_of<S: Inner<BoxError>>(
    service: &S,
) -> impl Service<u64, Response: 'static, Error = BoxError, Future: Send> + Clone + Send + use<S> {
    let services = five(service);
    service_fn(move |request| {
        let mut services = services.clone();
        async move {
            Ok::<_, BoxError>(
                join_all(services.iter_mut().map(|service| made(service, request))).await,
            )
        }
    })
}
