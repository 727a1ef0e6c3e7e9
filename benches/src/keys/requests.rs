//! Requests of 1 KiB, and a service that answers them with as much.

use std::{
    future::{Ready, ready},
    hint::black_box,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header};
use tower::{Service, ServiceExt};

use crate::{runtime::block_on, subject::Subject};

/// Without a count of references, which threads would share.
pub(super) const KIBIBYTE: Bytes = Bytes::from_static(&[b'x'; 1024]);

/// Which key a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    None,
    /// One that no other has.
    New,
    /// One that was used, out of a thousand of the thread's own.
    Used,
}

const USED: u64 = 1000;

/// Makes requests, and calls a service with them as a server does: in a task of a runtime, on one
/// thread. What runs in other tasks runs on that thread too, and is in its time.
pub(super) struct Requests<S, B> {
    service: S,
    keys: Keys,
    /// No other subject has it.
    number: u64,
    made: u64,
    body: PhantomData<fn() -> B>,
}

impl<S, B> Requests<S, B> {
    pub(super) fn new(service: S, keys: Keys) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { service, keys, number, made: 0, body: PhantomData }
    }

    fn request(&mut self) -> Request<B>
    where
        B: From<Bytes>,
    {
        let request =
            Request::post("/pay").header(header::HOST, "shop").header("x-account", "alice");
        let request = match self.keys {
            Keys::None => request,
            Keys::New => request.header("idempotency-key", self.key(self.made)),
            Keys::Used => request.header("idempotency-key", self.key(self.made % USED)),
        };
        self.made += 1;
        request.body(KIBIBYTE.into()).expect("a path and headers that are valid")
    }

    /// As long as a UUID.
    fn key(&self, number: u64) -> String {
        format!("{:05x}{number:016x}-0000-0000000000", self.number)
    }
}

impl<S, B, R> Subject for Requests<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    B: From<Bytes> + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        block_on(async {
            let mut succeeded = 0;
            for _ in 0..calls {
                let request = black_box(self.request());
                let response = match self.service.ready().await {
                    Ok(service) => service.call(request).await,
                    Err(error) => Err(error),
                };
                // The service sends no header, and a replay has one that says so.
                let is_replay = self.keys == Keys::Used && self.made > USED;
                let is_ok = |response: Response<R>| {
                    response.status().is_success() && response.headers().is_empty() != is_replay
                };
                succeeded += u64::from(black_box(response).is_ok_and(is_ok));
            }
            succeeded
        })
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self::new(self.service.clone(), self.keys))
    }
}

/// Answers each request with 1 KiB, at once.
#[derive(Debug)]
pub(super) struct Till<R, E>(PhantomData<fn() -> (R, E)>);

impl<R, E> Till<R, E> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R, E> Clone for Till<R, E> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<B, R: From<Bytes>, E> Service<Request<B>> for Till<R, E> {
    type Response = Response<R>;
    type Error = E;
    type Future = Ready<Result<Response<R>, E>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    // As a handler that does something would be.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(request.uri());
        ready(Ok(Response::new(KIBIBYTE.into())))
    }
}
