//! What an HTTP request asks for.

use std::{fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, header::HOST, request::Parts, uri::Authority};

use crate::Fingerprint;

/// Says what a request asks for: two requests with one key are the same if their fingerprints are
/// equal. Closures `Fn(&Parts, &Bytes) -> Fingerprint` do so too: over canonical JSON, or chosen
/// fields, where a client builds each copy anew with other boundaries or timestamps.
///
/// What it leaves out does not count: a client that sends another payload under the key gets the
/// reply of the first.
pub trait RequestFingerprint {
    /// The fingerprint of the request with this head and this whole body.
    fn fingerprint(&self, head: &Parts, body: &Bytes) -> Fingerprint;
}

impl<F: Fn(&Parts, &Bytes) -> Fingerprint> RequestFingerprint for F {
    fn fingerprint(&self, head: &Parts, body: &Bytes) -> Fingerprint {
        self(head, body)
    }
}

/// The fingerprint over the method, the path with its query, chosen headers and the body, each with
/// its length before it.
///
/// **The path must be the whole one.** A router that nests may cut it: in axum's `nest` a layer
/// sees `/pay` of `/v1/pay` and of `/v2/pay`, and would take the two for one. Put the layer outside
/// of the nesting, or say where the whole one is: [`original_uri`](Self::original_uri).
#[derive(Clone)]
pub struct HttpFingerprint {
    uri: fn(&Parts) -> &Uri,
    headers: Arc<[HeaderName]>,
}

impl HttpFingerprint {
    /// Over the request's own URI, and no header.
    #[must_use]
    pub fn new() -> Self {
        Self { uri: |head| &head.uri, headers: Arc::default() }
    }

    /// Takes these headers too, each with all its values: such as `Content-Type`, or `Host` where
    /// one service has several. Where a request has no `Host`, such as over HTTP/2, the authority
    /// of its URI is taken for it (RFC 9113, section 8.3.1).
    #[must_use]
    pub fn headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { headers: names.into_iter().collect(), ..self }
    }

    /// Takes the URI out of the request's head.
    #[must_use]
    pub const fn uri(mut self, uri: fn(&Parts) -> &Uri) -> Self {
        self.uri = uri;
        self
    }

    /// Takes the URI out of the request's extension `U`, which a router leaves there before it cuts
    /// the path: `axum::extract::OriginalUri`. Without one it is the request's own.
    #[must_use]
    pub const fn original_uri<U>(self) -> Self
    where
        U: Deref<Target = Uri> + Send + Sync + 'static,
    {
        self.uri(|head| head.extensions.get::<U>().map_or(&head.uri, Deref::deref))
    }
}

impl RequestFingerprint for HttpFingerprint {
    fn fingerprint(&self, head: &Parts, body: &Bytes) -> Fingerprint {
        let uri = (self.uri)(head);
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let mut builder = Fingerprint::builder().part(head.method.as_str()).part(target);
        for name in &*self.headers {
            let lines = head.headers.get_all(name);
            let authority =
                authority_for(name, head).map(|authority| authority.as_str().as_bytes());
            // How many, so that none is taken for the next header's name.
            let count = lines.iter().count() + usize::from(authority.is_some());
            builder = builder.part(name).part((count as u64).to_be_bytes());
            let values = lines.iter().map(HeaderValue::as_bytes).chain(authority);
            builder = values.fold(builder, crate::FingerprintBuilder::part);
        }
        builder.part(body).finish()
    }
}

/// What stands for a `Host` that is not there.
fn authority_for<'a>(name: &HeaderName, head: &'a Parts) -> Option<&'a Authority> {
    head.uri.authority().filter(|_| *name == HOST && !head.headers.contains_key(HOST))
}

impl Default for HttpFingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFingerprint").field("headers", &self.headers).finish_non_exhaustive()
    }
}
