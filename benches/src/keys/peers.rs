//! axum-idempotent, which keeps replies in the session of a client, and so needs the layers of
//! sessions and of cookies outside of it: all three are measured. By the header alone, its fastest
//! way: it makes no fingerprint then, and knows nothing of what is in flight.

use std::{convert::Infallible, sync::Arc};

use axum::body::Body;
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use http::{HeaderValue, Request, header};
use ruts::{CookieOptions, SessionLayer, store::moka::MokaStore};
use tower::ServiceBuilder;
use tower_cookies::CookieManagerLayer;

use super::requests::{Keys, Requests, Till};
use crate::row::{Family, Group, Row};

const BARE: &str = "bare service of axum, 1 KiB, keys that nothing looks at";

type Bare = Till<Body, Infallible>;

pub(super) fn rows() -> Vec<Row> {
    let bare = Box::new(Requests::<_, Body>::new(Bare::new(), Keys::New));
    vec![
        Row::new(Family::Reference, Group::Baseline, BARE, bare).over(BARE),
        peer("axum-idempotent, first", Keys::New),
        peer("axum-idempotent, replay", Keys::Used),
    ]
}

fn peer(name: &'static str, keys: Keys) -> Row {
    // 10,000 sessions, with a key each: a session with many keys would grow for ever.
    let store = Arc::new(MokaStore::builder().build());
    let cookie = CookieOptions::build().name("session").max_age(3600).path("/");
    let options = IdempotentOptions::default().use_idempotency_key_header(None, true);
    let service = ServiceBuilder::new()
        .map_request(with_session)
        .layer(CookieManagerLayer::new())
        .layer(SessionLayer::new(store).with_cookie_options(cookie))
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .service(Bare::new());
    let subject = Box::new(Requests::<_, Body>::new(service, keys));
    Row::new(Family::Peer, Group::Happy, name, subject).over(BARE)
}

/// The session is named by the first characters of the key: 16 bytes in base64, whose last
/// character has four bits that are zero. One that is none would have nothing kept.
fn with_session(mut request: Request<Body>) -> Request<Body> {
    let key = request.headers().get("idempotency-key").map(HeaderValue::as_bytes);
    let session = key.and_then(|key| key.get(..21)).expect("each request has a key");
    let cookie = [b"session=", session, b"A"].concat();
    let cookie = HeaderValue::from_bytes(&cookie).expect("hexadecimal digits");
    request.headers_mut().insert(header::COOKIE, cookie);
    request
}
