//! What every store must do, as tests: one `async fn` for each promise, over a factory of stores.
//!
//! [`store_contract!`](crate::store_contract) names a test for each, with the attributes that it is
//! given. The stores may share their records: each promise takes keys of its own.
//!
//! ```
//! // In `tests/` of a crate that has a store, with the feature `contract`.
//! mod memory {
//!     use steadfast_idempotency::{MemoryConfig, MemoryStore};
//!
//!     steadfast_idempotency::store_contract! {
//!         #[tokio::test(start_paused = true)]
//!         async || MemoryStore::new(MemoryConfig::new()).unwrap()
//!     }
//! }
//! ```
//!
//! Leases end by the passing of time: a store that counts real time is tested on real time and
//! takes some seconds. Every promise panics where it is broken.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use steadfast_core::parts::Splitter;

use crate::{
    Change, ClaimReply, ClaimTerms, ClaimToken, Fingerprint, OnAbandoned, RecordId, Slot, Store,
    ViewState,
};

mod edges;
mod leases;
mod races;

pub use self::{edges::*, leases::*, races::*};

/// Names a test for each promise of the [`contract`](crate::contract).
#[macro_export]
macro_rules! store_contract {
    ($(#[$attribute:meta])+ $factory:expr) => {
        $crate::store_contract! { @each [$(#[$attribute])+] [$factory]
            a_claim_is_granted_once
            a_claim_repeated_with_its_token_is_the_same_claim
            a_claim_that_arrives_again_after_its_end_runs_nothing
            another_payload_is_told_so_in_every_state
            a_completion_may_be_repeated_and_the_first_reply_stays
            a_reply_comes_back_byte_for_byte
            a_release_frees_the_key_and_may_be_repeated
            an_abandoned_key_is_refused_or_taken_over_after_its_lease
            a_claims_record_outlives_its_lease
            a_renewed_claim_outlives_its_first_lease
            an_owner_that_is_late_keeps_its_claim_until_it_is_taken_over
            a_zombie_changes_nothing
            a_release_after_a_takeover_keeps_payload_and_attempts
            a_record_that_has_expired_is_as_if_it_had_never_been
            neither_scopes_nor_keys_are_confused
            an_operator_looks_and_forgets
            of_many_racers_one_is_granted_the_claim
            whatever_comes_in_a_row_is_answered_as_by_a_slot
            what_is_done_is_kept_for_the_retention_of_its_completion
            a_record_lives_as_long_as_the_last_word_of_its_owner_asks
            no_word_cuts_short_what_another_has_asked_for
            an_owner_that_is_late_can_say_how_it_ended
            payloads_and_tokens_are_told_apart_by_every_byte
            leases_and_retentions_of_ten_years_are_held
            a_lease_is_no_shorter_than_it_was_asked_for
            a_span_of_nothing_is_over_at_once_and_one_without_an_end_is_held
            a_call_that_is_dropped_is_applied_or_not_and_holds_up_no_other
            of_a_late_owner_and_a_taker_only_one_is_answered
            of_many_racers_for_what_has_ended_one_is_granted_it
            a_purge_takes_nothing_that_was_claimed_meanwhile
            a_census_finds_what_is_in_flight_and_what_is_abandoned
        }
    };
    (@each $attributes:tt $factory:tt $($promise:ident)+) => {
        $($crate::store_contract! { @one $attributes $factory $promise })+
    };
    (@one [$($attribute:tt)+] [$factory:expr] $promise:ident) => {
        $($attribute)+
        async fn $promise() {
            $crate::contract::$promise($factory).await;
        }
    };
}

/// Short enough to be waited for, and longer than a store on a busy machine takes for the few
/// operations that must come within it.
const LEASE: Duration = Duration::from_millis(1500);
/// What must not end during a test.
const LONG: Duration = Duration::from_secs(3600);
/// By how much the clocks of a store and its test may be apart, and a store's rounding.
const GRACE: Duration = Duration::from_millis(100);

/// Keys and tokens that no other test has, in this process or in another that uses the same
/// server.
struct Case<S> {
    store: S,
    rng: SmallRng,
    id: RecordId,
}

static SPLITTER: AtomicU64 = AtomicU64::new(0);

impl<S: Store> Case<S> {
    async fn of(factory: impl AsyncFn() -> S) -> Self {
        // From the entropy of the process, and a number in it.
        let seed = Splitter::from_entropy().split_seed() ^ SPLITTER.fetch_add(1, Ordering::Relaxed);
        let mut rng = SmallRng::seed_from_u64(seed);
        let id = some_id(&mut rng);
        Self { store: factory().await, rng, id }
    }

    fn terms(&mut self) -> ClaimTerms {
        ClaimTerms {
            token: ClaimToken::generate(&mut self.rng),
            fingerprint: Fingerprint::of(["the payload"]),
            lease: LONG,
            retention: LONG,
            on_abandoned: OnAbandoned::Refuse,
        }
    }

    fn taker(&mut self) -> ClaimTerms {
        ClaimTerms { on_abandoned: OnAbandoned::Takeover, ..self.terms() }
    }

    fn other_payload(&mut self) -> ClaimTerms {
        ClaimTerms { fingerprint: Fingerprint::of(["another payload"]), ..self.taker() }
    }

    async fn claim(&self, terms: &ClaimTerms) -> ClaimReply {
        self.store.claim(&self.id, terms).await.expect("claim")
    }

    /// A claim that is granted, as the `attempt`th.
    async fn claimed(&self, terms: &ClaimTerms, attempt: u32) {
        assert_eq!(self.claim(terms).await, granted(attempt));
    }

    async fn in_flight(&self, terms: &ClaimTerms) -> Duration {
        match self.claim(terms).await {
            ClaimReply::InFlight { left } => left,
            other => panic!("{other:?}, but it is in flight"),
        }
    }

    async fn complete(&self, token: ClaimToken, reply: &'static str) -> Change {
        self.store.complete(&self.id, token, reply.into(), LONG).await.expect("complete")
    }

    async fn release(&self, token: ClaimToken) -> Change {
        self.store.release(&self.id, token).await.expect("release")
    }

    async fn abandon(&self, token: ClaimToken) -> Change {
        self.store.abandon(&self.id, token, LONG).await.expect("abandon")
    }

    async fn renew(&self, token: ClaimToken, lease: Duration) -> Change {
        self.store.renew(&self.id, token, lease, LONG).await.expect("renew")
    }

    async fn look(&self) -> Option<crate::View> {
        self.store.look(&self.id).await.expect("look")
    }

    /// A claim of a short lease that is granted, and whose lease ends without a word.
    async fn lapsed(&mut self) -> ClaimTerms {
        let terms = ClaimTerms { lease: LEASE, ..self.terms() };
        self.claimed(&terms, 1).await;
        pass(LEASE + GRACE).await;
        terms
    }
}

fn some_id(rng: &mut SmallRng) -> RecordId {
    let mut key = [0; 16];
    rng.fill_bytes(&mut key);
    RecordId::new("steadfast contract", key).expect("neither empty nor long")
}

fn granted(attempt: u32) -> ClaimReply {
    ClaimReply::Claimed { attempt: NonZeroU32::new(attempt).expect("attempts begin at 1") }
}

fn done(reply: &'static str) -> ClaimReply {
    ClaimReply::Done { reply: reply.into() }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A second claim is told that the first is in flight, and what is left of its lease.
pub async fn a_claim_is_granted_once<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, second, taker) = (case.terms(), case.terms(), case.taker());
    case.claimed(&first, 1).await;
    for terms in [second, taker] {
        let left = case.in_flight(&terms).await;
        assert!(left <= LONG && left > LONG - LEASE, "{left:?}");
    }
}

/// Its reply may have been lost. The lease begins anew.
pub async fn a_claim_repeated_with_its_token_is_the_same_claim<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(), case.terms());
    // Also where the lease has ended, as long as no other has taken over.
    case.claimed(&ClaimTerms { lease: Duration::from_millis(1), ..first }, 1).await;
    pass(GRACE).await;
    case.claimed(&ClaimTerms { lease: LEASE, ..first }, 1).await;
    for _ in 0..2 {
        case.claimed(&first, 1).await;
    }
    assert!(case.in_flight(&second).await > LEASE);
    assert_eq!(case.complete(first.token, "ok").await, Change::Applied);
}

/// A claim on a slow way, behind its own completion or the word that it is abandoned.
pub async fn a_claim_that_arrives_again_after_its_end_runs_nothing<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let completed = case.terms();
    case.claimed(&completed, 1).await;
    assert_eq!(case.complete(completed.token, "ok").await, Change::Applied);
    assert_eq!(case.claim(&completed).await, done("ok"));

    case.id = some_id(&mut case.rng);
    let abandoned = ClaimTerms { lease: Duration::from_millis(1), ..case.taker() };
    case.claimed(&abandoned, 1).await;
    assert_eq!(case.abandon(abandoned.token).await, Change::Applied);
    pass(GRACE).await;
    assert_eq!(case.claim(&abandoned).await, ClaimReply::Abandoned);
}

/// In flight, done, abandoned, and past its lease; also by the owner's own token.
pub async fn another_payload_is_told_so_in_every_state<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (owner, other) = (case.terms(), case.other_payload());
    case.claimed(&owner, 1).await;
    assert_eq!(case.claim(&other).await, ClaimReply::Mismatch, "in flight");
    let own = ClaimTerms { token: owner.token, ..other };
    assert_eq!(case.claim(&own).await, ClaimReply::Mismatch, "by its own token");
    assert_eq!(case.abandon(owner.token).await, Change::Applied);
    assert_eq!(case.claim(&other).await, ClaimReply::Mismatch, "abandoned");
    assert_eq!(case.complete(owner.token, "ok").await, Change::Applied);
    assert_eq!(case.claim(&other).await, ClaimReply::Mismatch, "done");
}

/// A repeated completion is the same completion.
pub async fn a_completion_may_be_repeated_and_the_first_reply_stays<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let (owner, duplicate) = (case.terms(), case.terms());
    case.claimed(&owner, 1).await;
    for reply in ["first", "second"] {
        assert_eq!(case.complete(owner.token, reply).await, Change::Applied);
    }
    assert_eq!(case.claim(&duplicate).await, done("first"));
    // What is done is neither released nor abandoned nor renewed.
    assert_eq!(case.release(owner.token).await, Change::Lost);
    assert_eq!(case.abandon(owner.token).await, Change::Lost);
    assert_eq!(case.renew(owner.token, LONG).await, Change::Lost);
    assert_eq!(case.claim(&duplicate).await, done("first"));
}

/// For any payload, as if there had never been a claim.
pub async fn a_release_frees_the_key_and_may_be_repeated<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (owner, other) = (case.terms(), case.other_payload());
    case.claimed(&owner, 1).await;
    for _ in 0..2 {
        assert_eq!(case.release(owner.token).await, Change::Applied);
    }
    case.claimed(&other, 1).await;
    assert_eq!(case.release(owner.token).await, Change::Lost, "it is another's now");
    case.in_flight(&ClaimTerms { token: owner.token, ..other }).await;
}

/// What an operator sees is what a claim would meet; what is forgotten can be claimed anew.
pub async fn an_operator_looks_and_forgets<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (owner, other) = (case.terms(), case.other_payload());
    assert_eq!(case.look().await, None);
    case.claimed(&owner, 1).await;
    let view = case.look().await.expect("it is there");
    assert!(matches!(view.state, ViewState::InFlight { left } if left <= LONG), "{view:?}");
    assert_eq!((view.attempt.get(), view.fingerprint), (1, owner.fingerprint));
    assert!(view.age < LEASE && view.expires_in > LONG, "{view:?}");
    assert_eq!(case.complete(owner.token, "ok").await, Change::Applied);
    let view = case.look().await.expect("it is there");
    assert_eq!(view.state, ViewState::Done { reply: "ok".into() });
    assert!(view.expires_in <= LONG && view.expires_in > LONG - LEASE, "{view:?}");

    assert!(case.store.forget(&case.id).await.expect("forget"));
    assert!(!case.store.forget(&case.id).await.expect("forget"), "it is gone");
    assert_eq!(case.complete(owner.token, "late").await, Change::Lost);
    case.claimed(&other, 1).await;
}

/// Three clients and 400 operations, of which no lease sees the end.
pub async fn whatever_comes_in_a_row_is_answered_as_by_a_slot<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let (mut slot, now) = (Slot::default(), Duration::ZERO);
    let mut held = [case.terms(), case.taker(), case.other_payload()];
    for n in 0..400_u32 {
        let client = case.rng.random_range(0..held.len());
        let terms = &mut held[client];
        let (token, reply) = (terms.token, Bytes::from(n.to_string()));
        let at = format!("operation {n}, of client {client}");
        match case.rng.random_range(0..12) {
            new @ 0..6 => {
                if new < 3 {
                    terms.token = ClaimToken::generate(&mut case.rng);
                }
                let terms = *terms;
                match (case.claim(&terms).await, slot.claim(&terms, now)) {
                    (ClaimReply::InFlight { .. }, ClaimReply::InFlight { .. }) => {}
                    (answered, expected) => assert_eq!(answered, expected, "{at}: claim"),
                }
            }
            6 => assert_eq!(
                case.renew(token, LONG).await,
                slot.renew(token, LONG, LONG, now),
                "{at}: renew"
            ),
            7 | 8 => {
                let change = case.store.complete(&case.id, token, reply.clone(), LONG).await;
                let expected = slot.complete(token, reply, LONG, now);
                assert_eq!(change.expect("complete"), expected, "{at}: complete");
            }
            9 => assert_eq!(case.release(token).await, slot.release(token, now), "{at}: release"),
            10 => assert_eq!(
                case.abandon(token).await,
                slot.abandon(token, LONG, now),
                "{at}: abandon"
            ),
            _ => {
                let forgotten = case.store.forget(&case.id).await.expect("forget");
                assert_eq!(forgotten, slot.forget(now), "{at}: forget");
            }
        }
    }
}
