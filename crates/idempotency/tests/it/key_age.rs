//! Keys that are older than records are kept.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use steadfast_core::ManualWallClock;
use steadfast_idempotency::{
    Answer, Claim, Idempotency, IdempotencyConfig, Outcome, RecordId, Refused,
};

use crate::support::{Faulty, print};

const HOUR: Duration = Duration::from_secs(3600);
/// RFC 9562, appendix A.6.
const KEY: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
const MADE_MS: u64 = 1_645_557_742_000;

/// A handle, its store, and a clock at the time of the key.
fn handle(config: IdempotencyConfig) -> (Idempotency, Faulty, Arc<ManualWallClock>) {
    let clock = Arc::new(ManualWallClock::new(UNIX_EPOCH + Duration::from_millis(MADE_MS)));
    let store = Faulty::new();
    let handle = Idempotency::with_wall_clock(config, store.clone(), Arc::clone(&clock));
    (handle.unwrap(), store, clock)
}

async fn ask(handle: &Idempotency, key: &str) -> Result<Answer<()>, Refused> {
    let operation = |_: Claim| async { ((), Outcome::Store("ok".into())) };
    handle.execute(RecordId::new("alice", key).unwrap(), print(1), operation).await
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_old_is_refused_before_the_store_is_asked() {
    let (handle, store, clock) = handle(IdempotencyConfig::new().max_key_age(23 * HOUR));
    clock.advance(23 * HOUR);
    assert_eq!(ask(&handle, KEY).await, Ok(Answer::Executed(())), "not older than that");
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&handle, KEY).await, Err(Refused::key_too_old()), "also where it is on record");
    assert_eq!((store.calls("claim"), handle.snapshot().refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn other_keys_and_those_of_the_future_are_taken_as_they_come() {
    let (handle, _, clock) = handle(IdempotencyConfig::new().max_key_age(HOUR));
    clock.advance(1000 * HOUR);
    let version_4 = KEY.replace("-7", "-4");
    for key in ["7f3a", &version_4] {
        assert_eq!(ask(&handle, key).await, Ok(Answer::Executed(())), "{key}");
    }
    clock.set(UNIX_EPOCH);
    assert_eq!(ask(&handle, KEY).await, Ok(Answer::Executed(())));
}

#[tokio::test(start_paused = true)]
async fn unless_it_is_asked_for_no_key_is_too_old() {
    let (handle, _, clock) = handle(IdempotencyConfig::new());
    clock.advance(100_000 * HOUR);
    assert_eq!(ask(&handle, KEY).await, Ok(Answer::Executed(())));
}
