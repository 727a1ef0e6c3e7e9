//! Where a limit in time belongs: outside.

use std::time::Duration;

use axum::{Router, body::Body, response::IntoResponse, routing::post};
use http::{Request, Response, StatusCode};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    Reason, Refused,
    http::{IdempotencyLayer, ReplyPolicy, RequestBody},
};
use tokio::time::sleep;
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer,
};

use super::support::{Got, Runs, handle, layer, pay, send};
use crate::support::MS;

const LIMIT: Duration = Duration::from_millis(20);

/// Takes 60 ms, whatever its caller does.
async fn receipt(runs: Runs) -> Result<Response<Body>, BoxError> {
    let run = runs.next();
    sleep(60 * MS).await;
    Ok(Response::new(Body::from(format!("run {run}"))))
}

/// What five tries with one key get, 10 ms apart: a reply, a refusal, or nothing in time.
async fn five_tries<S>(service: S) -> Vec<String>
where
    S: Service<Request<Body>, Response: IntoResponse, Error = BoxError> + Clone,
{
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(match service.clone().oneshot(pay("/pay", "7f3a", "")).await {
            Ok(response) => Got::of(response.into_response()).await.text,
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) => format!("{:?}", refused.reason),
                None => "time out".to_owned(),
            },
        });
        sleep(10 * MS).await;
    }
    got
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_outside_five_tries_are_one_run_and_with_one_inside_there_is_no_reply() {
    let runs = Runs::default();
    let handler = || {
        let runs = runs.clone();
        service_fn(move |_: Request<RequestBody<Body>>| receipt(runs.clone()))
    };
    let limit = || TimeoutLayer::new(LIMIT);
    let outside = ServiceBuilder::new().layer(limit()).layer(layer()).service(handler());
    let got = five_tries(outside).await;
    assert_eq!(got, ["time out", "time out", "run 1", "run 1", "run 1"]);
    assert_eq!(runs.count(), 1);

    // Inside: what was cut may have been executed, so the key is not freed, and there is no reply.
    let inside = ServiceBuilder::new().layer(layer()).layer(limit()).service(handler());
    let refused = format!("{:?}", Reason::Abandoned);
    let got = five_tries(inside).await;
    assert_eq!((&got[0], runs.count()), (&"time out".to_owned(), 2));
    assert_eq!(got[1..], vec![refused; 4]);
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_inside_and_failures_that_free_the_key_five_tries_are_five_runs() {
    let runs = Runs::default();
    let limited = |runs: Runs| async move {
        match tokio::time::timeout(LIMIT, receipt(runs)).await {
            Ok(response) => response.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR),
            Err(_) => Err(StatusCode::GATEWAY_TIMEOUT),
        }
    };
    let router = |layer: IdempotencyLayer| {
        let runs = runs.clone();
        let handler = post(move || limited(runs.clone()));
        Router::new().route("/pay", handler).layer(respond(layer))
    };
    let frees = router(layer().replies(ReplyPolicy::SuccessOnly));
    for run in 1..=5 {
        assert_eq!(send(&frees, pay("/pay", "7f3a", "")).await.status, 504);
        assert_eq!(runs.count(), run, "a run each: the trap");
    }
    let default = router(layer());
    assert_eq!(send(&default, pay("/pay", "7f3a", "")).await.status, 504);
    for _ in 0..4 {
        assert_eq!(send(&default, pay("/pay", "7f3a", "")).await.refused(), (409, None));
    }
    assert_eq!(runs.count(), 6);
}

/// Refuses what it is given, and says that nothing was executed.
#[tokio::test]
async fn a_refusal_of_a_layer_inside_frees_the_key() {
    let runs = Runs::default();
    let seen = runs.clone();
    let refuses_first = service_fn(move |_: Request<RequestBody<Body>>| {
        let refuses = seen.next() == 1;
        async move {
            if refuses {
                return Err(BoxError::from(Refused::full()));
            }
            Ok(Response::new(Body::from("done")))
        }
    });
    let service = layer().layer(refuses_first.clone());
    let refused = service.clone().oneshot(pay("/pay", "7f3a", "")).await.unwrap_err();
    assert_eq!(refused.downcast_ref::<Refused>().unwrap().reason, Reason::Full);
    let response = service.oneshot(pay("/pay", "7f3a", "")).await.unwrap();
    assert_eq!((Got::of(response).await.text, runs.count()), ("done".to_owned(), 2));

    // As a response too: what `respond` made of it has the grounds in its extensions.
    let runs = Runs::default();
    let inner = IdempotencyLayer::unscoped({
        let handle = handle();
        handle.shutdown(Duration::ZERO).await;
        handle
    });
    let router = super::support::till(&runs, Duration::ZERO).layer(respond(inner));
    let outer = handle();
    let router = router.layer(respond(IdempotencyLayer::unscoped(outer.clone())));
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.refused(), (503, None));
    let id = steadfast_idempotency::RecordId::new("", "7f3a").unwrap();
    assert_eq!(outer.look(&id).await.unwrap(), None, "the key is free");
}
