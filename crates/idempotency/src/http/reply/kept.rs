//! A response as it is kept.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response::Parts};

use super::{KeptHeaders, ReplyBody};

/// A response out of a store: what [`StoredReply::Kept`](crate::StoredReply::Kept) holds where the
/// operation was an HTTP request.
///
/// | bytes | |
/// |--:|---|
/// | 2 | `48 52`: a response of this crate |
/// | 1 | the version of this table, 1 |
/// | 2 | the status |
/// | 2 | how many lines of headers follow |
/// | … | for each: the length of its name in 2 bytes, that of its value in 4, whose first bit is set for a sensitive one, the name in lower case, the value |
/// | 4 | the length of the body |
/// | n | the body |
/// | 2 | how many lines of trailers follow |
/// | … | as above |
///
/// Numbers are big endian. The frame round it has the checksum. `Debug` shows no header and no
/// body.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers that were kept, in their order where a name has several.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers; `None` if there is none.
    pub trailers: Option<HeaderMap>,
}

const MAGIC: [u8; 2] = *b"HR";
const VERSION: u8 = 1;
const SENSITIVE: u32 = 1 << 31;

impl KeptResponse {
    /// Reads what was kept. Body and values are parts of `record`: nothing of them is copied, and
    /// nothing is allocated for a number that the record claims.
    ///
    /// # Errors
    /// When it is no response, of another version, cut short, or damaged.
    pub fn decode(record: &Bytes) -> Result<Self, KeptResponseError> {
        let mut rest = record.clone();
        match rest.first_chunk() {
            Some(&[a, b, _]) if [a, b] != MAGIC => return Err(KeptResponseError::NoResponse),
            Some(&[_, _, version]) if version != VERSION => {
                return Err(KeptResponseError::UnknownVersion { version });
            }
            Some(_) => rest.advance(3),
            // A short one is a truncated one only as far as it begins like one.
            None if MAGIC.starts_with(&rest[..rest.len().min(2)]) => {
                return Err(KeptResponseError::Truncated);
            }
            None => return Err(KeptResponseError::NoResponse),
        }
        let status = StatusCode::from_u16(rest.try_get_u16()?);
        let status = status.ok().filter(|status| !status.is_informational());
        let status = status.ok_or(KeptResponseError::Corrupt)?;
        let headers = read_lines(&mut rest)?;
        let length = rest.try_get_u32()?;
        let body = split(&mut rest, length)?;
        let trailers = Some(read_lines(&mut rest)?).filter(|trailers| !trailers.is_empty());
        if rest.is_empty() {
            Ok(Self { status, headers, body, trailers })
        } else {
            Err(KeptResponseError::Corrupt)
        }
    }

    /// The record that [`decode`](Self::decode) reads; `None` where it has no room for a number
    /// that is needed, such as the length of a body of 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Option<Bytes> {
        let mut record = head(self.status, self.body.len());
        put_lines(&mut record, self.headers.iter())?;
        record.put_u32(self.body.len().try_into().ok()?);
        record.put_slice(&self.body);
        put_lines(&mut record, self.trailers.iter().flatten())?;
        Some(record.freeze())
    }

    /// The response that a duplicate is given.
    pub(crate) fn into_response<B>(self) -> Response<ReplyBody<B>> {
        let mut response = Response::new(ReplyBody::whole(self.body, self.trailers));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The record of a response whose body is not read yet.
pub(crate) struct Recording(Option<BytesMut>);

impl Recording {
    /// With room for a body of `length` bytes.
    pub(crate) fn of(head_parts: &Parts, headers: &KeptHeaders, length: usize) -> Self {
        let mut record = head(head_parts.status, length);
        Self(put_lines(&mut record, headers.of(&head_parts.headers)).map(|()| record))
    }

    /// All of it; `None` as [`KeptResponse::encode`].
    pub(crate) fn end(
        self,
        body: &[Bytes],
        trailers: Option<&HeaderMap>,
        headers: &KeptHeaders,
    ) -> Option<Bytes> {
        let mut record = self.0?;
        let length = body.iter().map(Bytes::len).sum::<usize>();
        record.reserve(length + size_of::<u32>() + size_of::<u16>());
        record.put_u32(length.try_into().ok()?);
        body.iter().for_each(|data| record.put_slice(data));
        put_lines(&mut record, trailers.into_iter().flat_map(|trailers| headers.of(trailers)))?;
        Some(record.freeze())
    }
}

fn head(status: StatusCode, length: usize) -> BytesMut {
    /// Of the headers that most responses have.
    const HEADERS: usize = 256;
    let mut record = BytesMut::with_capacity(HEADERS + length);
    record.put_slice(&MAGIC);
    record.put_u8(VERSION);
    record.put_u16(status.as_u16());
    record
}

fn put_lines<'a>(
    record: &mut BytesMut,
    lines: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Option<()> {
    let (at, mut count) = (record.len(), 0_u16);
    record.put_u16(0);
    for (name, value) in lines {
        count = count.checked_add(1)?;
        let length = u32::try_from(value.len()).ok().filter(|length| *length < SENSITIVE)?;
        record.put_u16(name.as_str().len().try_into().ok()?);
        record.put_u32(if value.is_sensitive() { length | SENSITIVE } else { length });
        record.put_slice(name.as_str().as_bytes());
        record.put_slice(value.as_bytes());
    }
    record[at..][..2].copy_from_slice(&count.to_be_bytes());
    Some(())
}

fn read_lines(rest: &mut Bytes) -> Result<HeaderMap, KeptResponseError> {
    let mut headers = HeaderMap::new();
    for _ in 0..rest.try_get_u16()? {
        let (name, length) = (rest.try_get_u16()?, rest.try_get_u32()?);
        let name = split(rest, name.into())?;
        let name = HeaderName::from_lowercase(&name).map_err(|_| KeptResponseError::Corrupt)?;
        let value = split(rest, length & !SENSITIVE)?;
        let value = HeaderValue::from_maybe_shared(value);
        let mut value = value.map_err(|_| KeptResponseError::Corrupt)?;
        value.set_sensitive(length & SENSITIVE != 0);
        // A map has room for fewer lines than the record.
        headers.try_append(name, value).map_err(|_| KeptResponseError::Corrupt)?;
    }
    Ok(headers)
}

fn split(rest: &mut Bytes, length: u32) -> Result<Bytes, KeptResponseError> {
    // A platform whose `usize` is narrower has no such part either.
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
    Ok(rest.split_to(length.ok_or(KeptResponseError::Truncated)?))
}

impl std::fmt::Debug for KeptResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why what was kept is not a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeptResponseError {
    /// It does not begin like a response of this crate.
    #[error("not a kept response")]
    NoResponse,
    /// It is of a version that this release does not read, such as that of a later one.
    #[error("a kept response of version {version}, but this release reads {VERSION}")]
    UnknownVersion {
        /// Its version.
        version: u8,
    },
    /// Its end is missing.
    #[error("a kept response is cut short")]
    Truncated,
    /// It says what no response has, or goes on behind its end.
    #[error("a kept response is damaged")]
    Corrupt,
}

impl From<bytes::TryGetError> for KeptResponseError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Truncated
    }
}

#[cfg(test)]
mod tests;
