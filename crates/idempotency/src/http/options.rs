//! What the layer does by choice.

use std::{fmt, sync::Arc, time::Duration};

use http::{Method, request::Parts};

use super::reply::{KeptHeaders, ReplyPolicy, Terms};

/// What is done with a request that should have a key and has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// It is passed on as it is, and repeats are not known.
    #[default]
    Pass,
    /// It is refused: HTTP 400.
    Refuse,
}

/// What is done with a request that has a key, and no principal that the key could belong to.
/// Never are such keys put together: one stranger would get another's reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoPrincipal {
    /// It is refused: HTTP 400.
    #[default]
    Refuse,
    /// It is passed on as if it had no key, and repeats are not known.
    Pass,
}

/// What is done with a stream that has a key: a gRPC call with more than one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStream {
    /// It is refused: HTTP 400, gRPC `INVALID_ARGUMENT`.
    #[default]
    Refuse,
    /// It is passed on as if it had no key, and repeats are not known.
    Pass,
}

/// Says by the head whether a request is a stream.
type IsStream = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct Options {
    pub(super) methods: Box<[Method]>,
    pub(super) missing_key: MissingKey,
    pub(super) no_principal: NoPrincipal,
    pub(super) on_stream: OnStream,
    pub(super) is_stream: Option<IsStream>,
    /// In bytes.
    pub(super) body_limit: usize,
    pub(super) body_time: Duration,
    pub(super) terms: Terms,
}

impl Options {
    /// The defaults, with replies kept of up to so many bytes.
    pub(super) fn new(most_reply_bytes: usize) -> Self {
        Self {
            methods: Box::new([Method::POST, Method::PATCH]),
            missing_key: MissingKey::default(),
            no_principal: NoPrincipal::default(),
            on_stream: OnStream::default(),
            is_stream: None,
            // As long as a reply may be by default.
            body_limit: 1 << 20,
            // What a body of that length takes at 1 Mbit/s, and a little more.
            body_time: Duration::from_secs(10),
            terms: Terms {
                policy: ReplyPolicy::Default,
                headers: KeptHeaders::new(),
                most_bytes: most_reply_bytes,
            },
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("methods", &self.methods)
            .field("missing_key", &self.missing_key)
            .field("no_principal", &self.no_principal)
            .field("on_stream", &self.on_stream)
            .field("body_limit", &self.body_limit)
            .field("body_time", &self.body_time)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
