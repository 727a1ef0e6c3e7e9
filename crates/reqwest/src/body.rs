//! Request bodies on their way from the layers to reqwest.

use std::{
    any::Any,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;

/// Bodies up to this length are read before they are sent, if they are there at once: as much as a
/// retry keeps of a body.
const MOST: u64 = 64 * 1024;

/// A body of any layer's as reqwest takes it.
///
/// reqwest repeats only a body that it has as a whole: it follows no 307 or 308 with a stream. So
/// a body that comes in one piece is given to it as such, as the caller gave it.
pub(crate) fn into_reqwest<B>(body: B) -> reqwest::Body
where
    B: Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    let body = match untouched(body) {
        Ok(body) => return body,
        Err(body) => body,
    };
    if body.is_end_stream() {
        return reqwest::Body::default();
    }
    let length = body.size_hint().exact();
    let mut body = Box::pin(body);
    if length.is_none_or(|length| length > MOST) {
        return reqwest::Body::wrap(body);
    }
    // The task that sends the body polls it again, and is the one that waits for it.
    match body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => reqwest::Body::wrap(body),
        Poll::Ready(None) => reqwest::Body::default(),
        Poll::Ready(Some(first)) => {
            let first = first.map(|frame| frame.map_data(Into::into)).map_err(Into::into);
            match first.as_ref().ok().and_then(Frame::data_ref) {
                Some(all) if body.is_end_stream() && length == Some(all.len() as u64) => {
                    all.clone().into()
                }
                _ => reqwest::Body::wrap(Begun { first: Some(first), rest: body }),
            }
        }
    }
}

/// A response's body as reqwest takes it: what a layer made of it, or as it came.
pub(crate) fn back_into_reqwest<B>(body: B) -> reqwest::Body
where
    B: Body<Data: Into<Bytes>, Error: Into<BoxError>> + Send + Sync + 'static,
{
    untouched(body).unwrap_or_else(reqwest::Body::wrap)
}

/// The body itself where no layer has changed its type.
fn untouched<B: 'static>(body: B) -> Result<reqwest::Body, B> {
    let mut body = Some(body);
    match (&mut body as &mut dyn Any).downcast_mut::<Option<reqwest::Body>>() {
        Some(untouched) => Ok(mem::take(untouched).unwrap_or_default()),
        None => Err(body.expect("it was not taken")),
    }
}

/// A body of which the first frame was read already.
struct Begun<B> {
    first: Option<Result<Frame<Bytes>, BoxError>>,
    rest: Pin<Box<B>>,
}

impl<B> Body for Begun<B>
where
    B: Body<Data: Into<Bytes>, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let next = self.rest.as_mut().poll_frame(cx);
        next.map_ok(|frame| frame.map_data(Into::into)).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok());
        let read = first.and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let mut hint = self.rest.size_hint();
        // The upper bound first: it may not fall below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(hint.lower().saturating_add(read));
        hint
    }
}
