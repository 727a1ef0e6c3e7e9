//! The load: an open loop, as real callers are. They come at their rate, whether the gateway is
//! quick or not.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rand::{Rng, RngExt};
use steadfast::Splitter;
use tokio::{
    task::JoinSet,
    time::{Instant, interval_at, timeout_at},
};

use crate::Failure;

/// Requests a second: light work for one core, and some 130/s for each upstream.
pub(crate) const RATE: u32 = 400;
/// How long a caller waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
const SEED: u64 = 2;
const SHARE_OF_ORDERS: f64 = 0.2;

type Body = Full<bytes::Bytes>;
type Caller = Client<HttpConnector, Body>;

/// What became of one request.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// From the moment the request was due to its answer, or to when the caller gave up.
    pub(crate) latency: Duration,
    /// Answered as it should be.
    pub(crate) ok: bool,
}

/// What became of all requests so far.
#[derive(Clone, Default)]
pub(crate) struct Samples(Arc<Mutex<Vec<Sample>>>);

impl Samples {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caller wants.
#[derive(Clone, Copy)]
enum Want {
    Item(u64),
    Order(u64),
}

/// Sends requests to `gateway` from `start` for `length`, the same ones every time, and waits for
/// the last of them.
pub(crate) async fn generate(
    gateway: SocketAddr,
    start: Instant,
    length: Duration,
    samples: Samples,
) {
    let caller: Caller = Client::builder(TokioExecutor::new()).build_http();
    let mut chance = Splitter::seeded(SEED).split();
    let mut due = interval_at(start, Duration::from_secs(1) / RATE);
    let mut under_way = JoinSet::new();
    for number in 0..RATE * u32::try_from(length.as_secs()).expect("seconds of a test") {
        // A tick that was missed is made up for at once, and says when it was due.
        let due = due.tick().await;
        let (caller, samples, want) = (caller.clone(), samples.clone(), draw(&mut chance, number));
        under_way.spawn(async move {
            let answer = timeout_at(due + PATIENCE, ask(&caller, gateway, want)).await;
            let ok = matches!(answer, Ok(Ok(true)));
            samples.lock().push(Sample { latency: Instant::now() - due, ok });
        });
        while under_way.try_join_next().is_some() {}
    }
    under_way.join_all().await;
}

/// Orders are numbered, so that one which is executed twice is found.
fn draw(chance: &mut impl Rng, number: u32) -> Want {
    match chance.random_bool(SHARE_OF_ORDERS) {
        true => Want::Order(number.into()),
        false => Want::Item(chance.random_range(0..1000)),
    }
}

/// Whether the answer is the right one.
async fn ask(caller: &Caller, gateway: SocketAddr, want: Want) -> Result<bool, Failure> {
    let (request, right) = match want {
        Want::Item(id) => (
            Request::get(format!("http://{gateway}/items/{id}")).body(Body::default()),
            format!("item {id}\n"),
        ),
        Want::Order(id) => (
            Request::post(format!("http://{gateway}/orders")).body(id.to_string().into()),
            format!("order {id}\n"),
        ),
    };
    let answer = caller.request(request?).await?;
    let is_success = answer.status().is_success();
    Ok(is_success && answer.into_body().collect().await?.to_bytes() == right)
}
