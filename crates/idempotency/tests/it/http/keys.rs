//! Keys, whose they are, and what requests ask for.

use std::{collections::HashSet, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, Method, Request, header, request::Parts};
use steadfast_core::http::respond;
use steadfast_idempotency::{
    Fingerprint, RecordId,
    http::{HttpFingerprint, IdempotencyLayer, MissingKey, NoPrincipal, RequestFingerprint},
};

use super::support::{Runs, by, handle, layer, pay, send, till, user};

#[tokio::test]
async fn a_quoted_key_and_a_bare_one_are_one_key() {
    let (runs, handle) = (Runs::default(), handle());
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    for key in ["7f3a", "\"7f3a\"", " 7f3a ", "\t\"7f3a\""] {
        assert_eq!(send(&router, pay("/pay", key, "")).await.text, "/pay:  paid in run 1", "{key}");
    }
    assert!(handle.look(&RecordId::new("", "7f3a").unwrap()).await.unwrap().is_some());
    assert_eq!((runs.count(), handle.snapshot().replayed), (1, 3));
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_never_runs() {
    let (runs, handle) = (Runs::default(), handle());
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::unscoped(handle.clone())));
    let long = "k".repeat(256);
    let malformed: [&[u8]; 9] = [
        b"",
        b"\"\"",
        b"a b",
        b"\"a\", \"b\"",
        b"\"a\";q=1",
        b"a\tb",
        b"\"a",
        "schlüssel".as_bytes(),
        long.as_bytes(),
    ];
    for key in malformed {
        let request = Request::post("/pay").header("idempotency-key", key);
        let got = send(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(got.refused(), (400, None), "{key:?}");
    }
    // Two lines of it, be they the same.
    let twice = Request::post("/pay").header("idempotency-key", "a").header("idempotency-key", "a");
    assert_eq!(send(&router, twice.body(Body::empty()).unwrap()).await.refused(), (400, None));
    assert_eq!((runs.count(), handle.snapshot().refused), (0, 10));
}

#[tokio::test]
async fn a_key_is_found_behind_few_headers_and_behind_many() {
    for others in [0, 15, 16, 17, 100] {
        let runs = Runs::default();
        let router = till(&runs, Duration::ZERO).layer(respond(layer()));
        for is_replayed in [false, true] {
            let mut request = Request::post("/pay");
            for n in 0..others {
                request = request.header(format!("x-{n}"), "7f3a");
            }
            let request = request.header("idempotency-key", "7f3a").body(Body::empty()).unwrap();
            let got = send(&router, request).await;
            assert_eq!((got.is_replayed(), runs.count()), (is_replayed, 1), "{others}");
        }
    }
}

#[tokio::test]
async fn control_characters_cannot_be_sent_at_all_and_a_list_is_no_key() {
    // `http` refuses them before any layer sees them.
    for control in [0, 7, b'\n', b'\r', 0x7f] {
        assert!(http::HeaderValue::from_bytes(&[b'a', control]).is_err());
    }
    // A proxy may make one line of two: which of the keys would it be?
    let runs = Runs::default();
    let router = till(&runs, Duration::ZERO).layer(respond(layer()));
    for list in ["a,b", "a,a", "a, b", "a,", ",a", "\"a\",\"b\""] {
        assert_eq!(send(&router, pay("/pay", list, "")).await.refused(), (400, None), "{list}");
    }
    assert_eq!(runs.count(), 0);
    // In a string it is a character like any other.
    assert_eq!(send(&router, pay("/pay", "\"a,b\"", "")).await.status, 200);
}

#[tokio::test]
async fn a_request_without_a_key_is_passed_on_or_refused_by_choice() {
    let runs = Runs::default();
    let no_key = || Request::post("/pay").body(Body::empty()).unwrap();
    let router = till(&runs, Duration::ZERO).layer(respond(layer()));
    for run in 1..=2 {
        assert_eq!(send(&router, no_key()).await.text, format!("/pay:  paid in run {run}"));
    }
    let strict = layer().missing_key(MissingKey::Refuse);
    let router = till(&runs, Duration::ZERO).layer(respond(strict));
    assert_eq!(send(&router, no_key()).await.refused(), (400, None));
    let put = || Request::put("/pay").body(Body::empty()).unwrap();
    assert_eq!(send(&router, put()).await.status, 200, "PUT needs none");
    assert_eq!(runs.count(), 3);
}

#[tokio::test]
async fn keys_count_for_post_and_patch_or_other_methods_by_choice() {
    let runs = Runs::default();
    let keyed = |method: Method| {
        let request = Request::builder().method(&method).uri("/pay");
        let key = method.as_str().to_owned();
        request.header("idempotency-key", key).body(Body::empty()).unwrap()
    };
    let replays = async |layer: IdempotencyLayer| {
        let router = till(&runs, Duration::ZERO).layer(respond(layer));
        let mut replays = Vec::new();
        for method in [Method::POST, Method::PATCH, Method::PUT] {
            send(&router, keyed(method.clone())).await;
            replays.push(send(&router, keyed(method)).await.is_replayed());
        }
        replays
    };
    assert_eq!(replays(layer()).await, [true, true, false]);
    assert_eq!(replays(layer().methods([Method::PUT])).await, [false, false, true]);
}

#[tokio::test]
async fn a_record_of_one_principal_never_answers_another() {
    let runs = Runs::default();
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::scoped_by(handle(), user)));
    for (user, run) in [("alice", 1), ("bob", 2), ("alice", 1), ("bob", 2), ("", 3), ("", 3)] {
        let got = send(&router, by(user, pay("/pay", "7f3a", "5 euros"))).await;
        assert_eq!(got.text, format!("/pay: 5 euros paid in run {run}"), "{user}");
    }
    // Nor does another payload of the one show that the other has used the key.
    let got = send(&router, by("carol", pay("/pay", "7f3a", "6 euros"))).await;
    assert_eq!(got.text, "/pay: 6 euros paid in run 4");
}

#[tokio::test]
async fn separators_in_principals_and_keys_confuse_nothing() {
    let runs = Runs::default();
    let router =
        till(&runs, Duration::ZERO).layer(respond(IdempotencyLayer::scoped_by(handle(), user)));
    for (user, key) in [("a", "b:c"), ("a:b", "c"), ("a:", "b:c"), ("", "a:b:c"), ("a\0b", "c")] {
        assert!(!send(&router, by(user, pay("/pay", key, ""))).await.is_replayed(), "{user} {key}");
    }
    assert_eq!(runs.count(), 5);
}

#[tokio::test]
async fn keys_without_a_principal_are_never_put_together() {
    let runs = Runs::default();
    let scoped = || IdempotencyLayer::scoped_by(handle(), user);
    let router = till(&runs, Duration::ZERO).layer(respond(scoped()));
    assert_eq!(send(&router, pay("/pay", "7f3a", "")).await.refused(), (400, None));
    assert_eq!(runs.count(), 0);
    let passing = scoped().no_principal(NoPrincipal::Pass);
    let router = till(&runs, Duration::ZERO).layer(respond(passing));
    for run in 1..=2 {
        let got = send(&router, pay("/pay", "7f3a", "")).await;
        assert_eq!(got.text, format!("/pay:  paid in run {run}"));
    }
}

/// Its key is not passed on either where keys without a principal are: it has one.
#[tokio::test]
async fn a_principal_whose_name_is_too_long_is_refused_and_told_so() {
    let (runs, handle) = (Runs::default(), handle());
    let layer = IdempotencyLayer::scoped_by(handle.clone(), user);
    let router = till(&runs, Duration::ZERO).layer(respond(layer.no_principal(NoPrincipal::Pass)));
    let (key, longest) = ("7f3a", 1024 - "7f3a".len());
    let by_name_of = |length| by("a".repeat(length).leak(), pay("/pay", key, ""));
    let got = send(&router, by_name_of(longest + 1)).await;
    assert_eq!(got.refused(), (400, None));
    assert!(got.text.contains("principal that an idempotency key belongs to is too long"));
    assert_eq!((runs.count(), handle.snapshot().refused), (0, 1));
    assert_eq!(send(&router, by_name_of(longest)).await.text, "/pay:  paid in run 1");
}

#[tokio::test]
async fn another_method_path_query_or_body_is_another_request() {
    let router = till(&Runs::default(), Duration::ZERO).layer(respond(layer()));
    send(&router, pay("/pay?a=1", "7f3a", "5")).await;
    for other in
        [pay("/pay?a=2", "7f3a", "5"), pay("/pay", "7f3a", "5"), pay("/pay?a=1", "7f3a", "6")]
    {
        assert_eq!(send(&router, other).await.refused(), (422, None));
    }
    let mut patch = pay("/pay?a=1", "7f3a", "5");
    *patch.method_mut() = Method::PATCH;
    assert_eq!(send(&router, patch).await.refused(), (422, None));
    let mut same = pay("/pay?a=1", "7f3a", "5");
    same.headers_mut().insert("x-sent-at", "later".parse().unwrap());
    assert!(send(&router, same).await.is_replayed(), "a header is not part of it");
}

#[tokio::test]
async fn chosen_headers_are_part_of_what_is_asked_for() {
    let names = [header::CONTENT_TYPE, HeaderName::from_static("x-currency")];
    let layer = layer().fingerprint(HttpFingerprint::new().headers(names));
    let router = till(&Runs::default(), Duration::ZERO).layer(respond(layer));
    let with = |lines: &[(&'static str, &'static str)]| {
        let mut request = pay("/pay", "7f3a", "5");
        for (name, value) in lines {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    };
    let euros = [("x-currency", "EUR")];
    assert!(!send(&router, with(&euros)).await.is_replayed());
    assert!(send(&router, with(&euros)).await.is_replayed());
    for other in [&[][..], &[("x-currency", "USD")], &[("content-type", "EUR")], &[euros[0]; 2]] {
        assert_eq!(send(&router, with(other)).await.refused(), (422, None), "{other:?}");
    }
}

#[test]
fn headers_of_a_request_are_taken_for_no_others() {
    let of = |names: &[&'static str], lines: &[(&'static str, &'static str)]| {
        let mut request = Request::post("/pay").body(()).unwrap();
        for (name, value) in lines {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let names = names.iter().map(|name| HeaderName::from_static(name));
        let print = HttpFingerprint::new().headers(names);
        print.fingerprint(&request.into_parts().0, &Bytes::new()).to_bytes()
    };
    let requests: [&[_]; 10] = [
        &[],
        &[("x-a", "1")],
        &[("x-b", "1")],
        &[("x-a", "1"), ("x-a", "1")],
        &[("x-a", "1"), ("x-a", "2")],
        &[("x-a", "1"), ("x-b", "2")],
        &[("x-a", "x-b")],
        &[("x-b", "x-b")],
        &[("x-a", "")],
        &[("x-a", ""), ("x-a", "")],
    ];
    let prints = requests.map(|lines| of(&["x-a", "x-b"], lines));
    assert_eq!(HashSet::from(prints).len(), requests.len());
    assert_eq!(of(&["x-a"], requests[1]), of(&["x-a"], &[("x-a", "1"), ("x-c", "1")]));
    // A program that takes another header from now on.
    assert_ne!(of(&["x-a"], requests[1]), of(&["x-b"], requests[2]));
}

#[tokio::test]
async fn a_fingerprint_of_the_programs_own_leaves_out_what_changes_with_each_copy() {
    let amount_alone = |head: &Parts, body: &Bytes| {
        let amount = body.split(|byte| *byte == b'&').next().unwrap_or_default();
        Fingerprint::of([head.uri.path().as_bytes(), amount])
    };
    let layer = layer().fingerprint(amount_alone);
    let router = till(&Runs::default(), Duration::ZERO).layer(respond(layer));
    send(&router, pay("/pay", "7f3a", "amount=5&sent=noon")).await;
    assert!(send(&router, pay("/pay", "7f3a", "amount=5&sent=later")).await.is_replayed());
    let other = send(&router, pay("/pay", "7f3a", "amount=6&sent=noon")).await;
    assert_eq!(other.refused(), (422, None));
}

#[tokio::test]
async fn the_host_is_that_of_the_uri_where_no_header_says_it() {
    // As over HTTP/2, and with both spellings for one.
    let layer = layer().fingerprint(HttpFingerprint::new().headers([header::HOST]));
    let router = till(&Runs::default(), Duration::ZERO).layer(respond(layer));
    let to = |uri: &str, host: Option<&'static str>| {
        let mut request = pay(uri, "7f3a", "5");
        request.headers_mut().extend(host.map(|host| (header::HOST, host.parse().unwrap())));
        request
    };
    send(&router, to("http://one.example/pay", None)).await;
    for (uri, host, status) in [
        ("http://two.example/pay", None, 422),
        ("/pay", Some("two.example"), 422),
        ("/pay", None, 422),
        ("http://one.example/pay", None, 200),
        ("/pay", Some("one.example"), 200),
        ("http://one.example/pay", Some("one.example"), 200),
    ] {
        assert_eq!(send(&router, to(uri, host)).await.status, status, "{uri} {host:?}");
    }
}
