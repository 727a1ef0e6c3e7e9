//! What every store must do, as tests: one `async fn` for each promise, over a factory of stores.
//!
//! [`lease_contract!`](crate::lease_contract) names a test for each, with the attributes that it is
//! given. The stores may share their leases: each promise takes names of its own.
//!
//! ```
//! // In `tests/` of a crate that has a store, with the feature `contract`.
//! mod memory {
//!     use steadfast_core::BootClock;
//!     use steadfast_lease::{MemoryConfig, MemoryStore};
//!
//!     steadfast_lease::lease_contract! {
//!         #[tokio::test(start_paused = true)]
//!         async || MemoryStore::new(MemoryConfig::new().clock(BootClock::tokio())).unwrap()
//!     }
//! }
//! ```
//!
//! Leases end by the passing of time: a store that counts real time is tested on real time and
//! takes some seconds. Every promise panics where it is broken.

use std::{sync::Arc, time::Duration};

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use steadfast_core::parts::Splitter;
use tokio::time::{sleep, timeout};

use crate::{
    AcquireReply, AcquireTerms, FencingToken, HolderName, LeaseName, Margin, Nonce, RenewReply,
    Slot, Store, View,
};

mod ends;
mod views;

pub use self::{ends::*, views::*};

/// Names a test for each promise of the [`contract`](crate::contract).
#[macro_export]
macro_rules! lease_contract {
    ($(#[$attribute:meta])+ $factory:expr) => {
        $crate::lease_contract! { @each [$(#[$attribute])+] [$factory]
            a_lease_is_granted_once
            an_acquisition_repeated_with_its_nonce_is_the_same_grant
            the_tokens_of_a_name_increase
            a_token_is_above_its_floor
            names_are_not_confused
            a_taker_obeys_the_ttl_that_was_granted
            a_lease_expires_and_is_over
            a_renewed_lease_outlives_its_first_ttl
            a_renewal_needs_the_nonce
            a_release_needs_the_nonce_and_frees_at_once
            a_release_after_the_loss_frees_no_successor
            an_observer_sees_a_grant_a_release_and_an_expiry
            a_view_shows_the_holder_and_what_is_left
            of_many_racers_one_is_granted_the_lease
            a_call_that_is_dropped_breaks_nothing
            whatever_comes_in_a_row_is_answered_as_by_a_slot
        }
    };
    (@each $attributes:tt $factory:tt $($promise:ident)+) => {
        $($crate::lease_contract! { @one $attributes $factory $promise })+
    };
    (@one [$($attribute:tt)+] [$factory:expr] $promise:ident) => {
        $($attribute)+
        async fn $promise() {
            $crate::contract::$promise($factory).await;
        }
    };
}

/// Short enough to be waited for, and longer than a store on a busy machine takes for the few
/// operations that must come within it. A store may grant more.
const TTL: Duration = Duration::from_millis(1500);
/// What must not end during a test.
const LONG: Duration = Duration::from_secs(3600);
/// By how much the clocks of a store and its test may be apart, and a store's rounding.
const GRACE: Duration = Duration::from_millis(100);
/// How late a store may notice that a lease has ended: it is granted no sooner, and somewhat later.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// How late an observer may learn of a change.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// What may be left of a lease at most: a store without a clock of its own has it watched for the
/// margin as well.
fn at_most(ttl: Duration) -> Duration {
    Margin::new().vigil(ttl) + GRACE
}

/// A name that no other test has, in this process or in another that uses the same server.
struct Case<S> {
    store: S,
    rng: SmallRng,
    name: LeaseName,
}

impl<S: Store> Case<S> {
    async fn of(factory: impl AsyncFn() -> S) -> Self {
        let mut rng = SmallRng::seed_from_u64(Splitter::from_entropy().split_seed());
        let name = some_name(&mut rng, "");
        Self { store: factory().await, rng, name }
    }

    fn terms(&mut self, ttl: Duration) -> AcquireTerms {
        let holder = format!("holder {:x}", self.rng.next_u32());
        AcquireTerms {
            nonce: Nonce::generate(&mut self.rng),
            holder: HolderName::new(holder).expect("it is short"),
            ttl,
            floor: None,
        }
    }

    async fn acquire(&self, terms: &AcquireTerms) -> AcquireReply {
        self.store.acquire(&self.name, terms).await.expect("acquire")
    }

    /// A grant, and how long it lasts.
    async fn granted(&self, terms: &AcquireTerms) -> (FencingToken, Duration) {
        match self.acquire(terms).await {
            AcquireReply::Granted { token, ttl } => {
                assert!(ttl > Duration::ZERO, "a grant of nothing");
                (token, ttl)
            }
            held @ AcquireReply::Held { .. } => panic!("{held:?}, but it is free"),
        }
    }

    /// A grant behind one that has ended, as soon as the store has noticed that.
    async fn granted_soon(&self, terms: &AcquireTerms) -> (FencingToken, Duration) {
        let granted = async {
            loop {
                match self.acquire(terms).await {
                    AcquireReply::Granted { token, ttl } => return (token, ttl),
                    AcquireReply::Held { .. } => sleep(GRACE / 2).await,
                }
            }
        };
        timeout(NOTICED_WITHIN, granted).await.expect("the lease has ended, and is granted")
    }

    /// What is left of it, and who holds it.
    async fn held(&self, terms: &AcquireTerms) -> (Duration, HolderName) {
        match self.acquire(terms).await {
            AcquireReply::Held { left, holder } => (left, holder),
            granted @ AcquireReply::Granted { .. } => panic!("{granted:?}, but another holds it"),
        }
    }

    async fn renew(&self, nonce: Nonce) -> RenewReply {
        self.store.renew(&self.name, nonce).await.expect("renew")
    }

    async fn release(&self, nonce: Nonce) -> bool {
        self.store.release(&self.name, nonce).await.expect("release")
    }

    async fn observe(&self, seen: Option<&View>) -> View {
        let view = self.store.observe(&self.name, seen);
        timeout(SEEN_WITHIN, view).await.expect("a change is seen").expect("observe")
    }

    /// What comes after `seen`: a store may answer with that again.
    async fn next(&self, seen: &View) -> View {
        let mut view = self.observe(Some(seen)).await;
        while view.is_same(seen) {
            view = self.observe(Some(seen)).await;
        }
        view
    }
}

fn some_name(rng: &mut SmallRng, with: &str) -> LeaseName {
    LeaseName::new(format!("contract/{:032x}/{with}", rng.random::<u128>())).expect("it is short")
}

/// Held once, it is told to others, with its holder and with what is left of it.
pub async fn a_lease_is_granted_once<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(LONG), case.terms(LONG));
    let (_, ttl) = case.granted(&first).await;
    let (left, holder) = case.held(&second).await;
    assert_eq!(holder, first.holder);
    assert!(left <= at_most(ttl) && left > ttl / 2, "{left:?} are left of {ttl:?}");
}

/// An answer that was lost is asked for again.
pub async fn an_acquisition_repeated_with_its_nonce_is_the_same_grant<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    let (first, second) = (case.terms(TTL), case.terms(TTL));
    let (token, ttl) = case.granted(&first).await;
    sleep(ttl / 2).await;
    assert_eq!(case.granted(&first).await.0, token);
    // It lasts from then.
    sleep(ttl / 2 + GRACE).await;
    assert_eq!(case.held(&second).await.1, first.holder);
    // Over, it is no more the same.
    sleep(ttl).await;
    assert!(case.granted_soon(&first).await.0 > token);
}

/// Over releases and expiries, and by several holders.
pub async fn the_tokens_of_a_name_increase<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let mut last = None;
    for round in 0..12 {
        let terms = case.terms(if round == 6 { TTL } else { LONG });
        let (token, ttl) = case.granted_soon(&terms).await;
        assert!(last < Some(token), "{token} after {last:?}");
        last = Some(token);
        if round == 6 {
            sleep(ttl + GRACE).await;
        } else {
            assert!(case.release(terms.nonce).await);
        }
    }
}

/// The resource has seen a greater token than the store remembers.
pub async fn a_token_is_above_its_floor<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let first = case.terms(LONG);
    let (token, _) = case.granted(&first).await;
    assert!(case.release(first.nonce).await);
    let floor = FencingToken::try_from(token.get() + 1_000_000).expect("it is far from the end");
    let second = AcquireTerms { floor: Some(floor), ..case.terms(LONG) };
    let (above, _) = case.granted(&second).await;
    assert!(above > floor, "{above} is not above {floor}");
}

/// Names are bytes, and whatever is special to the store is not in them.
pub async fn names_are_not_confused<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let stem = format!("{:032x}", case.rng.random::<u128>());
    let longest = format!("{stem}{}", "x".repeat(255 - stem.len()));
    let twin = format!("{stem}{}y", "x".repeat(254 - stem.len()));
    let odd =
        ["", "}", "{", "{a}b", "{a}c", "/", "/../", "..", "%2f", "\0", " ", "\n", "A", "a", "é"];
    let names = odd.iter().map(|odd| format!("{stem}{odd}")).chain([longest, twin]);
    for name in names {
        case.name = LeaseName::new(&name).expect("it is a name");
        let (first, second) = (case.terms(LONG), case.terms(LONG));
        case.granted(&first).await;
        assert_eq!(case.held(&second).await.1, first.holder, "{name:?}");
    }
}

/// One of many that ask at once.
pub async fn of_many_racers_one_is_granted_the_lease<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let (name, terms) = (case.name.clone(), (0..16).map(|_| case.terms(LONG)).collect::<Vec<_>>());
    let store = Arc::new(case.store);
    let racers = terms.into_iter().map(|terms| {
        let (store, name) = (Arc::clone(&store), name.clone());
        tokio::spawn(async move { store.acquire(&name, &terms).await.expect("acquire") })
    });
    let mut granted = 0;
    for racer in racers.collect::<Vec<_>>() {
        let reply = racer.await.expect("no racer panics");
        granted += usize::from(matches!(reply, AcquireReply::Granted { .. }));
    }
    assert_eq!(granted, 1, "of 16 racers");
}

/// Dropped at any point, a call is applied or not, and the next is answered.
pub async fn a_call_that_is_dropped_breaks_nothing<S: Store>(factory: impl AsyncFn() -> S) {
    let mut case = Case::of(factory).await;
    let dropped = case.terms(LONG);
    for patience in [0, 0, 50, 200, 1000] {
        let patience = Duration::from_micros(patience);
        let _ = timeout(patience, case.store.acquire(&case.name, &dropped)).await;
        let _ = timeout(patience, case.store.renew(&case.name, dropped.nonce)).await;
        let seen = View::default();
        let _ = timeout(patience, case.store.observe(&case.name, Some(&seen))).await;
        let _ = timeout(patience, case.store.release(&case.name, dropped.nonce)).await;
    }
    // What is under way still may be applied after this, and is undone by the nonce.
    for _ in 0..100 {
        case.release(dropped.nonce).await;
        let next = case.terms(LONG);
        if matches!(case.acquire(&next).await, AcquireReply::Granted { .. }) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("a grant whose caller has gone cannot be undone");
}

/// Random rows of calls, beside the state machine that says what they mean.
pub async fn whatever_comes_in_a_row_is_answered_as_by_a_slot<S: Store>(
    factory: impl AsyncFn() -> S,
) {
    let mut case = Case::of(factory).await;
    for row in 0..8 {
        case.name = some_name(&mut case.rng, "row");
        let callers: Vec<_> = (0..3).map(|_| case.terms(LONG)).collect();
        let (mut slot, mut told) = (Slot::default(), vec![]);
        for _ in 0..12 {
            let terms = &callers[case.rng.random_range(0..callers.len())];
            match case.rng.random_range(0..4) {
                0 | 1 => {
                    let expected = slot.acquire(terms, Duration::ZERO, 0).expect("few tokens");
                    let reply = case.acquire(terms).await;
                    told.push(format!("{reply:?}"));
                    let is_alike = match (&expected, &reply) {
                        (AcquireReply::Granted { .. }, AcquireReply::Granted { .. }) => true,
                        (
                            AcquireReply::Held { holder, .. },
                            AcquireReply::Held { holder: told, .. },
                        ) => holder == told,
                        _ => false,
                    };
                    assert!(is_alike, "row {row}: {told:?}, but {expected:?}");
                }
                2 => {
                    let expected = slot.renew(terms.nonce, Duration::ZERO);
                    let reply = case.renew(terms.nonce).await;
                    told.push(format!("{reply:?}"));
                    let is_alike =
                        std::mem::discriminant(&expected) == std::mem::discriminant(&reply);
                    assert!(is_alike, "row {row}: {told:?}, but {expected:?}");
                }
                _ => {
                    let expected = slot.release(terms.nonce, Duration::ZERO);
                    let reply = case.release(terms.nonce).await;
                    told.push(format!("released: {reply}"));
                    assert_eq!(reply, expected, "row {row}: {told:?}");
                }
            }
        }
    }
}
