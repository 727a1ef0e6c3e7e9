//! HTTP answers with a body, read to its end: for the breaker that judges until then.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use tower::{BoxError, Layer, Service, service_fn};

use crate::{
    ours::{breaker, count, time},
    row::{Family, Group, Row},
    subject::Subject,
};

/// The row that the others of this file are measured against.
const ANSWER: &str = "an answer with a body, read to its end";

/// A breaker over such answers, that judges them at their heads.
pub const AT_HEAD: &str = "breaker over answers, at the head";

/// The same until their ends.
pub const AT_END: &str = "breaker over answers, until their end";

pub(crate) fn rows() -> Vec<Row> {
    let ours = |name, subject| Row::new(Family::Ours, Group::Happy, name, subject).over(ANSWER);
    let coarse = || breaker(time(steadfast_core::TimeSource::Coarse)).http();
    let inner = Box::new(Reads(answers::<0>()));
    vec![
        Row::new(Family::Reference, Group::Baseline, ANSWER, inner).over(ANSWER),
        ours(AT_HEAD, Box::new(Reads(breaker(count()).http().layer(answers::<1>())))),
        ours(AT_END, Box::new(Reads(breaker(count()).http().until_end().layer(answers::<2>())))),
        ours(
            "the same at the head, time window, coarse clock",
            Box::new(Reads(coarse().layer(answers::<3>()))),
        ),
        ours(
            "the same until their end, time window, coarse clock",
            Box::new(Reads(coarse().until_end().layer(answers::<4>()))),
        ),
    ]
}

/// A body of one frame, whose end is known with it.
#[derive(Debug, Default)]
struct OneFrame {
    is_read: bool,
}

impl Body for OneFrame {
    type Data = Bytes;
    type Error = Infallible;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.is_read, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"answer")))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_read
    }
}

/// Of a type of its own for each `USE`, as in [`bare_for`](crate::service).
fn answers<const USE: usize>()
-> impl Service<u64, Response = Response<OneFrame>, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    service_fn(|request: u64| async move {
        black_box(request);
        Ok::<_, BoxError>(Response::new(OneFrame::default()))
    })
}

/// Calls a service and reads each answer to its end, as hyper's server does.
#[derive(Clone, Debug)]
struct Reads<S>(S);

impl<S, B> Subject for Reads<S>
where
    S: Service<u64, Response = Response<B>> + Clone + Send + 'static,
    B: Body + Unpin,
{
    fn run(&mut self, calls: u64) -> u64 {
        let mut cx = Context::from_waker(Waker::noop());
        let mut succeeded = 0;
        for request in 0..calls {
            assert!(
                matches!(self.0.poll_ready(&mut cx), Poll::Ready(Ok(()))),
                "a subject is always ready"
            );
            let future = pin!(self.0.call(black_box(request)));
            let Poll::Ready(Ok(mut response)) = future.poll(&mut cx) else { continue };
            while !response.body().is_end_stream() {
                black_box(Pin::new(response.body_mut()).poll_frame(&mut cx).is_ready());
            }
            succeeded += u64::from(black_box(response).status().is_success());
        }
        succeeded
    }

    fn fork(&self) -> Box<dyn Subject> {
        Box::new(Self(self.0.clone()))
    }
}
