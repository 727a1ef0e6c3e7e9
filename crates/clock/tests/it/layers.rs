//! Stamps between processes, on clocks that stand still unless a test moves them.

mod cancel;
mod contract;
mod garbage;
#[cfg(feature = "metrics")]
mod metrics;
mod order;
mod store;
mod too_far_ahead;
#[cfg(feature = "tracing")]
mod tracing;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use ::http::{HeaderMap, HeaderValue, Request, Response};
use futures::future::{Ready, ready};
use steadfast_clock::{HLC_HEADER, Hlc, HlcConfig, Received, StampRefused, Timestamp};
use steadfast_core::{ManualWallClock, WallClock};
use tower::{BoxError, Service, service_fn};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Clock = Hlc<Arc<ManualWallClock>>;

/// A clock whose wall clock says `offset` after noon, and believes peers that are up to half a
/// second ahead.
pub(crate) fn clock_at(offset: Duration) -> Clock {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_521_600);
    Hlc::new(Arc::new(ManualWallClock::new(noon + offset)), HlcConfig::new()).unwrap()
}

pub(crate) fn clock() -> Clock {
    clock_at(Duration::ZERO)
}

pub(crate) fn named(name: &str) -> Clock {
    Hlc::new(Arc::clone(clock().clock()), HlcConfig::new().named(name)).unwrap()
}

/// A stamp so far ahead of the clock's wall clock.
pub(crate) fn ahead_of(clock: &Clock, by: Duration) -> Timestamp {
    steadfast_clock::Physical::from(clock.clock().now() + by).into()
}

/// A request with these values of the header.
pub(crate) fn request(values: &[&str]) -> Request<()> {
    let mut request = Request::new(());
    for value in values {
        request
            .headers_mut()
            .append(HLC_HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request
}

pub(crate) fn stamped(stamp: Timestamp) -> Request<()> {
    request(&[&stamp.compact().to_string()])
}

/// The one stamp that stands in the header.
pub(crate) fn stamp_in(headers: &HeaderMap) -> Timestamp {
    let values: Vec<_> = headers.get_all(HLC_HEADER).iter().collect();
    assert_eq!(values.len(), 1, "{values:?}");
    values[0].to_str().unwrap().parse().unwrap()
}

/// What the layer left for the program.
pub(crate) fn received<B>(response: &Response<B>) -> Received {
    *response.extensions().get().unwrap()
}

pub(crate) fn refusal(error: BoxError) -> StampRefused {
    *error.downcast().unwrap()
}

/// The stamp in a request's header, and what a server's layer left in its extensions.
type Seen = (Option<HeaderValue>, Option<Received>);

/// A service that notes what its requests carried, and answers with what it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    answer: Option<HeaderValue>,
}

impl Peer {
    /// Its responses carry `value`.
    pub(crate) fn answers(value: impl AsRef<[u8]>) -> Self {
        Self { answer: Some(HeaderValue::from_bytes(value.as_ref()).unwrap()), ..Self::default() }
    }

    pub(crate) fn answers_stamp(stamp: Timestamp) -> Self {
        Self::answers(stamp.compact().to_string())
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// What a server's layer left in the last request's extensions.
    pub(crate) fn last(&self) -> Received {
        self.seen.lock().unwrap().last().unwrap().1.unwrap()
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<Request<()>, Response = Response<()>, Error = BoxError, Future: Send> + Clone + use<>
    {
        let peer = self.clone();
        service_fn(move |request: Request<()>| peer.answer(&request))
    }

    fn answer(&self, request: &Request<()>) -> Ready<Result<Response<()>, BoxError>> {
        let header = request.headers().get(HLC_HEADER).cloned();
        self.seen.lock().unwrap().push((header, request.extensions().get().copied()));
        let mut response = Response::new(());
        response.headers_mut().extend(self.answer.clone().map(|value| (HLC_HEADER, value)));
        ready(Ok(response))
    }
}

#[test]
fn everything_public_can_be_shared_between_threads() {
    use steadfast_clock::{
        HlcFuture, HlcLayer, HlcService, PropagateHlc, PropagateHlcFuture, PropagateHlcLayer,
    };
    fn shared<T: Send + Sync + 'static>() {}
    shared::<(HlcLayer, HlcService<()>, HlcFuture<()>)>();
    shared::<(PropagateHlcLayer, PropagateHlc<()>, PropagateHlcFuture<()>)>();
    shared::<(Received, StampRefused)>();
}
