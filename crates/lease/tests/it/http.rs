//! The layers over HTTP.

use std::{
    borrow::Cow,
    convert::Infallible,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, body::Body, routing::post};
use futures::{FutureExt, poll};
use http::{Request, Response, StatusCode};
use steadfast_core::{Grounds, http::respond};
use steadfast_lease::{
    FenceConfig, Fenced, FencedReason, Fences, FencingToken, OlderCalls, Pass,
    http::{FenceLayer, FencedClientLayer, Held, NotHeld},
};
use steadfast_testkit::{Probe, contract};
use tokio::{sync::Semaphore, task::yield_now, time::sleep};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

pub(crate) fn token(number: u64) -> FencingToken {
    FencingToken::try_from(number).unwrap()
}

pub(crate) fn fences(config: FenceConfig) -> Fences {
    Fences::new(config, NonZeroUsize::new(3).unwrap()).unwrap()
}

pub(crate) fn by_path<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    Some(request.uri().path().into())
}

/// The probe as a service over HTTP: its numbers are bodies.
fn over_http(
    probe: Probe,
) -> impl Service<Request<u32>, Response = Response<u32>, Error = BoxError> + Clone {
    probe.map_request(Request::<u32>::into_body).map_response(Response::new)
}

fn under(number: u32) -> Request<u32> {
    Request::post("/accounts/7").header("fencing-token", "34").body(number).unwrap()
}

#[test]
fn the_resources_layer_keeps_the_contract_of_all_layers() {
    for older in [OlderCalls::Wait, OlderCalls::Cancel] {
        contract::suite(|probe| {
            let fences = fences(FenceConfig::new().older(older));
            let service = FenceLayer::new(fences, by_path).layer(over_http(probe));
            service.map_request(under).map_response(Response::into_body)
        });
    }
}

#[test]
fn the_clients_layer_keeps_the_contract_of_all_layers() {
    contract::suite(|probe| {
        let lease = || Some(Held { token: token(34), remaining: MS });
        let service = FencedClientLayer::new(lease, MS).numbered().layer(over_http(probe));
        service.map_request(Request::new).map_response(Response::into_body)
    });
}

/// A router whose accounts are fenced, and how often it wrote.
fn router(fences: Fences) -> (Router, Arc<AtomicU64>) {
    let writes = Arc::new(AtomicU64::new(0));
    let written = Arc::clone(&writes);
    let write = async move |pass: Option<Extension<Pass>>| {
        written.fetch_add(1, Ordering::SeqCst);
        pass.map_or_else(|| "unfenced".to_owned(), |Extension(pass)| pass.token().to_string())
    };
    let layer = FenceLayer::new(fences, |request: &Request<Body>| {
        by_path(request).filter(|path| path != "/health")
    })
    .hand_passes();
    let router = Router::new().route("/{*any}", post(write)).layer(respond(layer));
    (router, writes)
}

async fn send(router: &Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let request = headers
        .iter()
        .fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn mounted_on_axum_it_answers_with_statuses_and_problems_and_executes_nothing() {
    let (router, writes) = router(fences(FenceConfig::new()));
    let written = send(&router, "/a", &[("fencing-token", "\"34\"")]).await;
    assert_eq!((written.status(), text(written).await.as_str()), (StatusCode::OK, "34"));
    let long = format!("/{}", "x".repeat(255));
    for (path, headers, status) in [
        ("/a", &[("fencing-token", "33")][..], 412),
        ("/a", &[], 428),
        ("/a", &[("fencing-token", "thirty")], 400),
        ("/a", &[("fencing-token", "34"), ("fencing-token", "35")], 400),
        ("/a", &[("fencing-token", "34"), ("fencing-sequence", "-1")], 400),
        ("/a", &[("fencing-token", "9223372036854775807")], 422),
        ("/a", &[("fencing-token", "18446744073709551615")], 400),
        (&long, &[("fencing-token", "34")], 422),
    ] {
        let refused = send(&router, path, headers).await;
        assert_eq!(refused.status(), status, "{path} {headers:?}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        assert!(!refused.headers().contains_key("retry-after"), "final");
        assert!(refused.extensions().get::<Grounds>().is_some());
        if status == 412 {
            let problem = text(refused).await;
            assert!(problem.contains("token 33 is stale, the highest is 34"), "{problem}");
        }
    }
    assert_eq!(writes.load(Ordering::SeqCst), 1);
    let free = send(&router, "/health", &[]).await;
    assert_eq!(text(free).await, "unfenced");
}

#[tokio::test]
async fn numbers_are_taken_in_their_order_only() {
    let (router, _) = router(fences(FenceConfig::new()));
    for (number, status) in [("2", 200), ("1", 412), ("2", 412), ("3", 200)] {
        let headers = [("fencing-token", "34"), ("fencing-sequence", number)];
        assert_eq!(send(&router, "/a", &headers).await.status(), status, "{number}");
    }
}

#[tokio::test]
async fn full_refuses_new_resources_and_forgets_none() {
    let fences = fences(FenceConfig::new());
    let (router, writes) = router(fences.clone());
    let send = async |path, token| send(&router, path, &[("fencing-token", token)]).await.status();
    assert_eq!(send("/bad", "9223372036854775807").await, 422);
    assert_eq!(fences.snapshot().resources, 0, "what is refused takes no place");
    for path in ["/a", "/b", "/c"] {
        assert_eq!(send(path, "34").await, 200);
    }
    for path in ["/d", "/e"] {
        assert_eq!(send(path, "34").await, 503);
    }
    for path in ["/a", "/b", "/c"] {
        assert_eq!(
            (send(path, "33").await, send(path, "34").await),
            (412.try_into().unwrap(), StatusCode::OK)
        );
    }
    assert_eq!((fences.snapshot().resources, writes.load(Ordering::SeqCst)), (3, 6));
    assert_eq!((fences.highest("/a"), fences.highest("/d")), (Some(token(34)), None));
}

/// A service that takes as long as it is made to, and which tokens it has worked for.
#[derive(Clone)]
struct Slow {
    may_end: Arc<Semaphore>,
    began: Arc<std::sync::Mutex<Vec<u64>>>,
}

impl Slow {
    fn new() -> Self {
        Self { may_end: Arc::new(Semaphore::new(0)), began: Arc::default() }
    }

    fn service(
        &self,
        fences: &Fences,
    ) -> impl Service<Request<()>, Response = Response<u64>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + 'static {
        let slow = self.clone();
        let service = service_fn(move |request: Request<()>| {
            let slow = slow.clone();
            async move {
                let token = request.extensions().get::<Pass>().unwrap().token().get();
                slow.began.lock().unwrap().push(token);
                slow.may_end.acquire().await?.forget();
                Ok(Response::new(token))
            }
        });
        FenceLayer::new(fences.clone(), by_path).hand_passes().layer(service)
    }

    fn began(&self) -> Vec<u64> {
        self.began.lock().unwrap().clone()
    }
}

fn write(token: u64) -> Request<()> {
    Request::post("/a").header("fencing-token", token).body(()).unwrap()
}

fn fenced(outcome: Result<Response<u64>, BoxError>) -> Fenced {
    *outcome.unwrap_err().downcast().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_newer_request_waits_for_older_ones_and_is_then_called() {
    let (slow, fences) = (Slow::new(), fences(FenceConfig::new()));
    let service = slow.service(&fences);
    let old = tokio::spawn(service.clone().oneshot(write(1)));
    yield_now().await;
    let new = tokio::spawn(service.clone().oneshot(write(2)));
    yield_now().await;
    assert_eq!(fenced(service.clone().oneshot(write(1)).await), Fenced::stale(token(1), token(2)));
    sleep(4_000 * MS).await;
    assert_eq!(slow.began(), [1]);
    slow.may_end.add_permits(2);
    assert_eq!(old.await.unwrap().unwrap().into_body(), 1);
    assert_eq!(new.await.unwrap().unwrap().into_body(), 2);
    assert_eq!(slow.began(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_request_that_waits_in_vain_is_told_when_to_come_back() {
    let (slow, fences) = (Slow::new(), fences(FenceConfig::new()));
    let service = slow.service(&fences);
    let mut old = Box::pin(service.clone().oneshot(write(1)));
    assert!(poll!(&mut old).is_pending());
    assert_eq!(fenced(service.oneshot(write(2)).await), Fenced::busy(1_000 * MS));
    assert_eq!(slow.began(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_request_cancels_older_ones_also_where_their_futures_are_kept() {
    let (slow, fences) = (Slow::new(), fences(FenceConfig::new().older(OlderCalls::Cancel)));
    let service = slow.service(&fences);
    let mut old = Box::pin(service.clone().oneshot(write(1)));
    assert!(poll!(&mut old).is_pending());
    let new = tokio::spawn(service.oneshot(write(2)));
    yield_now().await;
    let overtaken = fenced((&mut old).await);
    assert_eq!(overtaken, Fenced::overtaken(token(1), token(2)));
    slow.may_end.add_permits(1);
    assert_eq!(new.await.unwrap().unwrap().into_body(), 2);
    drop(old);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_client_has_gone_is_waited_for_where_a_task_keeps_its_pass() {
    let fences = fences(FenceConfig::new());
    let may_end = Arc::new(Semaphore::new(0));
    let ends = Arc::clone(&may_end);
    let service = service_fn(move |request: Request<()>| {
        let (ends, pass) = (Arc::clone(&ends), request.extensions().get::<Pass>().unwrap().clone());
        async move {
            let statement = tokio::spawn(async move {
                ends.acquire().await.unwrap().forget();
                drop(pass);
            });
            statement.await?;
            Ok::<_, BoxError>(Response::new(0_u64))
        }
    });
    let service = FenceLayer::new(fences.clone(), by_path).hand_passes().layer(service);
    let mut old = Box::pin(service.clone().oneshot(write(1)));
    assert!(poll!(&mut old).is_pending());
    drop(old);
    let mut new = Box::pin(service.oneshot(write(2)));
    assert!(poll!(&mut new).is_pending());
    assert_eq!(fences.fence("/a").unwrap().snapshot().older, 1);
    may_end.add_permits(2);
    assert!(new.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_at_any_point_gives_its_place_back() {
    let (slow, fences) = (Slow::new(), fences(FenceConfig::new()));
    let service = slow.service(&fences);
    let counts = || {
        let snapshot = fences.fence("/a").unwrap().snapshot();
        (snapshot.running, snapshot.older)
    };
    let mut ready = service.clone();
    drop(ready.ready().await.unwrap().call(write(1)));
    assert_eq!(counts(), (0, 0));
    let mut old = Box::pin(service.clone().oneshot(write(1)));
    assert!(poll!(&mut old).is_pending());
    let mut new = Box::pin(service.clone().oneshot(write(2)));
    assert!(poll!(&mut new).is_pending());
    // The older request's handler keeps its extensions.
    assert_eq!(counts(), (1, 2));
    drop(new);
    assert_eq!(counts(), (0, 2));
    drop(old);
    assert_eq!(counts(), (0, 0));
}

#[tokio::test]
async fn a_client_attaches_the_token_in_place_of_any_other_and_numbers_its_requests() {
    let lease = || Some(Held { token: token(34), remaining: MS });
    let server = service_fn(async |request: Request<()>| Ok::<_, BoxError>(request.into_parts().0));
    let send = async |layer: &FencedClientLayer<_>| {
        let headers = layer.layer(server).oneshot(write(7)).await.unwrap().headers;
        ["fencing-token", "fencing-sequence"].map(|name| {
            let lines = headers.get_all(name).iter();
            lines.map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        })
    };
    let plain = FencedClientLayer::new(lease, MS);
    assert_eq!(send(&plain).await, [vec!["34"], vec![]]);
    let numbered = plain.numbered();
    for number in ["0", "1", "2"] {
        assert_eq!(send(&numbered.clone()).await, [vec!["34"], vec![number]]);
    }
}

#[tokio::test]
async fn a_request_that_the_lease_does_not_last_for_is_not_sent() {
    for (held, needed, is_sent) in
        [(Some(10), 10, true), (Some(9), 10, false), (Some(0), 0, false), (None, 0, false)]
    {
        let lease =
            move || held.map(|remaining| Held { token: token(34), remaining: remaining * MS });
        let server = service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(0_u64)));
        let service = FencedClientLayer::new(lease, needed * MS).layer(server);
        match service.oneshot(Request::new(())).await {
            Ok(_) => assert!(is_sent, "{held:?} {needed}"),
            Err(refused) => {
                let refused = refused.downcast_ref::<NotHeld>().unwrap();
                assert!(!is_sent);
                assert_eq!(refused, &NotHeld::new(held.unwrap_or(0) * MS, needed * MS));
            }
        }
    }
}

#[tokio::test]
async fn a_zombie_that_sends_through_both_layers_is_refused() {
    let fences = fences(FenceConfig::new());
    let server = service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(())));
    let server = FenceLayer::new(fences, by_path).layer(server);
    let holder = |number| {
        let lease = move || Some(Held { token: token(number), remaining: 10 * MS });
        FencedClientLayer::new(lease, MS).layer(server.clone())
    };
    let (old, new) = (holder(33), holder(34));
    assert!(old.clone().oneshot(Request::new(())).await.is_ok());
    assert!(new.oneshot(Request::new(())).await.is_ok());
    let zombie = old.oneshot(Request::new(())).now_or_never().unwrap().unwrap_err();
    let reason = zombie.downcast_ref::<Fenced>().unwrap().reason;
    assert_eq!(reason, FencedReason::Stale { presented: token(33), highest: token(34) });
}

/// The layer fits in front of a router that cannot fail.
#[tokio::test]
async fn the_error_type_of_a_service_that_cannot_fail_stays() {
    let service =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let layer = FenceLayer::new(fences(FenceConfig::new()), by_path);
    let response = respond(layer).layer(service).oneshot(Request::new(Body::empty())).await;
    let Ok(response) = response;
    assert_eq!(response.status(), StatusCode::PRECONDITION_REQUIRED);
}

/// Ready once for each time that it was asked, and not when it is cloned.
struct Instance {
    is_ready: bool,
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        Self { is_ready: false }
    }
}

impl Service<Request<()>> for Instance {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<()>, BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        self.is_ready = true;
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "this instance was not made ready");
        std::future::ready(Ok(Response::new(())))
    }
}

#[tokio::test]
async fn a_request_that_waits_is_called_on_the_instance_that_was_made_ready_for_it() {
    let fences = fences(FenceConfig::new());
    let older = fences.enter("/a", token(33)).await.unwrap();
    let mut service = FenceLayer::new(fences, by_path).layer(Instance { is_ready: false });
    let write = |number: u64| {
        Request::post("/a").header("fencing-token", number.to_string()).body(()).unwrap()
    };
    let mut waits = service.ready().await.unwrap().call(write(34)).boxed();
    assert!(poll!(&mut waits).is_pending());
    drop(older);
    assert!(waits.await.is_ok());
    // The clone that was left is made ready anew.
    assert!(service.ready().await.unwrap().call(write(34)).await.is_ok());
}

#[tokio::test]
async fn a_number_that_a_request_has_already_is_replaced() {
    let server = service_fn(async |request: Request<()>| {
        let numbers = request.headers().get_all("fencing-sequence").iter();
        let numbers = numbers.map(|number| number.to_str().unwrap().to_owned());
        Ok::<_, BoxError>(Response::new(numbers.collect::<Vec<_>>()))
    });
    let lease = || Some(Held { token: token(34), remaining: MS });
    let client = FencedClientLayer::new(lease, MS).numbered().layer(server);
    let request = || Request::post("/a").header("fencing-sequence", "99").body(()).unwrap();
    let first = client.clone().oneshot(request()).await.unwrap();
    let second = client.oneshot(request()).await.unwrap();
    assert_eq!((first.into_body(), second.into_body()), (vec!["0".into()], vec!["1".into()]));
}

#[tokio::test]
async fn a_lease_that_was_released_is_nothing_to_attach() {
    use steadfast_lease::{
        LeaseClient, LeaseClientConfig, LeaseName, MemoryConfig, MemoryStore, http::Holding,
    };
    let store = MemoryStore::new(MemoryConfig::new()).unwrap();
    let client = LeaseClient::new(LeaseClientConfig::new(), store).unwrap();
    let lease = client.try_acquire(LeaseName::new("a").unwrap()).await.unwrap();
    assert_eq!(Holding::held(&lease).unwrap().token, lease.token());
    lease.release().await.unwrap();
    assert_eq!(Holding::held(&lease), None);
}
