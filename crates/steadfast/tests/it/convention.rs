//! Lines of the convention in which a handle meets the requests of a framework, or another handle.

use std::{future::Future, io, num::NonZeroUsize, time::Duration};

use http::{Request, Response, StatusCode};
use steadfast::{
    ConfigError, Error, Failure, Grounds, RefusalKind,
    breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen},
    cause,
    timeout::{Elapsed, LimitConfig, TimeLimit},
};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

fn host<B>(request: &Request<B>) -> String {
    request.uri().host().unwrap_or_default().to_owned()
}

/// A circuit for each host, for requests and responses of any body.
fn per_host<B, S>(
    config: CircuitConfig,
    capacity: NonZeroUsize,
    inner: S,
) -> Result<impl Service<Request<B>, Response = S::Response, Error = BoxError> + Clone, ConfigError>
where
    S: Service<Request<B>, Response = Response<B>, Error = BoxError> + Clone,
{
    let breaker = BreakerLayer::new(Circuit::per_key(config, capacity, |request: &Request<B>| host(request))?).http();
    Ok(ServiceBuilder::new().layer(breaker).service(inner))
}

#[tokio::test]
async fn a_circuit_for_each_host_judges_responses_by_their_status() {
    let broken = service_fn(|request: Request<&'static str>| async move {
        let mut response = Response::new(request.into_body());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        Ok::<_, BoxError>(response)
    });
    let config = CircuitConfig::new().minimum_calls(2.try_into().unwrap());
    let service = per_host(config, NonZeroUsize::MIN, broken).unwrap();
    let call = || Request::get("http://stock.example/items").body("").unwrap();
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(call()).await.unwrap().status(), 500);
    }
    assert!(service.oneshot(call()).await.unwrap_err().is::<CircuitOpen>());
}

/// An error type of the user's own.
#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error(transparent)]
    Open(#[from] CircuitOpen),
    #[error(transparent)]
    Late(#[from] Elapsed),
}

impl Failure for Mine {
    fn as_error(&self) -> &(dyn std::error::Error + 'static) {
        self
    }
}

/// Twice too late, then refused.
async fn hang<E>() -> E
where
    E: Failure + From<CircuitOpen> + From<Elapsed>,
{
    let circuit = Circuit::new(CircuitConfig::new().minimum_calls(2.try_into().unwrap())).unwrap();
    let limit = TimeLimit::new(LimitConfig::fixed(Duration::from_millis(10))).unwrap();
    let call = || -> std::pin::Pin<Box<dyn Future<Output = Result<(), E>> + Send>> { Box::pin(std::future::pending()) };
    for _ in 0..2 {
        let late = circuit.run(limit.run(call())).await.unwrap_err();
        assert_eq!(cause::<Grounds>(late.as_error()).map(|grounds| grounds.kind), Some(RefusalKind::TimedOut));
    }
    circuit.run(limit.run(call())).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn futures_run_under_a_circuit_and_a_limit_without_tower() {
    let open = CircuitOpen::until_changed().to_string();
    assert_eq!(hang::<BoxError>().await.to_string(), open);
    assert!(matches!(hang::<Mine>().await, Mine::Open(_)));
    assert!(matches!(hang::<Error<io::Error>>().await, Error::Refused(_)));
}
