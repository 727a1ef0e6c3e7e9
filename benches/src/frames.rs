//! Frames of a body that are waited for: for the limits between them.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use http::Response;
use http_body::{Body, Frame};
use steadfast_timeout::{BodyTimeoutConfig, BodyTimeoutLayer, LimitConfig, TimeLimit, TimedBody};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{
    row::{Family, Group, Row},
    subject::Subject,
};

/// The row that the others of this file are measured against.
const FRAME: &str = "a frame that is waited for";

pub(crate) fn rows() -> Vec<Row> {
    let second = Duration::from_secs(1);
    let fixed = BodyTimeoutConfig::new().between_frames(second);
    let limit = TimeLimit::new(LimitConfig::between_frames(30 * second));
    let learned = BodyTimeoutConfig::new().adaptive(limit.expect(VALID));
    let limited = |name, config: BodyTimeoutConfig| {
        let open = move || timed(config.clone());
        Row::new(Family::Ours, Group::Happy, name, frames(open)).over(FRAME).uncontended()
    };
    vec![
        Row::new(Family::Reference, Group::Baseline, FRAME, frames(Endless::default))
            .over(FRAME)
            .uncontended(),
        limited("the same under a fixed limit between frames", fixed),
        limited("the same under a learned limit between frames", learned),
    ]
}

const VALID: &str = "the configuration is valid";

/// The body of a response under these limits.
fn timed(config: BodyTimeoutConfig) -> TimedBody<Endless> {
    let service = service_fn(|()| async { Ok::<_, BoxError>(Response::new(Endless::default())) });
    let service = BodyTimeoutLayer::new(config).expect(VALID).layer(service);
    let response = service.oneshot(()).now_or_never().expect("it is ready at once");
    response.expect("it does not fail").into_body()
}

/// A body without end, of which each frame is there when it is asked for a second time.
#[derive(Debug, Default)]
struct Endless {
    is_asked: bool,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.is_asked = !self.is_asked;
        if self.is_asked {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"frame")))))
    }
}

/// Reads frames of one body: a call is a frame.
struct Frames<F, B> {
    open: F,
    body: B,
}

fn frames<F, B>(open: F) -> Box<dyn Subject>
where
    F: Fn() -> B + Clone + Send + 'static,
    B: Body + Unpin + Send + 'static,
{
    let body = open();
    Box::new(Frames { open, body })
}

impl<F, B> Subject for Frames<F, B>
where
    F: Fn() -> B + Clone + Send + 'static,
    B: Body + Unpin + Send + 'static,
{
    fn run(&mut self, calls: u64) -> u64 {
        let mut cx = Context::from_waker(Waker::noop());
        let mut succeeded = 0;
        for _ in 0..calls {
            let waits = Pin::new(&mut self.body).poll_frame(&mut cx).is_pending();
            let frame = Pin::new(&mut self.body).poll_frame(&mut cx);
            succeeded += u64::from(waits && matches!(black_box(frame), Poll::Ready(Some(Ok(_)))));
        }
        succeeded
    }

    fn fork(&self) -> Box<dyn Subject> {
        frames(self.open.clone())
    }
}
