//! The shape every crate of the house has: a configuration, a handle that checks it, a layer, a
//! service. Most of it is checked by the compiler.

use std::{
    future::{Future, Ready, ready},
    io,
    time::Duration,
};

use steadfast_core::{
    ConfigError, DefaultClassifier, Error, EveryError, Executed, Failure, NoContext, Verdict,
};
use steadfast_timeout::{
    Elapsed, Ewma, LimitConfig, LimitSnapshot, MultipleOf, Quantile, ResponseFuture, Rfc6298,
    TimeLimit, Timeout, TimeoutLayer,
};
use tower::{BoxError, Layer};

use crate::{MS, never};

fn shared<T: Send + Sync + 'static>(_: &T) {}

fn spawnable<T: Future + Send + 'static>(future: T) -> T {
    future
}

#[test]
fn a_layer_with_a_measured_limit_is_one_line() -> Result<(), ConfigError> {
    let (floor, ceiling) = (10 * MS, 5000 * MS);
    let layer =
        TimeoutLayer::new(TimeLimit::new(LimitConfig::quantile(floor, ceiling).factor(3.0))?);
    shared(&layer);
    Ok(())
}

#[test]
fn configuration_handle_layer_service() {
    const QUANTILE: MultipleOf<Quantile> = LimitConfig::quantile(MS, Duration::from_secs(5))
        .quantile(0.9)
        .factor(2.0)
        .cold_start(Duration::from_secs(1))
        .minimum_samples(5)
        .window(Duration::from_secs(10));
    const EWMA: MultipleOf<Ewma> =
        LimitConfig::ewma(MS, Duration::from_secs(5)).weight(0.25).factor(2.0);
    const RFC: Rfc6298 =
        LimitConfig::rfc6298(MS, Duration::from_secs(5)).granularity(MS).cold_start(MS);
    const FIXED: LimitConfig = LimitConfig::fixed(MS);

    // A name may be given anywhere in the chain, and rules of all kinds fit one type.
    let configs: [LimitConfig; 4] = [
        QUANTILE.named("stock").factor(3.0).into(),
        EWMA.named("stock").into(),
        RFC.named("stock").into(),
        FIXED,
    ];
    for config in configs {
        let limit: TimeLimit = TimeLimit::new(config.clone().named("prices")).unwrap();
        shared(&(config, limit.clone()));
        let _state: LimitSnapshot = limit.snapshot();
        assert_eq!(limit.name(), "prices");

        let layer: TimeoutLayer<DefaultClassifier, NoContext, TimeLimit> = TimeoutLayer::new(limit);
        let _handle: &TimeLimit = layer.handle();
        let mut service: Timeout<u8, TimeoutLayer> = layer.layer(7);
        shared(&(layer, service.clone()));
        *service.get_mut() += 1;
        assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
    }
}

#[tokio::test(start_paused = true)]
async fn behaviours_are_type_parameters_in_one_order() {
    fn judge(_: Result<&u8, &BoxError>) -> Verdict {
        Verdict::Success
    }
    type Judge = fn(Result<&u8, &BoxError>) -> Verdict;
    let layer: TimeoutLayer<Judge> = TimeoutLayer::fixed(MS).unwrap().classify(judge as Judge);
    let _service: Timeout<(), TimeoutLayer<Judge>> = layer.layer(());
    #[cfg(feature = "http")]
    {
        use steadfast_core::http::{HttpClassifier, HttpContext};
        let _layer: TimeoutLayer<HttpClassifier, HttpContext> =
            TimeoutLayer::fixed(MS).unwrap().http();
    }
}

#[cfg(all(feature = "http", feature = "keyed"))]
#[test]
fn a_limit_for_each_key_is_one_line_too() -> Result<(), ConfigError> {
    use http::Request;
    use steadfast_core::{
        PerKey,
        http::{HttpClassifier, HttpContext},
    };

    fn host<B>(request: &Request<B>) -> String {
        request.uri().host().unwrap_or_default().to_owned()
    }
    fn serves<S: tower::Service<Request<u8>>>(_: S) {}

    let capacity = std::num::NonZeroUsize::new(100).unwrap();
    let config = LimitConfig::quantile(MS, 5000 * MS).named("upstream");
    let layer =
        TimeoutLayer::new(TimeLimit::per_key(config, capacity, |request: &Request<u8>| {
            host(request)
        })?)
        .http();
    let service = layer.layer(tower::service_fn(|_: Request<u8>| {
        ready(Ok::<_, BoxError>(http::Response::new(())))
    }));
    shared(&service.clone());
    serves(service);

    type ByHost = PerKey<String, TimeLimit, fn(&Request<u8>) -> String>;
    let by_host: ByHost =
        TimeLimit::per_key(LimitConfig::fixed(MS), capacity, host as fn(&_) -> _)?;
    let _layer: TimeoutLayer<HttpClassifier, HttpContext, ByHost> =
        TimeoutLayer::new(by_host).http();
    Ok(())
}

#[cfg(feature = "http")]
#[test]
fn deadlines_have_it_too() {
    use steadfast_core::http::REQUEST_TIMEOUT_MS;
    use steadfast_timeout::{
        DeadlineConfig, DeadlineLayer, DeadlineService, PropagateDeadline, PropagateDeadlineLayer,
    };

    const CONFIG: DeadlineConfig =
        DeadlineConfig::new().total(Duration::from_secs(2)).grpc_timeout();
    let layer: DeadlineLayer =
        DeadlineLayer::new(CONFIG.headers().header(REQUEST_TIMEOUT_MS).named("whole")).unwrap();
    let mut service: DeadlineService<u8> = layer.layer(7);
    shared(&(layer, service.clone()));
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));

    let layer = PropagateDeadlineLayer::new().header(REQUEST_TIMEOUT_MS).grpc_timeout();
    let mut service: PropagateDeadline<u8> = layer.layer(7);
    shared(&(layer, service.clone()));
    *service.get_mut() += 1;
    assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
}

#[cfg(feature = "http")]
#[test]
fn bodies_have_it_too_with_a_limit_of_their_own_or_one_that_is_learned() {
    use steadfast_timeout::{
        BodyTimeout, BodyTimeoutConfig, BodyTimeoutLayer, RequestBodyTimeout,
        RequestBodyTimeoutLayer,
    };

    const CONFIG: BodyTimeoutConfig = BodyTimeoutConfig::new().between_frames(MS);
    const LEARNED: MultipleOf<Quantile> = LimitConfig::between_frames(Duration::from_secs(30));
    let limit = TimeLimit::new(LEARNED.named("downloads")).unwrap();
    let fixed = CONFIG.named("downloads").whole(Duration::from_secs(2));
    for config in [fixed, BodyTimeoutConfig::new().adaptive(limit)] {
        let layer: BodyTimeoutLayer = BodyTimeoutLayer::new(config.clone()).unwrap();
        let mut service: BodyTimeout<u8, BodyTimeoutLayer<TimeLimit>> = layer.layer(7);
        shared(&(layer, service.clone()));
        *service.get_mut() += 1;
        assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));

        let layer: RequestBodyTimeoutLayer = RequestBodyTimeoutLayer::new(config).unwrap();
        let mut service: RequestBodyTimeout<u8, RequestBodyTimeoutLayer<TimeLimit>> =
            layer.layer(7);
        shared(&(layer, service.clone()));
        *service.get_mut() += 1;
        assert_eq!((*service.get_ref(), service.into_inner()), (8, 8));
    }
}

#[test]
fn debug_output_is_a_line_whatever_was_learned() {
    let limit = TimeLimit::new(LimitConfig::quantile(MS, 5000 * MS).named("stock")).unwrap();
    (0..100).for_each(|_| limit.record(50 * MS));
    let shown = format!("{limit:?}");
    assert!(shown.starts_with("TimeLimit { name: \"stock\", limit: 100."), "{shown}");
    let layer = TimeoutLayer::new(limit.clone());
    for shown in [format!("{:?}", layer.layer(())), format!("{:?}", limit.run(never()))] {
        assert!(shown.contains("stock") && shown.len() < 200, "{shown}");
    }
    #[cfg(feature = "http")]
    {
        use steadfast_timeout::{DeadlineConfig, DeadlineLayer};
        let shown = format!("{:?}", DeadlineLayer::new(DeadlineConfig::new().total(MS)).unwrap());
        assert!(shown.contains("1ms") && shown.len() < 200, "{shown}");
    }
}

#[test]
fn what_runs_without_tower_has_a_name_and_can_be_spawned() {
    let limit = crate::fixed(MS);
    let _run: ResponseFuture<Ready<Result<(), Elapsed>>, DefaultClassifier> =
        limit.run(ready(Ok(())));
    let _judged: ResponseFuture<Ready<Result<(), Elapsed>>, EveryError> =
        limit.run_judged(ready(Ok(())), EveryError);
    // It owns its way to the limit.
    let run = spawnable(limit.run(never()));
    drop(limit);
    drop(run);
}

/// An error type of the user's own.
#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error(transparent)]
    Late(#[from] Elapsed),
    #[error("out of stock")]
    OutOfStock,
}

impl Failure for Mine {
    fn as_error(&self) -> &(dyn std::error::Error + 'static) {
        self
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_error_takes_the_refusal() {
    async fn late<E>() -> Result<(), E> {
        std::future::pending().await
    }
    let limit = crate::fixed(100 * MS);
    let boxed: BoxError = limit.run(late::<BoxError>()).await.unwrap_err();
    assert_eq!(*boxed.downcast::<Elapsed>().unwrap(), Elapsed::after(100 * MS));
    let mine = limit.run(late::<Mine>()).await.unwrap_err();
    assert!(matches!(mine, Mine::Late(elapsed) if elapsed == Elapsed::after(100 * MS)));
    let guarded = limit.run(late::<Error<io::Error>>()).await.unwrap_err();
    assert_eq!(
        guarded.refusal().map(steadfast_core::Refusal::grounds),
        Some(Elapsed::after(100 * MS).grounds)
    );
    let error = limit.run(async { Err::<(), _>(Mine::OutOfStock) }).await.unwrap_err();
    assert!(matches!(error, Mine::OutOfStock));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_ends_in_no_result_is_made_one_that_does() {
    let limit = crate::fixed(100 * MS);
    assert_eq!(limit.run(async { Ok::<_, Elapsed>(ready(7).await) }).await, Ok(7));
    let never = std::future::pending::<u8>();
    assert_eq!(
        limit.run(async { Ok::<_, Elapsed>(never.await) }).await,
        Err(Elapsed::after(100 * MS))
    );
}

#[tokio::test(start_paused = true)]
async fn what_runs_without_tower_is_judged_as_the_layer_judges() {
    let limit = crate::adaptive();
    let answer = |outcome: Result<(), BoxError>| async {
        tokio::time::sleep(MS).await;
        outcome
    };
    limit.run(answer(Ok(()))).await.unwrap();
    limit.run(answer(Err("failed".into()))).await.unwrap_err();
    assert_eq!(limit.snapshot().samples, 1, "a failure is no sample");
    let judge = |outcome: Result<&(), &BoxError>| match outcome {
        Ok(()) => Verdict::transient(Executed::Maybe),
        Err(_) => Verdict::Success,
    };
    limit.run_judged(answer(Ok(())), judge).await.unwrap();
    limit.run_judged(answer(Err("expected".into())), judge).await.unwrap_err();
    assert_eq!(limit.snapshot().samples, 2, "unless the classifier says otherwise");
}
