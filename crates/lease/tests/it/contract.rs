//! The store in memory keeps every promise, and a store that breaks one is found.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use steadfast_core::BootClock;
use steadfast_lease::{
    AcquireReply, AcquireTerms, LeaseName, MemoryConfig, MemoryStore, Nonce, RenewReply, Slot,
    Store, StoreError, View, contract,
};
use tokio::time::{Instant, sleep};

mod memory {
    use super::{BootClock, MemoryConfig, MemoryStore};

    steadfast_lease::lease_contract! {
        #[tokio::test(start_paused = true)]
        async || MemoryStore::new(MemoryConfig::new().clock(BootClock::tokio())).unwrap()
    }
}

mod right {
    use super::{Wrong, Wrongly};

    steadfast_lease::lease_contract! {
        #[tokio::test(start_paused = true)]
        async || Wrongly::new(Wrong::InNothing)
    }
}

/// In what a store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    InNothing,
    GrantsWhatIsHeld,
    RepeatIsAnother,
    RepeatDoesNotExtend,
    RepeatRevives,
    CounterStartsAgain,
    IgnoresFloor,
    CutsNames,
    FoldsNames,
    TakerRules,
    ExpiresLate,
    ExpiresEarly,
    NeverExpires,
    RenewsWhatIsOver,
    RenewsWithoutExtending,
    RenewsForAnyone,
    CallsGoneTaken,
    CallsTakenGone,
    ReleasesForAnyone,
    ReleasesByHolder,
    NeverReleases,
    SaysAlwaysReleased,
    ReleaseForgetsToken,
    HidesHolder,
    TellsNothingLeft,
    TellsTwiceAsMuchLeft,
    ObserverMissesRelease,
    ObserverMissesExpiry,
    ViewHidesToken,
    ViewShowsNoHolder,
    BreaksWhenDropped,
    LooksBeforeItWrites,
}

/// A store over slots that is wrong in one thing.
struct Wrongly {
    wrong: Wrong,
    slots: Mutex<HashMap<String, Slot>>,
    busy: Arc<Mutex<bool>>,
    start: Instant,
}

impl Wrongly {
    fn new(wrong: Wrong) -> Self {
        let (slots, busy) = Default::default();
        Self { wrong, slots, busy, start: Instant::now() }
    }

    fn now(&self) -> Duration {
        let now = Instant::now() - self.start;
        match self.wrong {
            Wrong::NeverExpires => Duration::ZERO,
            Wrong::ExpiresLate => now * 4 / 5,
            Wrong::ExpiresEarly => now * 5 / 2,
            _ => now,
        }
    }

    fn with<T>(&self, name: &LeaseName, change: impl FnOnce(&mut Slot, Duration) -> T) -> T {
        let key = match self.wrong {
            Wrong::CutsNames => name.as_str().chars().take(200).collect(),
            Wrong::FoldsNames => name.as_str().to_lowercase(),
            _ => name.as_str().to_owned(),
        };
        change(self.slots.lock().unwrap().entry(key).or_default(), self.now())
    }

    /// A call on a connection that stays busy for good if its caller goes.
    async fn travel(&self) {
        if self.wrong == Wrong::BreaksWhenDropped {
            assert!(!std::mem::replace(&mut *self.busy.lock().unwrap(), true), "desynchronised");
        }
        sleep(Duration::from_micros(300)).await;
        *self.busy.lock().unwrap() = false;
    }
}

impl Store for Wrongly {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        self.travel().await;
        let mut terms = terms.clone();
        let wrong = self.wrong;
        if wrong == Wrong::LooksBeforeItWrites {
            let seen = self.with(name, |slot, _| slot.clone());
            tokio::task::yield_now().await;
            self.with(name, |slot, _| *slot = seen);
        }
        let reply = self.with(name, |slot, now| {
            let before = slot.owner.clone();
            let is_own = before.as_ref().is_some_and(|owner| owner.nonce == terms.nonce);
            match wrong {
                Wrong::GrantsWhatIsHeld => slot.owner = None,
                Wrong::RepeatIsAnother if is_own => slot.owner = None,
                Wrong::RepeatRevives if is_own => {
                    slot.owner.as_mut().unwrap().until = now + Duration::from_secs(1);
                }
                Wrong::IgnoresFloor => terms.floor = None,
                Wrong::TakerRules => {
                    if let Some(owner) = &mut slot.owner {
                        owner.until = owner.until.min(now + terms.ttl);
                    }
                }
                Wrong::HidesHolder => {
                    terms.holder = steadfast_lease::HolderName::new("").unwrap();
                }
                _ => {}
            }
            let reply = slot.acquire(&terms, now, 7).unwrap();
            if let (Some(owner), Some(before)) = (&mut slot.owner, before)
                && wrong == Wrong::RepeatDoesNotExtend
                && is_own
            {
                owner.until = before.until.max(now);
            }
            reply
        });
        Ok(match (reply, wrong) {
            (AcquireReply::Held { holder, .. }, Wrong::TellsNothingLeft) => {
                AcquireReply::Held { left: Duration::ZERO, holder }
            }
            (AcquireReply::Held { left, holder }, Wrong::TellsTwiceAsMuchLeft) => {
                AcquireReply::Held { left: 2 * left, holder }
            }
            (reply, _) => reply,
        })
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        self.travel().await;
        let wrong = self.wrong;
        Ok(self.with(name, |slot, now| {
            let until = slot.owner.as_ref().map(|owner| owner.until);
            let by = match (&mut slot.owner, wrong) {
                (Some(owner), Wrong::RenewsForAnyone) => owner.nonce,
                (Some(owner), Wrong::RenewsWhatIsOver) if owner.nonce == nonce => {
                    owner.until = owner.until.max(now + Duration::from_nanos(1));
                    nonce
                }
                _ => nonce,
            };
            let reply = slot.renew(by, now);
            if let (Some(owner), Some(until), Wrong::RenewsWithoutExtending) =
                (&mut slot.owner, until, wrong)
            {
                owner.until = until;
            }
            match (reply, wrong) {
                (RenewReply::Gone, Wrong::CallsGoneTaken) => RenewReply::Taken,
                (RenewReply::Taken, Wrong::CallsTakenGone) => RenewReply::Gone,
                (reply, _) => reply,
            }
        }))
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        self.travel().await;
        let wrong = self.wrong;
        if wrong == Wrong::NeverReleases {
            return Ok(self.with(name, |slot, now| slot.clone().release(nonce, now)));
        }
        Ok(self.with(name, |slot, now| {
            let owner = slot.owner.as_ref().map(|owner| owner.nonce);
            let by = match (owner, wrong) {
                (Some(owner), Wrong::ReleasesForAnyone) => owner,
                // The last that was released here may be the same process.
                (Some(owner), Wrong::ReleasesByHolder)
                    if slot.last.is_some_and(|last| last.get() > 7) =>
                {
                    owner
                }
                _ => nonce,
            };
            let was_held = slot.release(by, now);
            if was_held && matches!(wrong, Wrong::ReleaseForgetsToken | Wrong::CounterStartsAgain) {
                *slot = Slot::default();
            }
            was_held || wrong == Wrong::SaysAlwaysReleased
        }))
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        loop {
            self.travel().await;
            let mut view = self.with(name, |slot, now| slot.observe(now));
            match self.wrong {
                Wrong::ViewHidesToken => view.token = None,
                Wrong::ViewShowsNoHolder => view.held = None,
                _ => {}
            }
            let was_held = seen.is_some_and(|seen| seen.held.is_some());
            let is_missed = match self.wrong {
                Wrong::ObserverMissesRelease => {
                    let owner = self.with(name, |slot, _| slot.owner.is_some());
                    was_held && !owner
                }
                Wrong::ObserverMissesExpiry => {
                    let owner = self.with(name, |slot, _| slot.owner.is_some());
                    was_held && owner && view.held.is_none()
                }
                _ => false,
            };
            if !is_missed && seen.is_none_or(|seen| !seen.is_same(&view)) {
                return Ok(view);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The promises that the store does not keep.
async fn broken_by(wrong: Wrong) -> Vec<&'static str> {
    let mut broken = vec![];
    macro_rules! each {
        ($($promise:ident)+) => {$(
            let kept = contract::$promise(async || Wrongly::new(wrong));
            if AssertUnwindSafe(kept).catch_unwind().await.is_err() {
                broken.push(stringify!($promise));
            }
        )+};
    }
    each! {
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
    broken
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_wrong_in_one_thing_is_found() {
    use Wrong::*;
    let mut useful = std::collections::BTreeSet::new();
    for wrong in [
        GrantsWhatIsHeld,
        RepeatIsAnother,
        RepeatDoesNotExtend,
        RepeatRevives,
        CounterStartsAgain,
        IgnoresFloor,
        CutsNames,
        FoldsNames,
        TakerRules,
        ExpiresLate,
        ExpiresEarly,
        NeverExpires,
        RenewsWhatIsOver,
        RenewsWithoutExtending,
        RenewsForAnyone,
        CallsGoneTaken,
        CallsTakenGone,
        ReleasesForAnyone,
        ReleasesByHolder,
        NeverReleases,
        SaysAlwaysReleased,
        ReleaseForgetsToken,
        HidesHolder,
        TellsNothingLeft,
        TellsTwiceAsMuchLeft,
        ObserverMissesRelease,
        ObserverMissesExpiry,
        ViewHidesToken,
        ViewShowsNoHolder,
        BreaksWhenDropped,
        LooksBeforeItWrites,
    ] {
        let broken = broken_by(wrong).await;
        assert!(!broken.is_empty(), "{wrong:?} is not found");
        useful.extend(broken);
    }
    assert_eq!(useful.len(), 16, "a promise that no wrong store breaks: {useful:?}");
}
