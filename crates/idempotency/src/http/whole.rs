//! Responses as a whole: kept, and given again.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use steadfast_core::{Executed, Grounds};

use crate::Outcome;

pin_project! {
    /// A response's body: the handler's own, or one that is here as a whole.
    pub struct ReplyBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Passed {
            #[pin]
            body: B,
        },
        Whole {
            data: Bytes,
            trailers: Option<Box<HeaderMap>>,
        },
    }
}

impl<B> ReplyBody<B> {
    pub(super) const fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { kind: Kind::Whole { data, trailers: trailers.map(Box::new) } }
    }
}

impl<B> From<Bytes> for ReplyBody<B> {
    fn from(data: Bytes) -> Self {
        Self::whole(data, None)
    }
}

impl<B> Default for ReplyBody<B> {
    fn default() -> Self {
        Self::whole(Bytes::new(), None)
    }
}

impl<B: Body<Data = Bytes>> Body for ReplyBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Passed { body } => body.poll_frame(cx),
            KindProjection::Whole { data, .. } if !data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            KindProjection::Whole { trailers, .. } => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Whole { data, .. } => SizeHint::with_exact(data.len() as u64),
        }
    }
}

impl<B> fmt::Debug for ReplyBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").finish_non_exhaustive()
    }
}

/// Reads the response as a whole, and says what it means.
pub(super) async fn take<B: Body<Data = Bytes>>(
    response: Response<B>,
) -> (Response<ReplyBody<B>>, Outcome) {
    let (head, body) = response.into_parts();
    let is_refusal =
        head.extensions.get::<Grounds>().is_some_and(|grounds| grounds.executed == Executed::No);
    let Ok(collected) = body.collect().await else {
        return (Response::from_parts(head, ReplyBody::default()), Outcome::Abandon);
    };
    let trailers = collected.trailers().cloned();
    let data = collected.to_bytes();
    let outcome = if is_refusal {
        Outcome::Release
    } else {
        Outcome::Store(encode(head.status, &head.headers, trailers.as_ref(), &data))
    };
    (Response::from_parts(head, ReplyBody::whole(data, trailers)), outcome)
}

fn encode(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    data: &Bytes,
) -> Bytes {
    let mut record = BytesMut::new();
    record.put_u16(status.as_u16());
    for map in [headers, trailers.unwrap_or(&HeaderMap::new())] {
        record.put_u32(u32::try_from(map.len()).unwrap_or(0));
        for (name, value) in map {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                record.put_u32(u32::try_from(part.len()).unwrap_or(0));
                record.put(part);
            }
        }
    }
    record.put(&**data);
    record.freeze()
}

pub(super) fn decode<B>(mut record: Bytes) -> Option<Response<ReplyBody<B>>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(record.try_get_u16().ok()?).ok()?;
    *response.headers_mut() = decode_headers(&mut record)?;
    let trailers = decode_headers(&mut record)?;
    let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
    Some(response.map(|()| ReplyBody::whole(record, trailers)))
}

fn decode_headers(record: &mut Bytes) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for _ in 0..record.try_get_u32().ok()? {
        let name = HeaderName::from_bytes(&decode_part(record)?).ok()?;
        headers.append(name, HeaderValue::from_bytes(&decode_part(record)?).ok()?);
    }
    Some(headers)
}

fn decode_part(record: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(record.try_get_u32().ok()?).ok()?;
    (length <= record.len()).then(|| record.split_to(length))
}
