//! Requests that are copied by a function of the program's.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use steadfast_core::Attempt;
use steadfast_retry::{NotIdempotent, RetryConfig, RetryLayer, replay_by};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::steadily;

/// A request that is not `Clone`, of which so many copies can be had.
struct Request {
    number: u32,
    copies: Arc<AtomicU32>,
}

impl Request {
    fn with_copies(copies: u32) -> Self {
        Self { number: 1, copies: Arc::new(AtomicU32::new(copies)) }
    }

    fn try_clone(&self) -> Option<Self> {
        let one_less = |copies: u32| copies.checked_sub(1);
        self.copies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok()?;
        Some(Self { number: self.number, copies: Arc::clone(&self.copies) })
    }
}

/// Which attempts were sent of a request that always fails with `kind`.
async fn sent(layer: RetryLayer, request: Request, kind: io::ErrorKind) -> Vec<u32> {
    let (sender, sent) = std::sync::mpsc::channel();
    let mark = |request: &mut Request, attempt: Attempt| request.number = attempt.number();
    let replay = replay_by(Request::try_clone, NotIdempotent).with_mark(mark);
    let service = layer.replay(replay).layer(service_fn(move |request: Request| {
        sender.send(request.number).unwrap();
        async move { Err::<(), _>(io::Error::from(kind)) }
    }));
    service.oneshot(request).await.unwrap_err();
    sent.try_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn as_often_as_a_copy_can_be_had_a_request_is_sent_again() {
    let refused = io::ErrorKind::ConnectionRefused;
    for (copies, attempts) in [(0, vec![1]), (1, vec![1]), (2, vec![1, 2]), (9, vec![1, 2, 3])] {
        let request = Request::with_copies(copies);
        assert_eq!(sent(steadily(), request, refused).await, attempts, "{copies} copies");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_executed_is_sent_again_by_the_programs_word_alone() {
    let request = Request::with_copies(9);
    assert_eq!(sent(steadily(), request, io::ErrorKind::BrokenPipe).await, [1]);
    let replay = replay_by(Request::try_clone, |request: &Request| request.number == 1);
    let count = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&count);
    let service = steadily().replay(replay).layer(service_fn(move |_: Request| {
        seen.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)) }
    }));
    service.oneshot(Request::with_copies(9)).await.unwrap_err();
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_one_attempt_copies_nothing() {
    let request = Request::with_copies(9);
    let copies = Arc::clone(&request.copies);
    let single = RetryLayer::new(RetryConfig::new().attempts(1.try_into().unwrap()));
    assert_eq!(sent(single, request, io::ErrorKind::ConnectionRefused).await, [1]);
    assert_eq!(copies.load(Ordering::Relaxed), 9);
}
