//! Deadlines in extensions and headers.

use std::{future::pending, time::Duration};

use http::{HeaderName, Request, Response};
use steadfast_core::{
    Deadline, Executed, guard,
    http::{GRPC_TIMEOUT, REQUEST_TIMEOUT_MS},
};
use steadfast_timeout::{
    DeadlineConfig, DeadlineLayer, Elapsed, PropagateDeadlineLayer, TimeoutLayer,
};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::{MS, adaptive};

const HEADER: HeaderName = HeaderName::from_static("x-patience");

fn deadlines(config: DeadlineConfig) -> DeadlineLayer {
    DeadlineLayer::new(config).unwrap()
}

/// How much time the service behind `layer` finds left; `None` when there is no deadline.
async fn left(layer: &DeadlineLayer, request: Request<()>) -> Result<Option<Duration>, Elapsed> {
    let now = Instant::now().into_std();
    let service = layer.layer(service_fn(move |request: Request<()>| async move {
        let deadline = request.extensions().get::<Deadline>();
        Ok::<_, BoxError>(deadline.map(|deadline| deadline.remaining(now)))
    }));
    service.oneshot(request).await.map_err(|error| *error.downcast().unwrap())
}

fn request(headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn the_nearest_of_total_headers_and_extension_is_the_deadline() {
    let layer = deadlines(DeadlineConfig::new().headers().total(1000 * MS));
    for (headers, expected) in [
        (&[][..], 1000),
        (&[(REQUEST_TIMEOUT_MS, "250")], 250),
        (&[(REQUEST_TIMEOUT_MS, "99999999999999999999")], 1000),
        (&[(GRPC_TIMEOUT, "100m")], 100),
        (&[(GRPC_TIMEOUT, "100m"), (REQUEST_TIMEOUT_MS, "50")], 50),
        (&[(REQUEST_TIMEOUT_MS, "500"), (REQUEST_TIMEOUT_MS, "400")], 400),
    ] {
        assert_eq!(left(&layer, request(headers)).await, Ok(Some(expected * MS)), "{headers:?}");
        let mut nested = request(headers);
        nested.extensions_mut().insert(Deadline::after(Instant::now().into_std(), 30 * MS));
        assert_eq!(
            left(&layer, nested).await,
            Ok(Some(30 * MS)),
            "an inner deadline only brings the end nearer"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_headers_never_fail_a_request() {
    let layer = deadlines(DeadlineConfig::new().headers());
    for garbage in ["", "soon", "-1", "1.5", "1e3", "0x10", "123456789S", "\u{fc}"] {
        for name in [REQUEST_TIMEOUT_MS, GRPC_TIMEOUT] {
            let mut request = Request::new(());
            request
                .headers_mut()
                .insert(name, http::HeaderValue::from_bytes(garbage.as_bytes()).unwrap());
            assert_eq!(left(&layer, request).await, Ok(None), "{garbage}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_of_ones_own_is_read_and_others_are_not() {
    let config = DeadlineConfig::new().total(1000 * MS).header(HEADER);
    let headers = [(HEADER, "70"), (REQUEST_TIMEOUT_MS, "5"), (GRPC_TIMEOUT, "5m")];
    assert_eq!(left(&deadlines(config.clone()), request(&headers)).await, Ok(Some(70 * MS)));
    assert_eq!(left(&deadlines(config.grpc_timeout()), request(&headers)).await, Ok(Some(5 * MS)));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_refused_before_the_call() {
    let layer = deadlines(DeadlineConfig::new().headers());
    let refused = Err(Elapsed::before_the_call());
    assert_eq!(left(&layer, request(&[(REQUEST_TIMEOUT_MS, "0")])).await, refused);
    assert_eq!(left(&layer, request(&[(GRPC_TIMEOUT, "0n")])).await, refused);
    let mut late = request(&[]);
    late.extensions_mut().insert(Deadline::at(Instant::now().into_std()));
    assert_eq!(left(&layer, late).await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept() {
    let service = deadlines(DeadlineConfig::new().total(300 * MS))
        .layer(service_fn(|_: Request<()>| pending::<Result<(), BoxError>>()));
    let start = Instant::now();
    let error = service.oneshot(request(&[])).await.unwrap_err();
    assert_eq!(
        (Instant::now() - start, *error.downcast().unwrap()),
        (300 * MS, Elapsed::at_the_deadline(300 * MS))
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_comes_with_the_deadline_passes_the_layer_that_judges_none() {
    let service = deadlines(DeadlineConfig::new().total(300 * MS)).layer(service_fn(
        |_: Request<()>| async {
            tokio::time::sleep(300 * MS).await;
            Err::<(), BoxError>("of the service".into())
        },
    ));
    assert_eq!(service.oneshot(request(&[])).await.unwrap_err().to_string(), "of the service");
}

#[tokio::test(start_paused = true)]
async fn without_any_deadline_a_request_may_take_as_long_as_it_likes() {
    let service =
        deadlines(DeadlineConfig::new().headers()).layer(service_fn(|_: Request<()>| async {
            tokio::time::sleep(Duration::from_secs(1_000_000)).await;
            Ok::<_, BoxError>(())
        }));
    service.oneshot(request(&[])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_reaches_the_timeout_further_in() {
    let limit = adaptive();
    let stack =
        (deadlines(DeadlineConfig::new().total(30 * MS)), TimeoutLayer::new(limit.clone()).http());
    let service = guard(tower::ServiceBuilder::new().layer(stack))
        .layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, std::io::Error>>()));
    let error = service.oneshot(request(&[])).await.unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.executed(), Executed::Maybe);
    assert_eq!(limit.snapshot().samples, 0, "the deadline ended it, not the limit");
}

#[tokio::test(start_paused = true)]
async fn on_http_a_refusal_is_a_504_and_the_error_type_stays_what_it_was() {
    let stack = tower::ServiceBuilder::new()
        .layer(deadlines(DeadlineConfig::new().total(50 * MS)))
        .layer(TimeoutLayer::new(adaptive()).http());
    let service = steadfast_core::http::respond(stack).layer(service_fn(|_: Request<()>| {
        pending::<Result<Response<Vec<u8>>, std::convert::Infallible>>()
    }));
    let Ok(response) = service.oneshot(request(&[])).await;
    assert_eq!(response.status(), http::StatusCode::GATEWAY_TIMEOUT);
}

#[cfg(feature = "tonic")]
#[tokio::test(start_paused = true)]
async fn on_grpc_a_refusal_is_deadline_exceeded_and_its_status_stands_in_the_source_chain() {
    use std::error::Error;

    let elapsed = Elapsed::after(MS);
    assert_eq!(steadfast_core::tonic::status_of(&elapsed).code() as i32, 4);
    let grounds = elapsed.source().unwrap();
    assert!(grounds.source().unwrap().to_string().contains("timed out"), "tonic finds it there");

    let limit = adaptive();
    let layer = TimeoutLayer::new(limit.clone()).grpc();
    let service = layer.layer(service_fn(|code: Request<&'static str>| async move {
        tokio::time::sleep(MS).await;
        Ok::<_, BoxError>(
            Response::builder().header("grpc-status", code.into_body()).body(()).unwrap(),
        )
    }));
    for code in ["0", "14", "4", "0"] {
        service.clone().oneshot(Request::new(code)).await.unwrap();
    }
    assert_eq!(limit.snapshot().samples, 2, "fast failures are not samples");
}

#[tokio::test(start_paused = true)]
async fn fast_http_errors_are_not_samples() {
    let limit = adaptive();
    let service = TimeoutLayer::new(limit.clone()).http().layer(service_fn(
        |request: Request<u16>| async move {
            tokio::time::sleep(MS).await;
            let mut response = Response::new(());
            *response.status_mut() = http::StatusCode::from_u16(request.into_body()).unwrap();
            Ok::<_, BoxError>(response)
        },
    ));
    for status in [200, 503, 204, 429, 500] {
        service.clone().oneshot(Request::new(status)).await.unwrap();
    }
    assert_eq!(limit.snapshot().samples, 2);
}

/// What the client behind `layer` sends after 100 ms spent in between.
async fn sent<L>(
    layer: &L,
    name: HeaderName,
    mut request: Request<()>,
    total: Option<Duration>,
) -> Option<String>
where
    L: Layer<BoxedEcho>,
    L::Service: Service<Request<()>, Response = Option<String>, Error = BoxError>,
{
    if let Some(total) = total {
        request.extensions_mut().insert(Deadline::after(Instant::now().into_std(), total));
    }
    tokio::time::advance(100 * MS).await;
    let echo: BoxedEcho =
        tower::util::BoxCloneService::new(service_fn(move |request: Request<()>| {
            let value = request
                .headers()
                .get(&name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            async { Ok::<_, BoxError>(value) }
        }));
    layer.layer(echo).oneshot(request).await.unwrap()
}

type BoxedEcho = tower::util::BoxCloneService<Request<()>, Option<String>, BoxError>;

#[tokio::test(start_paused = true)]
async fn what_is_left_is_told_to_the_next_server() {
    let ms = PropagateDeadlineLayer::default();
    let grpc = PropagateDeadlineLayer::new().grpc_timeout();
    let own = PropagateDeadlineLayer::new().header(HEADER);
    let total = Some(250 * MS + Duration::from_micros(900));
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(
        sent(&ms, REQUEST_TIMEOUT_MS, request(&[]), total).await,
        some("150"),
        "rounded down"
    );
    assert_eq!(sent(&own, HEADER, request(&[]), total).await, some("150"));
    assert_eq!(sent(&grpc, GRPC_TIMEOUT, request(&[]), total).await, some("150900u"));
    assert_eq!(
        sent(&ms, REQUEST_TIMEOUT_MS, request(&[]), Some(50 * MS)).await,
        some("1"),
        "nothing is left, and no zero goes out"
    );
    assert_eq!(sent(&grpc, GRPC_TIMEOUT, request(&[]), Some(50 * MS)).await, some("1n"));
    let little = Some(100 * MS + Duration::from_micros(999));
    assert_eq!(sent(&ms, REQUEST_TIMEOUT_MS, request(&[]), little).await, some("1"));
    assert_eq!(sent(&grpc, GRPC_TIMEOUT, request(&[]), little).await, some("999000n"));
    assert_eq!(sent(&ms, REQUEST_TIMEOUT_MS, request(&[]), None).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_header_that_asks_for_less_stays_and_garbage_is_replaced() {
    let ms = PropagateDeadlineLayer::new();
    let total = Some(250 * MS);
    for (standing, expected) in [("40", "40"), ("400", "150"), ("soon", "150"), ("0", "1")] {
        let request = request(&[(REQUEST_TIMEOUT_MS, standing)]);
        assert_eq!(sent(&ms, REQUEST_TIMEOUT_MS, request, total).await.as_deref(), Some(expected));
        let alone = self::request(&[(REQUEST_TIMEOUT_MS, standing)]);
        assert_eq!(
            sent(&ms, REQUEST_TIMEOUT_MS, alone, None).await.as_deref(),
            Some(standing),
            "no deadline, no change"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_zero_of_grpc_goes_out_as_one_unit() {
    let grpc = PropagateDeadlineLayer::new().grpc_timeout();
    for zero in ["0n", "0H", "00000000S"] {
        let request = request(&[(GRPC_TIMEOUT, zero)]);
        let sent = sent(&grpc, GRPC_TIMEOUT, request, Some(250 * MS)).await;
        assert_eq!(sent.as_deref(), Some("1n"), "{zero}");
    }
}

#[test]
fn a_total_of_nothing_is_refused() {
    for config in [DeadlineConfig::new(), DeadlineConfig::new().headers()] {
        assert_eq!(DeadlineLayer::new(config.total(Duration::ZERO)).unwrap_err().field, "total");
    }
}
