//! Requests in the making.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use steadfast_core::Deadline;

use crate::{Client, ResponseFuture};

/// A request that is being made: reqwest's builder, whose [`send`](Self::send) goes through the
/// stack.
///
/// reqwest's methods are here under their names, and [`with`](Self::with) reaches the rest.
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    http: reqwest::RequestBuilder,
    extensions: http::Extensions,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, http: reqwest::RequestBuilder) -> Self {
        Self { client, http, extensions: http::Extensions::new() }
    }

    /// Changes the request by a method of reqwest's builder that is not repeated here.
    pub fn with<F>(self, change: F) -> Self
    where
        F: FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    {
        Self { http: change(self.http), ..self }
    }

    /// The instant after which the caller no longer waits, with all attempts and the waits between
    /// them: layers read it, such as a retry, an adaptive timeout and a `DeadlineLayer`, and the
    /// client waits no longer for a stack that is not ready. Of several the nearest is kept.
    pub fn deadline(self, deadline: Deadline) -> Self {
        let before = self.extensions.get().copied();
        self.extension(before.map_or(deadline, |before: Deadline| before.min(deadline)))
    }

    /// Gives layers something to read in the request's extensions: the key of a keyed handle, say.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Appends a header. See [`reqwest::RequestBuilder::header`].
    pub fn header<K, V>(self, key: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|http| http.header(key, value))
    }

    /// Sets several headers. See [`reqwest::RequestBuilder::headers`].
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|http| http.headers(headers))
    }

    /// Authorizes by name and password. See [`reqwest::RequestBuilder::basic_auth`].
    pub fn basic_auth<U: fmt::Display, P: fmt::Display>(
        self,
        username: U,
        password: Option<P>,
    ) -> Self {
        self.with(|http| http.basic_auth(username, password))
    }

    /// Authorizes by a token. See [`reqwest::RequestBuilder::bearer_auth`].
    pub fn bearer_auth<T: fmt::Display>(self, token: T) -> Self {
        self.with(|http| http.bearer_auth(token))
    }

    /// Sets the body. One that is in memory is sent again by a retry, as is a stream of which the
    /// retry has kept what was read. See [`reqwest::RequestBuilder::body`].
    pub fn body<T: Into<reqwest::Body>>(self, body: T) -> Self {
        self.with(|http| http.body(body))
    }

    /// Limits one attempt, from connecting to the end of the response's body. For the whole call
    /// there is [`deadline`](Self::deadline). See [`reqwest::RequestBuilder::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|http| http.timeout(timeout))
    }

    /// Sets the version of HTTP. See [`reqwest::RequestBuilder::version`].
    pub fn version(self, version: Version) -> Self {
        self.with(|http| http.version(version))
    }

    /// Sets a body of JSON. See [`reqwest::RequestBuilder::json`].
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(self, json: &T) -> Self {
        self.with(|http| http.json(json))
    }

    /// Appends to the query of the URL. See [`reqwest::RequestBuilder::query`].
    #[cfg(feature = "query")]
    pub fn query<T: serde::Serialize + ?Sized>(self, query: &T) -> Self {
        self.with(|http| http.query(query))
    }

    /// Sets a body of a form's fields. See [`reqwest::RequestBuilder::form`].
    #[cfg(feature = "form")]
    pub fn form<T: serde::Serialize + ?Sized>(self, form: &T) -> Self {
        self.with(|http| http.form(form))
    }

    /// Sets a body of several parts. See [`reqwest::RequestBuilder::multipart`].
    #[cfg(feature = "multipart")]
    pub fn multipart(self, multipart: reqwest::multipart::Form) -> Self {
        self.with(|http| http.multipart(multipart))
    }

    /// The same request once more, unless its body is a stream.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let Self { client, http, extensions } = self;
        let (client, http) = (client.clone(), http.try_clone()?);
        Some(Self { client, http, extensions: extensions.clone() })
    }

    /// The request itself, without what was said to the layers only.
    ///
    /// # Errors
    /// When it cannot be made, such as for a URL that is none.
    pub fn build(self) -> reqwest::Result<reqwest::Request> {
        self.http.build()
    }

    /// Sends the request through the stack.
    ///
    /// The response is reqwest's own. Its [`url`](reqwest::Response::url) is the last one where
    /// redirects were followed.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error) when a layer refused, [`Error::Service`](crate::Error) with
    /// reqwest's own error when the last attempt failed, or when the request cannot be made.
    pub fn send(self) -> ResponseFuture {
        match self.http.build() {
            Ok(request) => self.client.send(request, self.extensions),
            Err(error) => ResponseFuture::unmade(error),
        }
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder").field("http", &self.http).finish_non_exhaustive()
    }
}
