use http::{HeaderValue, Response};
use steadfast_core::RefusalKind;

use super::*;
use Meaning::{Abandon, Release, Store};

fn head(status: u16) -> Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status.try_into().unwrap();
    head
}

fn grpc(lines: &[(&'static str, &'static str)]) -> Parts {
    let mut head = head(200);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    for (name, value) in lines {
        head.headers.insert(*name, HeaderValue::from_static(value));
    }
    head
}

/// What the three presets make of it.
fn presets(head: &Parts) -> [Meaning; 3] {
    [ReplyPolicy::Default, ReplyPolicy::StripeLike, ReplyPolicy::SuccessOnly]
        .map(|policy| policy.of_head(head, false).unwrap())
}

#[test]
fn every_status_has_its_meaning() {
    for status in 200..=999 {
        let expected = match status {
            200..=399 => [Store, Store, Store],
            400 | 401 | 429 => [Release, Release, Release],
            403 | 405 | 408 | 411 | 413 | 414 | 415 | 421 | 422 | 425 | 431 => {
                [Release, Store, Release]
            }
            504 => [Abandon, Store, Release],
            _ => [Store, Store, Release],
        };
        assert_eq!(presets(&head(status)), expected, "{status}");
    }
}

#[test]
fn a_503_frees_its_key_only_with_a_time_to_come_back() {
    let unavailable = |value: &'static str| {
        let mut head = head(503);
        head.headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        presets(&head)
    };
    for time in ["0", "7", "Fri, 31 Dec 1999 23:59:59 GMT"] {
        assert_eq!(unavailable(time), [Release, Store, Release], "{time}");
    }
    for nonsense in ["", "soon", "-1"] {
        assert_eq!(unavailable(nonsense), [Store, Store, Release], "{nonsense}");
    }
    let mut other = head(500);
    other.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    assert_eq!(presets(&other), [Store, Store, Release], "another status says nothing by it");
}

#[test]
fn a_refusals_grounds_say_more_than_its_status() {
    for status in [200, 404, 409, 429, 500, 503, 504] {
        let refused = |grounds| {
            let mut head = head(status);
            head.extensions.insert(grounds);
            presets(&head)
        };
        for kind in RefusalKind::ALL {
            let not = refused(Grounds::not_executed(*kind));
            assert_eq!(not, [Release, Release, Release], "{status} {kind}");
            let perhaps = refused(Grounds::maybe_executed(*kind));
            assert_eq!(perhaps, [Abandon, Abandon, Release], "{status} {kind}");
        }
    }
}

#[test]
fn what_a_sealed_handler_answers_promises_nothing() {
    for status in [400, 403, 422, 425, 429, 503] {
        let mut head = head(status);
        head.headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        head.extensions.insert(Executed::Maybe);
        assert_eq!(presets(&head)[..2], [Store, Store], "{status}");
        head.extensions.insert(Grounds::not_executed(RefusalKind::TooMany));
        assert_eq!(presets(&head)[..2], [Abandon, Abandon], "{status}");
    }
    for code in ["3", "7", "8", "12", "14", "16"] {
        let mut head = grpc(&[("grpc-status", code), (GRPC_PUSHBACK, "7")]);
        head.extensions.insert(Executed::Maybe);
        assert_eq!(presets(&head)[..2], [Store, Store], "{code}");
    }
}

#[test]
fn every_grpc_status_has_its_meaning() {
    let codes: [&'static str; 19] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "nonsense",
    ];
    for (number, code) in codes.into_iter().enumerate() {
        for pushback in [None, Some("20"), Some("-1"), Some("soon")] {
            let mut head = grpc(&[("grpc-status", code)]);
            if let Some(pushback) = pushback {
                head.headers.insert(GRPC_PUSHBACK, HeaderValue::from_static(pushback));
            }
            let expected = match number {
                0 => [Store, Store, Store],
                3 | 16 => [Release, Release, Release],
                7 | 12 => [Release, Store, Release],
                8 if pushback == Some("20") => [Release, Release, Release],
                14 if pushback == Some("20") => [Release, Store, Release],
                1 | 4 => [Abandon, Store, Release],
                _ => [Store, Store, Release],
            };
            assert_eq!(presets(&head), expected, "{code}, {pushback:?}");
            // The same status in the trailers, behind a message or not.
            let trailers = std::mem::take(&mut head.headers);
            let head = grpc(&[]);
            for policy in [ReplyPolicy::Default, ReplyPolicy::StripeLike, ReplyPolicy::SuccessOnly]
            {
                assert_eq!(policy.of_head(&head, false), None);
            }
            let policy = ReplyPolicy::Default;
            assert_eq!(policy.of_whole(&head, Some(&trailers), false), expected[0], "{code}");
            let behind = if expected[0] == Release { Store } else { expected[0] };
            assert_eq!(policy.of_whole(&head, Some(&trailers), true), behind, "{code}");
        }
    }
}

#[test]
fn a_grpc_reply_without_a_status_broke_off() {
    for policy in [ReplyPolicy::Default, ReplyPolicy::StripeLike, ReplyPolicy::SuccessOnly] {
        for trailers in [None, Some(&HeaderMap::new())] {
            assert_eq!(policy.of_whole(&grpc(&[]), trailers, true), Abandon);
        }
    }
}

#[test]
fn only_an_answer_of_grpc_is_judged_as_one() {
    let of_kind = |status, kind: &'static str| {
        let mut head = grpc(&[("grpc-status", "4")]);
        head.status = StatusCode::from_u16(status).unwrap();
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        ReplyPolicy::Default.of_head(&head, false)
    };
    for kind in ["application/grpc", "application/grpc+json", "application/grpc; q=1"] {
        assert_eq!(of_kind(200, kind), Some(Abandon), "{kind}");
        assert_eq!(of_kind(502, kind), Some(Store), "of a proxy");
    }
    for kind in ["application/grpc-web", "application/grpc-web+proto", "text/plain"] {
        assert_eq!(of_kind(200, kind), Some(Store), "{kind}");
    }
}

#[test]
fn a_function_judges_and_can_fall_back() {
    let policy = ReplyPolicy::by(|reply| match (reply.status().as_u16(), reply.grpc_status()) {
        (404, _) | (_, Some(5)) => Release,
        _ => reply.by_default(),
    });
    assert_eq!(policy.of_head(&head(404), false), Some(Release));
    assert_eq!(policy.of_head(&head(504), false), Some(Abandon));
    assert_eq!(policy.of_head(&grpc(&[]), false), None);
    let trailers = grpc(&[("grpc-status", "5")]).headers;
    assert_eq!(policy.of_whole(&grpc(&[]), Some(&trailers), true), Release);
}

#[test]
fn in_a_transaction_a_failure_of_the_server_is_no_answer_but_for_a_policy_that_says_so() {
    for status in 200..=999 {
        let expected = if status < 500 { presets(&head(status))[0] } else { Abandon };
        let by_default = ReplyPolicy::by(|reply| reply.by_default());
        for policy in [ReplyPolicy::Default, by_default] {
            assert_eq!(policy.of_head(&head(status), true), Some(expected), "{status}");
        }
        let [_, like_stripe, success_only] = presets(&head(status));
        let policies = [ReplyPolicy::StripeLike, ReplyPolicy::SuccessOnly];
        let seen = policies.map(|policy| policy.of_head(&head(status), true).unwrap());
        assert_eq!(seen, [like_stripe, success_only], "{status}");
    }
}
