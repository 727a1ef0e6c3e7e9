//! A keyed handle over the requests of a framework, as the convention writes it.

use std::num::NonZeroUsize;

use http::{Request, Response, StatusCode};
use steadfast::{
    ConfigError,
    breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen},
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
    let breaker = BreakerLayer::new(Circuit::per_key(config, capacity, |request: &Request<B>| {
        host(request)
    })?)
    .http();
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
