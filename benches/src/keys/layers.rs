//! The layer of a server, over the store in memory.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use steadfast_core::Error;
use steadfast_idempotency::{
    Idempotency, IdempotencyConfig, MemoryConfig, MemoryStore, http::IdempotencyLayer,
};
use tower::Layer;

use super::{
    KEYED, UNKEYED,
    requests::{Keys, Requests, Till},
};
use crate::{
    row::{Family, Group, Row},
    subject::Subject,
};

type Body = Full<Bytes>;
type Bare = Till<Body, Error<Infallible>>;

pub(super) fn rows() -> Vec<Row> {
    let bare = |keys| Box::new(Requests::<_, Body>::new(Bare::new(), keys));
    let layered = |keys| -> Box<dyn Subject> {
        Box::new(Requests::<_, Body>::new(layer(keys).layer(Bare::new()), keys))
    };
    let ours = |name, keys| Row::new(Family::Ours, Group::Happy, name, layered(keys));
    let reference =
        |name, keys| Row::new(Family::Reference, Group::Baseline, name, bare(keys)).over(name);
    vec![
        reference(UNKEYED, Keys::None),
        ours("no key", Keys::None).over(UNKEYED),
        reference(KEYED, Keys::New),
        ours("first", Keys::New).over(KEYED),
        ours("replay", Keys::Used).over(KEYED),
    ]
}

fn layer(keys: Keys) -> IdempotencyLayer {
    let config = match keys {
        // So that a new key finds a store in its steady state: what has expired makes room.
        Keys::New => IdempotencyConfig::new()
            .lease(SECOND)
            .store_limit(SECOND)
            .retention(Duration::from_millis(100)),
        Keys::None | Keys::Used => IdempotencyConfig::new(),
    };
    let store = MemoryStore::new(MemoryConfig::new()).expect("the defaults are valid");
    IdempotencyLayer::unscoped(Idempotency::new(config, store).expect("the config is valid"))
}

const SECOND: Duration = Duration::from_secs(1);
