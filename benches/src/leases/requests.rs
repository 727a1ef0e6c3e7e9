//! Requests for a thousand resources, under a token or not.

use std::{
    hint::black_box,
    sync::LazyLock,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, Uri, header};
use steadfast_core::http::FENCING_TOKEN;
use steadfast_lease::FencingToken;
use tower::{BoxError, Service, service_fn};

pub(crate) const RESOURCES: usize = 1000;

static PATHS: LazyLock<Vec<Uri>> = LazyLock::new(|| {
    let path = |number| format!("/accounts/{number:04}-eur").parse();
    (0..RESOURCES).map(|number| path(number).expect("a path that is valid")).collect()
});

pub(crate) fn path(resource: usize) -> &'static str {
    PATHS[resource].path()
}

/// Neighbours in number are none in memory.
pub(crate) const fn resource(number: u64) -> usize {
    // Below a thousand.
    (number.wrapping_mul(7919) % RESOURCES as u64) as usize
}

const TOKEN: &str = "1790000000000000";

pub(crate) fn token() -> FencingToken {
    FencingToken::try_from(1_790_000_000_000_000_u64).expect("it has 51 bits")
}

/// Calls a service with a request for the resource that a number chooses.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<S, const HAS_TOKEN: bool>(pub(crate) S);

impl<S, const HAS_TOKEN: bool> Service<u64> for Numbered<S, HAS_TOKEN>
where
    S: Service<Request<()>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, number: u64) -> S::Future {
        let request = black_box(request(resource(number), HAS_TOKEN));
        self.0.call(request)
    }
}

#[inline(never)]
fn request(resource: usize, has_token: bool) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = PATHS[resource].clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("bank"));
    if has_token {
        headers.insert(FENCING_TOKEN, HeaderValue::from_static(TOKEN));
    }
    request
}

/// Looks at each request and answers at once: an asynchronous function, as a handler is. Of a type
/// of its own for each `USE`.
pub(crate) fn handler<const USE: usize>()
-> impl Service<Request<()>, Response = Response<()>, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    service_fn(|request: Request<()>| async move {
        black_box(request.uri());
        Ok::<_, BoxError>(Response::new(()))
    })
}
