//! The layer of clients.

use std::convert::Infallible;

use http::{HeaderMap, Method, Request};
use steadfast_core::http::IdempotencyKey;
use steadfast_idempotency::http::{IdempotencyKeyLayer, IdempotencyKeyService, PostAndPatch};
use steadfast_testkit::contract;
use tower::{Layer, Service, ServiceExt, service_fn};

async fn sent<W>(layer: IdempotencyKeyLayer<W>, request: Request<()>) -> HeaderMap
where
    W: Clone + steadfast_idempotency::http::WantsKey,
{
    let upstream = service_fn(|request: Request<()>| async move {
        Ok::<_, Infallible>(request.into_parts().0.headers)
    });
    layer.layer(upstream).oneshot(request).await.unwrap()
}

fn request(method: Method) -> Request<()> {
    Request::builder().method(method).uri("http://localhost/").body(()).unwrap()
}

#[test]
fn it_keeps_the_contract_of_all_layers() {
    contract::suite(|probe| {
        let client = IdempotencyKeyLayer::new().layer(probe.map_request(Request::<u32>::into_body));
        client.map_request(|number| Request::post("http://localhost/").body(number).unwrap())
    });
}

#[tokio::test]
async fn a_post_or_patch_gets_a_key_and_no_other_method_does() {
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::POST,
        Method::PATCH,
    ] {
        let headers = sent(IdempotencyKeyLayer::new(), request(method.clone())).await;
        let has_key = IdempotencyKey::from_headers(&headers).unwrap().is_some();
        assert_eq!(has_key, matches!(method, Method::POST | Method::PATCH), "{method}");
        assert!(headers.values().all(|value| value.is_sensitive()));
    }
}

#[tokio::test]
async fn every_call_has_a_key_of_its_own() {
    let call = async || {
        let headers = sent(IdempotencyKeyLayer::new(), request(Method::POST)).await;
        IdempotencyKey::from_headers(&headers).unwrap().unwrap().into_owned()
    };
    assert_ne!(call().await, call().await);
}

#[tokio::test]
async fn what_stands_in_the_header_is_never_overwritten() {
    for lines in [&["mine"][..], &["\"mine\""], &[""], &["no key"], &["one", "two"]] {
        let mut request = request(Method::POST);
        for line in lines {
            request.headers_mut().append("idempotency-key", line.parse().unwrap());
        }
        let headers = sent(IdempotencyKeyLayer::new(), request).await;
        assert!(headers.get_all("idempotency-key").iter().eq(lines), "{lines:?}");
    }
}

#[tokio::test]
async fn the_key_is_bare_or_quoted_and_the_methods_are_the_users() {
    let text = |headers: &HeaderMap| {
        headers.get("idempotency-key").map(|value| value.to_str().unwrap().to_owned())
    };
    let bare = sent(IdempotencyKeyLayer::new(), request(Method::POST)).await;
    assert_eq!(text(&bare).unwrap().len(), 36);
    let quoted = sent(IdempotencyKeyLayer::new().quoted(), request(Method::POST)).await;
    let quoted = text(&quoted).unwrap();
    assert!(quoted.len() == 38 && quoted.starts_with('"') && quoted.ends_with('"'));
    let of_puts = IdempotencyKeyLayer::new().methods(|method: &Method| method == Method::PUT);
    assert_eq!(text(&sent(of_puts, request(Method::POST)).await), None);
    assert!(text(&sent(of_puts, request(Method::PUT)).await).is_some());
}

#[test]
fn the_types_can_be_named() {
    let layer: IdempotencyKeyLayer<PostAndPatch> = IdempotencyKeyLayer::default();
    let inner = service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(())));
    let mut service: IdempotencyKeyService<_> = layer.layer(inner);
    let _ = service.get_ref();
    let _ = service.get_mut();
    drop(service.into_inner().call(request(Method::POST)));
}
