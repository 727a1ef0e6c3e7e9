//! The layer for any service.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use futures::{FutureExt, future::join_all, poll};
use steadfast_core::{Executed, Grounds, RefusalKind, cause, guard};
use steadfast_idempotency::{
    Claim, Codec, Fingerprint, Idempotency, IdempotencyConfig, Identify, Keyed, KeyedFuture,
    KeyedLayer, MemoryConfig, MemoryStore, NotHanded, OnAbandoned, Outcome, Reason, RecordId,
    Refused,
};
use steadfast_testkit::{BoxError, Control, Probe, Reply, contract};
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

use crate::support::{LEASE, MS};

/// Numbers in text; 500 and above cannot be kept, and 400 to 499 mean that nothing was done.
#[derive(Debug)]
struct Numbers;

impl Codec<u32> for Numbers {
    fn encode(&self, result: &u32) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        if *result < 500 { Ok(result.to_string().into()) } else { Err("too long".into()) }
    }

    fn outcome(&self, result: &u32) -> Outcome {
        if (400..500).contains(result) {
            Outcome::Release
        } else {
            self.encode(result).map_or(Outcome::NotKept, Outcome::Store)
        }
    }

    fn decode(&self, reply: Bytes) -> Result<u32, Box<dyn Error + Send + Sync>> {
        Ok(std::str::from_utf8(&reply)?.parse()?)
    }
}

/// Requests below 100 have no key. Above, the hundreds are the key, and the rest is the payload.
#[derive(Clone, Copy, Debug)]
struct Hundreds;

impl Identify<u32> for Hundreds {
    fn id(&self, request: &u32) -> Option<RecordId> {
        (*request >= 100).then(|| RecordId::new("test", (request / 100).to_be_bytes()).unwrap())
    }

    fn fingerprint(&self, request: &u32) -> Fingerprint {
        Fingerprint::of([(request % 100).to_be_bytes()])
    }
}

type Layered = Keyed<Probe, KeyedLayer<Hundreds, Numbers>>;

fn handle(config: IdempotencyConfig) -> Idempotency {
    Idempotency::new(config, MemoryStore::new(MemoryConfig::new()).unwrap()).unwrap()
}

fn layer(handle: &Idempotency) -> KeyedLayer<Hundreds, Numbers> {
    KeyedLayer::identified_by(handle.clone(), Hundreds, Numbers)
}

fn rig() -> (Idempotency, Control, Layered) {
    let (handle, probe) = (handle(IdempotencyConfig::new()), Probe::new());
    (handle.clone(), probe.control(), layer(&handle).layer(probe))
}

fn refused(result: Result<u32, BoxError>) -> Refused {
    *result.unwrap_err().downcast().expect("a refusal of the layer's")
}

#[test]
fn without_a_key_it_keeps_the_contract_of_all_layers() {
    let handle = handle(IdempotencyConfig::new());
    contract::suite(|probe| {
        // Keys of the type, of closures, and a claim to be handed on.
        let closures = KeyedLayer::new(
            handle.clone(),
            |_: &u32| None::<RecordId>,
            |_: &u32| unreachable!("no request has a key"),
            Numbers,
        );
        closures.hand_claim(|_: &mut u32, _| unreachable!("nor a claim")).layer(probe)
    });
    assert_eq!(handle.snapshot(), Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_is_called_where_it_stands_as_often_as_it_comes() {
    let (handle, control, mut service) = rig();
    for _ in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(7).await.unwrap(), 7);
    }
    let counts = control.counts();
    assert_eq!((counts.calls, counts.unready_calls, counts.clones), (3, 0, 0));
    assert_eq!(handle.snapshot().ran, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_key_runs_once_on_the_instance_that_was_made_ready() {
    let (handle, control, mut service) = rig();
    for _ in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(107).await.unwrap(), 107);
    }
    assert_eq!(service.ready().await.unwrap().call(207).await.unwrap(), 207, "another key");
    let counts = control.counts();
    assert_eq!((counts.calls, counts.unready_calls, counts.live_futures), (2, 0, 0));
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.ran, snapshot.replayed, snapshot.stored), (2, 2, 2));
    drop(service);
    assert_eq!(control.counts().live_handles, 0);
}

#[tokio::test(start_paused = true)]
async fn a_readiness_that_was_not_used_goes_back() {
    let handle = handle(IdempotencyConfig::new());
    let inner = ConcurrencyLimit::new(Probe::new(), 1);
    let service = layer(&handle).layer(inner);
    for (request, is_answered) in [(107, true), (107, true), (108, false), (207, true)] {
        let answer = timeout(60_000 * MS, service.clone().oneshot(request)).await;
        assert_eq!(answer.expect("no permit was lost").is_ok(), is_answered, "{request}");
    }
    // Nor by a call that is never polled.
    let mut other = service.clone();
    drop(other.ready().await.unwrap().call(307));
    assert!(timeout(60_000 * MS, service.oneshot(407)).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_at_any_poll_finds_the_reply_when_it_comes_back() {
    for polls in 1..6 {
        let (_, control, service) = rig();
        control.always(Reply::echo().after(3 * MS));
        let mut call = Box::pin(service.clone().oneshot(107));
        for _ in 0..polls {
            if poll!(&mut call).is_ready() {
                break;
            }
            sleep(MS).await;
        }
        drop(call);
        assert_eq!(service.oneshot(107).await.unwrap(), 107);
        let counts = control.counts();
        assert_eq!((counts.calls, counts.cancelled), (1, 0), "left after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn duplicates_that_come_together_run_once_and_another_payload_is_refused_meanwhile() {
    let (handle, control, service) = rig();
    control.always(Reply::echo().after(50 * MS));
    let calls = (0..64).map(|n| service.clone().oneshot(if n == 40 { 108 } else { 107 }));
    let answers = join_all(calls).await;
    assert_eq!(control.counts().calls, 1);
    for (n, answer) in answers.into_iter().enumerate() {
        match n {
            40 => assert_eq!(refused(answer), Refused::mismatch()),
            _ => assert_eq!(answer.unwrap(), 107),
        }
    }
    assert_eq!(handle.snapshot().replayed, 62);
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_out_as_it_is_and_frees_the_key_only_if_nothing_was_executed() {
    let (handle, control, service) = rig();
    let not_executed = || Grounds::not_executed(RefusalKind::TooMany).into();
    control.script([Reply::error_from(not_executed), Reply::error()]);
    let error = service.clone().oneshot(107).await.unwrap_err();
    assert_eq!(cause::<Grounds>(&*error).unwrap().executed, Executed::No);
    let error = service.clone().oneshot(107).await.unwrap_err();
    assert!(error.is::<steadfast_testkit::ProbeError>(), "{error}");
    assert_eq!(refused(service.oneshot(107).await), Refused::abandoned());
    let snapshot = handle.snapshot();
    assert_eq!((control.counts().calls, snapshot.released, snapshot.abandoned), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_codec_says_what_a_reply_means() {
    let (handle, control, service) = rig();
    control.script([Reply::value(404), Reply::value(200)]);
    assert_eq!(service.clone().oneshot(107).await.unwrap(), 404, "to its first caller");
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(107).await.unwrap(), 200);
    }
    control.script([Reply::value(500)]);
    assert_eq!(service.clone().oneshot(207).await.unwrap(), 500, "to its first caller");
    assert_eq!(refused(service.oneshot(207).await), Refused::not_kept());
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.released, snapshot.stored, snapshot.not_kept), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_the_codec_cannot_read_is_refused_and_nothing_runs() {
    let (handle, control, service) = rig();
    let id = Hundreds.id(&107).unwrap();
    let operation = |_: Claim| async { ((), Outcome::Store("no number".into())) };
    assert!(handle.execute(id, Hundreds.fingerprint(&107), operation).await.is_ok());
    assert_eq!(refused(service.oneshot(107).await), Refused::unreadable());
    assert_eq!(control.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_comes_out_and_its_key_is_abandoned() {
    for reply in [Reply::panic(), Reply::panic_in_call()] {
        let (handle, control, service) = rig();
        control.script([reply]);
        let call = std::panic::AssertUnwindSafe(service.clone().oneshot(107)).catch_unwind();
        assert!(call.await.is_err());
        assert_eq!(refused(service.clone().oneshot(107).await), Refused::abandoned());
        assert_eq!(service.oneshot(207).await.unwrap(), 207, "the service goes on");
        assert_eq!((handle.snapshot().panicked, control.counts().live_futures), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_is_handed_the_claim_and_sees_that_it_is_not_the_first() {
    let handle = handle(IdempotencyConfig::new().on_abandoned(OnAbandoned::Takeover));
    let seen = Arc::new(AtomicU32::new(0));
    let attempts = Arc::clone(&seen);
    let layer = KeyedLayer::new(
        handle,
        |_: &Option<Claim>| RecordId::new("test", "key").ok(),
        |_| Fingerprint::of([[]; 0]),
        Numbers,
    );
    let service = layer.hand_claim(|request: &mut Option<Claim>, claim| *request = Some(claim));
    let service = service.layer(service_fn(move |claim: Option<Claim>| {
        let attempt = claim.expect("there is a key").attempt().get();
        attempts.store(attempt, Ordering::Relaxed);
        async move { if attempt == 1 { Err(BoxError::from("half done")) } else { Ok(attempt) } }
    }));
    assert!(service.clone().oneshot(None).await.is_err());
    sleep(LEASE).await;
    assert_eq!(service.oneshot(None).await.unwrap(), 2);
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_is_wrapped_and_a_refusal_stands_beside_it() {
    let handle = handle(IdempotencyConfig::new());
    let service = guard(layer(&handle)).layer(service_fn(|request: u32| async move {
        if request == 107 { Ok(request) } else { Err(std::io::Error::other("broken")) }
    }));
    assert_eq!(service.clone().oneshot(107).await.unwrap(), 107);
    let refused = service.clone().oneshot(108).await.unwrap_err();
    assert_eq!(cause::<Refused>(&refused).unwrap().reason, Reason::Mismatch);
    let error = service.oneshot(200).await.unwrap_err();
    assert_eq!(cause::<std::io::Error>(&error).unwrap().to_string(), "broken");
}

#[test]
fn the_types_can_be_named_shared_and_spawned() {
    fn shared<T: Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    fn spawnable<T: std::fmt::Debug + Send + 'static>(_: &T) {}

    let layer: KeyedLayer<Hundreds, Numbers, NotHanded> = layer(&handle(IdempotencyConfig::new()));
    assert_eq!(layer.handle().name(), "default");
    let inner = service_fn(|request: u32| std::future::ready(Ok::<_, BoxError>(request)));
    let mut service = Keyed::new(inner, layer);
    shared(&service);
    let call: KeyedFuture<_> = service.call(107);
    spawnable(&call);
    let _ = service.get_ref();
    let _ = service.get_mut();
    assert_eq!(service.into_inner().call(1).into_inner().unwrap(), 1);
}
