//! The shape every crate of the house has. Most of it is checked by the compiler.

use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use steadfast_core::{Executed, Refusal, RefusalKind, cause};
use steadfast_idempotency::{
    AsBytes, Idempotency, IdempotencyConfig, IdempotencySnapshot, MemoryConfig, MemoryStore,
    OnAbandoned, Reason, Refused,
};

use crate::support::{Failed, MS, id, print};

fn shared<T: Send + Sync + 'static>(_: &T) {}

fn spawnable<T: Future + Send + 'static>(future: T) -> T {
    future
}

fn store() -> MemoryStore {
    MemoryStore::new(MemoryConfig::new()).unwrap()
}

#[tokio::test]
async fn configuration_handle_run() {
    let config = IdempotencyConfig::new()
        .named("payments")
        .lease(Duration::from_secs(10))
        .retention(Duration::from_secs(3600))
        .on_abandoned(OnAbandoned::Takeover)
        .wait(Duration::ZERO)
        .retry_after(MS)
        .most_in_flight(NonZeroUsize::MIN)
        .most_waiting(0)
        .most_reply_bytes(0)
        .store_limit(MS);
    let handle = Idempotency::new(config.clone(), store()).unwrap();
    shared(&(config, handle.clone()));
    assert_eq!(
        (handle.name(), &*format!("{handle:?}")),
        ("payments", r#"Idempotency { name: "payments", .. }"#)
    );
    assert_eq!(handle.snapshot(), IdempotencySnapshot::default());
    let run = move || {
        let handle = handle.clone();
        let operation = |_| async { Ok::<_, Failed>(Bytes::new()) };
        spawnable(async move { handle.run(id(), print(1), AsBytes, operation).await })
    };
    assert_eq!(tokio::spawn(run()).await.unwrap().unwrap(), Bytes::new());
}

#[test]
fn a_number_that_cannot_work_is_refused_with_its_setter() {
    let long = Duration::from_secs(400_000_000);
    let config = IdempotencyConfig::new;
    for (config, field) in [
        (config().lease(9 * MS), "lease"),
        (config().lease(long), "lease"),
        (config().retention(Duration::ZERO), "retention"),
        (config().retention(long), "retention"),
        (config().max_key_age(Duration::ZERO), "max_key_age"),
        (config().max_key_age(Duration::from_secs(86_401)), "max_key_age"),
        (config().wait(long), "wait"),
        (config().store_limit(Duration::ZERO), "store_limit"),
        (config().store_limit(Duration::from_secs(31)), "store_limit"),
        (config().most_reply_bytes(1 << 32), "most_reply_bytes"),
    ] {
        assert_eq!(Idempotency::new(config, store()).unwrap_err().field, field);
    }
}

#[test]
fn each_refusal_has_its_grounds_in_the_chain_of_its_error() {
    use Executed::{Maybe, No};
    use RefusalKind::{
        Conflict, Malformed, RequestTimeout, Stale, TooLarge, TooMany, Unacceptable, Unavailable,
    };
    for (refused, kind, executed, after) in [
        (Refused::in_flight(MS), Conflict, Maybe, Some(MS)),
        (Refused::mismatch(), Unacceptable, No, None),
        (Refused::abandoned(), Conflict, Maybe, None),
        (Refused::not_kept(), Conflict, Maybe, None),
        (Refused::lost(MS), Conflict, Maybe, Some(MS)),
        (Refused::full(), TooMany, No, None),
        (Refused::shut_down(No), Unavailable, No, None),
        (Refused::shut_down(Maybe), Unavailable, Maybe, None),
        (Refused::store(), Unavailable, No, None),
        (Refused::unreadable(), Conflict, Maybe, None),
        (Refused::key_too_old(), Stale, Maybe, None),
        (Refused::malformed_key(), Malformed, No, None),
        (Refused::missing_key(), Malformed, No, None),
        (Refused::no_principal(), Malformed, No, None),
        (Refused::scope_too_long(), Malformed, No, None),
        (Refused::body_too_large(), TooLarge, No, None),
        (Refused::body_timeout(), RequestTimeout, No, None),
        (Refused::body_failed(), Malformed, No, None),
        (Refused::streaming(), Malformed, No, None),
    ] {
        let grounds = refused.grounds();
        assert_eq!((grounds.kind, grounds.executed, grounds.retry_after), (kind, executed, after));
        assert_eq!(cause::<steadfast_core::Grounds>(&refused), Some(&grounds));
        assert_eq!(refused.to_string(), refused.reason.to_string());
    }
    let full = Refused::full().reason;
    assert!(full == Reason::Full && !full.to_string().is_empty());
}
