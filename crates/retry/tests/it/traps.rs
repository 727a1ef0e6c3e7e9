//! Bugs that others shipped. Each test is named after what must not happen again.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{Ready, join_all, ready};
use rand::{RngExt, rngs::SmallRng};
use steadfast_core::{Backoff, Executed, Jitter, Verdict, parts::Splitter};
use steadfast_retry::{RetryConfig, RetryLayer};
use tokio::time::{Instant, advance};
use tower::{
    Layer, Service, ServiceExt, buffer::BufferLayer, limit::ConcurrencyLimitLayer, service_fn,
};

use crate::support::{REFUSED, Script, ample, attempts, exactly, steadily, steady};

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

/// How long each of `number` concurrent calls waits between its first two attempts, in
/// milliseconds.
async fn waits(number: u32, backoff: Backoff, retry_after: Option<Duration>) -> Vec<u128> {
    let classify = move |_: Result<&u32, &io::Error>| Verdict::Throttled {
        executed: Executed::No,
        pushback: retry_after.into(),
    };
    let layer = RetryLayer::new(RetryConfig::new().attempts(attempts(2)).backoff(backoff))
        .budget(ample())
        .classify(classify);
    let starts = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&starts);
    let service = layer.layer(service_fn(move |call: u32| {
        log.lock().unwrap().push((call, Instant::now()));
        ready(Err::<u32, _>(refused()))
    }));
    join_all((0..number).map(|call| service.clone().oneshot(call))).await;
    let starts = starts.lock().unwrap();
    let of = |call| starts.iter().filter(move |&&(caller, _)| caller == call).map(|&(_, at)| at);
    (0..number)
        .map(|call| (of(call).next_back().unwrap() - of(call).next().unwrap()).as_millis())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_never_share_their_jitter() {
    let backoff = Backoff::exponential(Duration::from_secs(100), Duration::from_secs(200)).unwrap();
    let waits: HashSet<u128> = waits(50, backoff, None).await.into_iter().collect();
    // Fifty draws out of 100,000 ms: two of them may meet.
    assert!(waits.len() >= 47, "only {} distinct waits", waits.len());
}

#[tokio::test(start_paused = true)]
async fn capped_clients_do_not_fall_into_step() {
    for jitter in [Jitter::Full, Jitter::Equal] {
        let cap = Duration::from_secs(100);
        let backoff = Backoff::exponential(cap, cap).unwrap().with_jitter(jitter);
        let waits = waits(50, backoff, None).await;
        let distinct: HashSet<_> = waits.iter().collect();
        assert!(distinct.len() >= 45, "{jitter:?}: {waits:?}");
        // A timer's grain of a millisecond is all it may be late.
        assert!(waits.iter().all(|&wait| wait <= cap.as_millis() + 1), "{jitter:?}: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_herd_that_is_told_the_same_moment_does_not_come_back_in_it() {
    let default = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2)).unwrap();
    for backoff in [default, Backoff::constant(Duration::from_millis(50)).unwrap(), Backoff::NONE] {
        let waits = waits(100, backoff, Some(Duration::from_secs(2))).await;
        let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            *first >= 2000 && *last <= 3001 && last - first > 800,
            "{backoff:?}: {first} to {last} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn successes_do_not_refund_the_budget() {
    // Every first attempt fails and every second one succeeds: with one unit back for each success,
    // nothing is ever bounded.
    let sent = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let service = service_fn(move |request: u32| {
        count.fetch_add(1, Ordering::Relaxed);
        ready(if seen.lock().unwrap().insert(request) { Err(refused()) } else { Ok(request) })
    });
    let layer = RetryLayer::new(RetryConfig::new().backoff(Backoff::NONE)).budget(exactly(20, 0));
    let mut service = layer.layer(service);
    for request in 0..1000 {
        let _ = service.ready().await.unwrap().call(request).await;
    }
    assert_eq!(sent.load(Ordering::Relaxed), 1200);
}

#[tokio::test(start_paused = true)]
async fn retries_waiting_in_their_backoff_are_charged_already() {
    let script = Script::new([REFUSED]);
    // A floor of 1/s over 10 s, and a crowd that waits in step.
    let layer = RetryLayer::new(steady().attempts(attempts(2))).budget(exactly(0, 1));
    let service = layer.layer(script.clone());
    let outcomes = join_all((0..1000).map(|request| service.clone().oneshot(request))).await;
    assert!(outcomes.iter().all(Result::is_err));
    assert_eq!(script.calls(), 1000 + 10);
}

#[tokio::test(start_paused = true)]
async fn the_schedule_follows_the_monotonic_clock_alone() {
    let mut call =
        tokio_test::task::spawn(steadily().layer(Script::new([REFUSED, Ok(7)])).oneshot(1));
    assert!(call.poll().is_pending());
    advance(Duration::from_millis(999)).await;
    assert!(call.poll().is_pending());
    advance(Duration::from_millis(2)).await;
    assert!(call.is_woken());
    assert!(call.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn every_attempt_waits_for_readiness_over_a_buffer_and_a_concurrency_limit() {
    // Either panics when it is called without having been ready.
    let script = Script::new([REFUSED, REFUSED, Ok(7), REFUSED, Ok(8)]);
    let stack = tower::ServiceBuilder::new()
        .layer(steadily().classify(steadfast_core::EveryError).idempotent())
        .layer(BufferLayer::new(1))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(script.clone());
    let answers = join_all((0..2).map(|request| stack.clone().oneshot(request))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(script.calls(), 5);
}

/// Counts the calls to handles that were not made ready.
#[derive(Default)]
struct Strict {
    is_ready: bool,
    unready_calls: Arc<AtomicU32>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { is_ready: false, unready_calls: Arc::clone(&self.unready_calls) }
    }
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = io::Error;
    type Future = Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        if !std::mem::take(&mut self.is_ready) {
            self.unready_calls.fetch_add(1, Ordering::Relaxed);
        }
        ready(Err(refused()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_handle_that_was_made_ready_is_the_one_that_is_called() {
    let strict = Strict::default();
    let mut service =
        RetryLayer::new(steady().attempts(attempts(5))).budget(ample()).layer(strict.clone());
    for request in 0..3 {
        service.ready().await.unwrap().call(request).await.unwrap_err();
    }
    assert_eq!(strict.unready_calls.load(Ordering::Relaxed), 0);
}

/// N clients contend for one row that is written by compare-and-swap (Brooker, AWS, 2015): each
/// reads it, writes it if no other client wrote in between, and else backs off and begins again;
/// every hop takes 6 to 14 ms. Returns how many writes were tried.
fn contend(clients: u32, backoff: Backoff) -> u32 {
    struct Client {
        next_at_ms: u64,
        read: Option<u32>,
        tries: u32,
        previous: Duration,
        rng: SmallRng,
    }
    let splitter = Splitter::seeded(7);
    let client = |_| Client {
        next_at_ms: 0,
        read: None,
        tries: 0,
        previous: Duration::ZERO,
        rng: splitter.split(),
    };
    let mut clients: Vec<_> = (0..clients).map(client).collect();
    let (mut version, mut writes) = (0, 0);
    while let Some(next) = (0..clients.len()).min_by_key(|&client| clients[client].next_at_ms) {
        let client = &mut clients[next];
        let round_trip = client.rng.random_range(6..=14) + client.rng.random_range(6..=14);
        match client.read.take() {
            None => {
                (client.read, client.next_at_ms) = (Some(version), client.next_at_ms + round_trip);
            }
            Some(read) => {
                writes += 1;
                if read == version {
                    version += 1;
                    clients.swap_remove(next);
                    continue;
                }
                client.previous = backoff.delay(client.tries, client.previous, &mut client.rng);
                client.tries += 1;
                client.next_at_ms +=
                    round_trip + u64::try_from(client.previous.as_millis()).unwrap();
            }
        }
    }
    writes
}

#[test]
fn full_jitter_makes_fewer_calls_than_no_jitter_under_contention() {
    let backoff = Backoff::exponential(Duration::from_millis(5), Duration::from_secs(2)).unwrap();
    let calls = |jitter| contend(100, backoff.with_jitter(jitter));
    let (full, equal, none) = (calls(Jitter::Full), calls(Jitter::Equal), calls(Jitter::None));
    assert!(full < none && equal < none, "full {full}, equal {equal}, none {none}");
}

#[tokio::test(start_paused = true)]
async fn state_is_not_minted_by_applying_the_layer() {
    // As axum does: the layer is applied for each route, and again for each connection. Its own
    // budget is 10/s over 10 s and a fifth of the requests.
    let layer = RetryLayer::new(RetryConfig::new().attempts(attempts(2)).backoff(Backoff::NONE));
    let script = Script::new([REFUSED]);
    for request in 0..1000 {
        layer.layer(script.clone()).oneshot(request).await.unwrap_err();
    }
    assert_eq!(script.calls(), 1000 + 100 + 200);
}
