//! What others see.

use tokio::time::sleep;

use super::{Case, GRACE, LONG, TTL, at_most};
use crate::{Store, View};

/// One after the other.
pub async fn an_observer_sees_a_grant_a_release_and_an_expiry<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let free = case.observe(None).await;
    assert_eq!(free, View::default());
    let first = case.terms(LONG);
    let (waited, token) = tokio::join!(case.next(&free), async {
        // The other is waiting by then.
        sleep(GRACE).await;
        case.granted(&first).await.0
    });
    assert_eq!((waited.token, waited.held.is_some()), (Some(token), true));
    let (waited, ()) = tokio::join!(case.next(&waited), async {
        sleep(GRACE).await;
        assert!(case.release(first.nonce).await);
    });
    assert!(waited.held.is_none());
    // What has changed already is not waited for.
    let second = case.terms(TTL);
    case.granted(&second).await;
    let held = case.next(&waited).await;
    assert!(held.held.is_some() && held.token > waited.token);
    assert!(case.next(&held).await.held.is_none(), "it has expired");
}

/// As its holder named itself.
pub async fn a_view_shows_the_holder_and_what_is_left<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let terms = case.terms(LONG);
    let (token, ttl) = case.granted(&terms).await;
    let view = case.observe(None).await;
    let held = view.held.expect("it is held");
    assert_eq!((view.token, held.holder), (Some(token), terms.holder));
    assert!(held.left <= at_most(ttl) && held.left > ttl / 2, "{:?} of {ttl:?}", held.left);
}
