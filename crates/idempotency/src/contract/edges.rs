//! The promises at the edges of what can be asked.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use tokio::time::timeout;

use super::{Case, GRACE, LEASE, LONG, done, granted, some_id};
use crate::{Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, RecordId, Store};

/// Empty, with every byte there is, and as long as a handle keeps one by default, with its frame.
pub async fn a_reply_comes_back_byte_for_byte<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let every: Vec<u8> = (0..=255).collect();
    for reply in
        [Bytes::new(), every.clone().into(), [&every.repeat(4096)[..], &[7; 12]].concat().into()]
    {
        case.id = some_id(&mut case.rng);
        let (owner, duplicate) = (case.terms(), case.terms());
        case.claimed(&owner, 1).await;
        let change = case.store.complete(&case.id, owner.token, reply.clone(), LONG).await;
        assert_eq!(change.expect("complete"), Change::Applied);
        assert_eq!(case.claim(&duplicate).await, ClaimReply::Done { reply });
    }
}

/// Tenant A's record never answers B: wherever a separator could stand, whatever a database makes
/// of cases, spaces, zeros and bytes that are no text, and however late two names part.
pub async fn neither_scopes_nor_keys_are_confused<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let unique = case.rng.next_u64().to_string();
    let long = |end| [&[b'k'; 500][..], end].concat();
    let ids: Vec<_> = [
        (&b"a"[..], &b"b:c"[..]),
        (b"a:", b"b:c"),
        (b"a:b", b"c"),
        (b"", b"a:b:c"),
        (b"A", b"b:c"),
        (b"a", b"B:c"),
        (b"a\0", b"b:c"),
        (b"a", b"b:c\0"),
        (b"a", b"b:c "),
        (b"a", b" b:c"),
        (b"a", b"\xff"),
        (b"a", b"\xfe"),
        (b"a", b"\xef\xbf\xbd"),
        (b"\xff", b"b"),
        (b"\xfe", b"b"),
        (b"a", "\u{e9}".as_bytes()),
        (b"a", "e\u{301}".as_bytes()),
        (b"a", &long(b"1")),
        (b"a", &long(b"2")),
        (&long(b"1"), b"b"),
        (&long(b"2"), b"b"),
    ]
    .into_iter()
    .map(|(scope, key)| RecordId::new([unique.as_bytes(), scope].concat(), key))
    .collect::<Result<_, _>>()
    .expect("neither empty nor long");
    for (n, id) in ids.iter().enumerate() {
        case.id = id.clone();
        let owner = case.terms();
        case.claimed(&owner, 1).await;
        let reply = Bytes::from(n.to_string());
        let change = case.store.complete(id, owner.token, reply, LONG).await.expect("complete");
        assert_eq!(change, Change::Applied);
    }
    for (n, id) in ids.into_iter().enumerate() {
        case.id = id;
        let duplicate = case.terms();
        assert_eq!(case.claim(&duplicate).await, ClaimReply::Done { reply: n.to_string().into() });
    }
}

/// One bit less that is compared is one bit more that a client may choose.
pub async fn payloads_and_tokens_are_told_apart_by_every_byte<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let owner = case.terms();
    case.claimed(&owner, 1).await;
    for at in 0..32 {
        let mut print = owner.fingerprint.to_bytes();
        print[at] ^= 1;
        let other = ClaimTerms { fingerprint: Fingerprint::from_bytes(print), ..case.taker() };
        assert_eq!(case.claim(&other).await, ClaimReply::Mismatch, "byte {at}");
    }
    for at in 0..16 {
        let mut token = owner.token.to_bytes();
        token[at] ^= 0x80;
        let token = ClaimToken::from_bytes(token);
        let other = ClaimTerms { token, ..case.taker() };
        case.in_flight(&other).await;
        assert_eq!(case.complete(token, "forged").await, Change::Lost, "byte {at}");
        assert_eq!(case.release(token).await, Change::Lost, "byte {at}");
    }
    assert_eq!(case.complete(owner.token, "ok").await, Change::Applied);
}

/// The longest that a configuration may ask for; and the shortest lease is over, and no more.
pub async fn leases_and_retentions_of_ten_years_are_held<S: Store>(factory: impl AsyncFn() -> S) {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
    let mut case = Case::of(factory).await;
    let owner = ClaimTerms { lease: TEN_YEARS, retention: TEN_YEARS, ..case.terms() };
    let taker = case.taker();
    case.claimed(&owner, 1).await;
    let left = case.in_flight(&taker).await;
    assert!(left <= TEN_YEARS && left > TEN_YEARS - LEASE, "{left:?}");
    let view = case.look().await.expect("it is there");
    assert!(view.expires_in > 2 * TEN_YEARS - LEASE, "{view:?}");
    let renewed = case.store.renew(&case.id, owner.token, TEN_YEARS, TEN_YEARS).await;
    assert_eq!(renewed.expect("renew"), Change::Applied);
    let completed = case.store.complete(&case.id, owner.token, "ok".into(), TEN_YEARS).await;
    assert_eq!(completed.expect("complete"), Change::Applied);
    let view = case.look().await.expect("it is there");
    assert!(view.expires_in <= TEN_YEARS && view.expires_in > TEN_YEARS - LEASE, "{view:?}");
    assert_eq!(case.claim(&taker).await, done("ok"));
}

/// However coarse the store counts.
pub async fn a_lease_is_no_shorter_than_it_was_asked_for<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    for lease in [LONG + Duration::from_millis(900), LONG + Duration::from_nanos(1)] {
        case.id = some_id(&mut case.rng);
        let (owner, duplicate) = (ClaimTerms { lease, ..case.terms() }, case.terms());
        let began = tokio::time::Instant::now();
        case.claimed(&owner, 1).await;
        let left = case.in_flight(&duplicate).await;
        let passed = tokio::time::Instant::now() - began;
        assert!(left <= lease + GRACE && left + passed + GRACE > lease, "{left:?} of {lease:?}");
    }
}

/// A claim that is made and completed in one transaction asks for no lease. Zero is not *no limit*,
/// and no limit is not an overflow.
pub async fn a_span_of_nothing_is_over_at_once_and_one_without_an_end_is_held<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    const YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);
    let (zero, max) = (Duration::ZERO, Duration::MAX);
    let mut case = Case::of(factory).await;
    let no_lease = ClaimTerms { lease: zero, ..case.terms() };
    let (taker, other, duplicate) = (case.taker(), case.other_payload(), case.terms());
    case.claimed(&no_lease, 1).await;
    assert_eq!(case.claim(&duplicate).await, ClaimReply::Abandoned);
    case.claimed(&taker, 2).await;
    let completed = case.store.complete(&case.id, taker.token, "ok".into(), zero).await;
    assert_eq!(completed.expect("complete"), Change::Applied);
    assert_eq!(case.look().await, None);
    case.claimed(&other, 1).await;

    case.id = some_id(&mut case.rng);
    case.claimed(&ClaimTerms { retention: zero, ..no_lease }, 1).await;
    case.claimed(&other, 1).await;

    case.id = some_id(&mut case.rng);
    let endless = ClaimTerms { lease: max, retention: max, ..case.terms() };
    case.claimed(&endless, 1).await;
    assert!(case.in_flight(&taker).await >= YEARS);
    let renewed = case.store.renew(&case.id, endless.token, max, max).await;
    assert_eq!(renewed.expect("renew"), Change::Applied);
    assert!(case.in_flight(&taker).await >= YEARS);
    let completed = case.store.complete(&case.id, endless.token, "ok".into(), max).await;
    assert_eq!(completed.expect("complete"), Change::Applied);
    assert!(case.look().await.is_some_and(|view| view.expires_in >= YEARS));
    assert_eq!(case.claim(&taker).await, done("ok"));
}

/// Its caller may leave at any moment: what it held, a lock or a connection, is free again.
pub async fn a_call_that_is_dropped_is_applied_or_not_and_holds_up_no_other<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    for limit in [0, 50, 100, 200, 500, 1000, 3000] {
        let limit = Duration::from_micros(limit);
        case.id = some_id(&mut case.rng);
        let (owner, duplicate) = (case.terms(), case.terms());
        let _ = timeout(limit, case.store.claim(&case.id, &owner)).await;
        let claimed = timeout(10 * LEASE, case.claim(&owner)).await;
        assert_eq!(claimed, Ok(granted(1)), "claim, left after {limit:?}");
        let _ = timeout(limit, case.store.renew(&case.id, owner.token, LONG, LONG)).await;
        let _ = timeout(limit, case.store.complete(&case.id, owner.token, "ok".into(), LONG)).await;
        let completed = timeout(10 * LEASE, case.complete(owner.token, "ok")).await;
        assert_eq!(completed, Ok(Change::Applied), "complete, left after {limit:?}");
        let _ = timeout(limit, case.store.look(&case.id)).await;
        assert_eq!(case.claim(&duplicate).await, done("ok"));
        let _ = timeout(limit, case.store.forget(&case.id)).await;
        let forgotten = timeout(10 * LEASE, case.store.forget(&case.id)).await;
        forgotten.expect("in time").expect("forget");
        assert_eq!(case.look().await, None);
    }
}

/// Of a store that can count: a key whose lease has ended counts as abandoned, with no word of its
/// owner's.
///
/// Other tests may have keys in the store, so that this cannot see where too many are counted.
pub async fn a_census_finds_what_is_in_flight_and_what_is_abandoned<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    if case.store.census().await.expect("census").is_none() {
        return;
    }
    let began = tokio::time::Instant::now();
    const EACH: u64 = 40;
    for n in 0..3 * EACH {
        case.id = some_id(&mut case.rng);
        let mut owner = case.terms();
        if n % 3 == 1 {
            owner.lease = LEASE;
        }
        case.claimed(&owner, 1).await;
        if n % 3 == 2 {
            let change = case.store.abandon(&case.id, owner.token, LONG).await;
            assert_eq!(change.expect("abandon"), Change::Applied);
        }
    }
    let all_are_claimed = tokio::time::Instant::now();
    tokio::time::sleep(LEASE + GRACE).await;
    let census = case.store.census().await.expect("census").expect("it could count before");
    assert!(census.in_flight >= EACH && census.abandoned >= 2 * EACH, "{census:?}");
    let (least, most) = (all_are_claimed - began + LEASE, LONG + LONG);
    assert!(census.oldest.is_some_and(|age| age >= least && age <= most), "{census:?}");
}
