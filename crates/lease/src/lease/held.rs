//! One lease, as its holder's threads and the keep-alive task share it.

use std::{future::poll_fn, time::Duration};

use steadfast_core::{
    BootClock, BootInstant,
    parts::{Waiter, Waiters},
};

use crate::{
    FencingToken, LeaseName, Loss, Margin, Nonce, Pace, Status,
    protocol::{End, Word, deadline},
    race::{Raced, race},
    sync::{AtomicBool, AtomicU64, Ordering},
};

#[derive(Debug)]
pub(crate) struct Held {
    /// Of no other lease of its client.
    pub(crate) id: u64,
    pub(crate) name: LeaseName,
    pub(crate) nonce: Nonce,
    pub(crate) token: FencingToken,
    pub(crate) clock: BootClock,
    pub(crate) grace: Duration,
    margin: Margin,
    /// A [`Word`]: a deadline, or an end that no renewal undoes. A thread that finds the deadline
    /// passed writes the end here before it says so, so a renewal whose answer comes later finds no
    /// deadline to move. One word in one order of modification: Acquire and Release pair only so
    /// that what a holder did before a release is seen by one that sees the release.
    word: AtomicU64,
    /// As it was granted last, in nanoseconds. Relaxed: it only says how the lease is doing.
    ttl: AtomicU64,
    /// Whether the client renews it. Relaxed: it only names a loss.
    is_renewed: AtomicBool,
    /// Until when the client renews it.
    pub(crate) renew_until: BootInstant,
    /// Woken at the end.
    ended: Waiters,
}

/// What a grant is made into a lease from.
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) name: LeaseName,
    pub(crate) nonce: Nonce,
    pub(crate) token: FencingToken,
    pub(crate) ttl: Duration,
    pub(crate) sent: BootInstant,
    pub(crate) margin: Margin,
    pub(crate) grace: Option<Duration>,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) is_renewed: bool,
}

impl Held {
    pub(crate) fn new(grant: Grant, clock: BootClock) -> Self {
        let Grant { ttl, sent, margin, .. } = grant;
        let word = Word::until(deadline(ttl, sent.since_zero(), margin));
        let renew_until = match grant.max_hold {
            Some(most) => sent.saturating_add(most),
            None => BootInstant::MAX,
        };
        Self {
            id: grant.id,
            name: grant.name,
            nonce: grant.nonce,
            token: grant.token,
            clock,
            grace: grant.grace.unwrap_or(ttl / 6),
            margin,
            word: AtomicU64::new(word.0),
            ttl: AtomicU64::new(nanos(ttl)),
            is_renewed: AtomicBool::new(grant.is_renewed),
            renew_until,
            ended: Waiters::new(),
        }
    }

    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        let word = Word(self.word.load(Ordering::Acquire));
        let now = self.clock.now().as_nanos();
        // Ended or passed: looked at in earnest.
        word.is_valid(now) || (word.deadline().is_some() && self.look(now).deadline().is_some())
    }

    /// The word at `now`: what has passed is ended.
    pub(crate) fn look(&self, now: u64) -> Word {
        self.change(|word| word.at(now, self.overdue()))
    }

    pub(crate) fn status(&self) -> Status {
        let now = self.clock.now().as_nanos();
        self.look(now).status(now, self.ttl(), self.margin, self.overdue())
    }

    pub(crate) fn remaining(&self) -> Duration {
        let now = self.clock.now().as_nanos();
        let deadline = self.look(now).deadline();
        Duration::from_nanos(deadline.map_or(0, |deadline| deadline.saturating_sub(now)))
    }

    /// `None` after the end.
    pub(crate) fn deadline(&self) -> Option<BootInstant> {
        Word(self.word.load(Ordering::Acquire)).deadline().map(BootInstant::from_nanos)
    }

    /// The send of the request that the deadline counts from.
    pub(crate) fn counted_from(&self) -> BootInstant {
        let deadline = self.deadline().unwrap_or(BootInstant::ZERO);
        deadline.saturating_sub(self.margin.validity(self.ttl()))
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.look(self.clock.now().as_nanos()).end()
    }

    /// Takes in that a renewal sent at `sent` was granted; says whether the lease is held.
    pub(crate) fn renewed(&self, ttl: Duration, sent: BootInstant) -> bool {
        self.renewed_at(self.clock.now(), ttl, sent)
    }

    fn renewed_at(&self, now: BootInstant, ttl: Duration, sent: BootInstant) -> bool {
        let until = deadline(ttl, sent.since_zero(), self.margin);
        let mut is_later = false;
        let word = self.change(|word| {
            let looked = word.at(now.as_nanos(), self.overdue());
            let moved = looked.moved_to(until);
            is_later = moved != looked;
            moved
        });
        if is_later {
            self.ttl.store(nanos(ttl), Ordering::Relaxed);
        }
        word.deadline().is_some()
    }

    /// Ends the lease, unless it has ended; says how it was before that: `None` where it was held.
    pub(crate) fn finish(&self, end: End) -> Option<End> {
        let (now, mut before) = (self.clock.now().as_nanos(), None);
        self.change(|word| {
            let looked = word.at(now, self.overdue());
            before = looked.end();
            looked.ended(end)
        });
        before
    }

    /// The client asks for no more renewals.
    pub(crate) fn let_run_out(&self) {
        self.is_renewed.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_renewed(&self) -> bool {
        self.is_renewed.load(Ordering::Relaxed)
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_nanos(self.ttl.load(Ordering::Relaxed))
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace::of(self.ttl())
    }

    /// Waits for the end, until the deadline by a timer of its own: the task that would say so may
    /// have gone with its runtime.
    pub(crate) async fn ended(&self) -> End {
        let waiter = self.ended.join();
        loop {
            let Some(deadline) = self.deadline() else { return self.finished() };
            let end = poll_fn(|cx| waiter.poll(cx, || self.end()));
            match race(end, self.clock.wait_until(deadline)).await {
                Raced::First(end) => return end,
                // Passed, or moved meanwhile.
                Raced::Second(()) => {
                    if let Some(end) = self.end() {
                        return end;
                    }
                }
            }
        }
    }

    /// A place among those that wait for the end.
    pub(crate) fn when_ended(&self) -> Waiter {
        self.ended.join()
    }

    fn finished(&self) -> End {
        self.end().unwrap_or(End::Lost(self.overdue()))
    }

    /// Wakes those that wait for the end, where this change is it.
    fn change(&self, change: impl FnMut(Word) -> Word) -> Word {
        let mut change = change;
        let mut before = Word(self.word.load(Ordering::Acquire));
        loop {
            let after = change(before);
            if after == before {
                return after;
            }
            let swapped = self.word.compare_exchange_weak(
                before.0,
                after.0,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => {
                    if after.end().is_some() {
                        self.ended.wake();
                    }
                    return after;
                }
                Err(now) => before = Word(now),
            }
        }
    }

    fn overdue(&self) -> Loss {
        if self.is_renewed() { Loss::Unanswered } else { Loss::NotRenewed }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use steadfast_core::ManualBootClock;

    use super::*;

    const TTL: Duration = Duration::from_secs(12);

    fn held(manual: &ManualBootClock) -> Held {
        let grant = Grant {
            id: 1,
            name: LeaseName::new("a").unwrap(),
            nonce: Nonce::from_bytes([7; 16]),
            token: 7_u64.try_into().unwrap(),
            ttl: TTL,
            sent: manual.now(),
            margin: Margin::new(),
            grace: None,
            max_hold: None,
            is_renewed: true,
        };
        Held::new(grant, manual.clock())
    }

    /// The renewal may read the clock before the deadline, and write after a look that found the
    /// deadline passed: the one that writes first decides, for good.
    #[test]
    fn a_lease_that_was_seen_lost_is_not_revived_by_a_renewal_that_races_with_the_look() {
        let (mut lost, mut renewed) = (0, 0);
        for _ in 0..4_000 {
            let manual = ManualBootClock::new(BootInstant::from_nanos(1_000));
            let (held, barrier) = (held(&manual), Barrier::new(2));
            let sent = manual.now().saturating_add(Duration::from_secs(4));
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    held.renewed(TTL, sent);
                });
                barrier.wait();
                // From here until the renewal's own end the lease is valid.
                manual.advance(Margin::new().validity(TTL));
                if held.is_valid() {
                    renewed += 1;
                } else {
                    lost += 1;
                    for _ in 0..50 {
                        assert!(!held.is_valid() && held.end().is_some());
                    }
                    thread::yield_now();
                    assert!(!held.is_valid());
                }
            });
        }
        assert!(lost > 0, "{lost} lost, {renewed} renewed");
    }

    #[test]
    fn the_end_wakes_those_that_wait_for_it_and_the_first_is_the_one_that_counts() {
        let manual = ManualBootClock::new(BootInstant::from_nanos(1_000));
        let held = held(&manual);
        let waits = held.ended();
        assert_eq!(held.finish(End::Lost(Loss::Taken)), None);
        assert_eq!(held.finish(End::Released), Some(End::Lost(Loss::Taken)));
        let end = futures::FutureExt::now_or_never(waits);
        assert_eq!(end, Some(End::Lost(Loss::Taken)));
        assert!(!held.renewed(TTL, manual.now()) && held.remaining().is_zero());
    }

    #[test]
    fn an_answer_that_comes_after_the_deadline_is_too_late_though_none_has_looked() {
        let manual = ManualBootClock::new(BootInstant::from_nanos(1_000));
        let held = held(&manual);
        let sent = manual.now().saturating_add(TTL / 2);
        manual.advance(Margin::new().validity(TTL));
        assert!(!held.renewed(TTL, sent), "good by its own send");
        assert!(!held.is_valid() && held.end() == Some(End::Lost(Loss::Unanswered)));
    }

    #[test]
    fn a_ttl_that_the_store_has_changed_sets_the_pace() {
        let manual = ManualBootClock::new(BootInstant::from_nanos(1_000));
        let held = held(&manual);
        assert_eq!(held.counted_from(), manual.now());
        manual.advance(Duration::from_secs(4));
        assert!(held.renewed(2 * TTL, manual.now()));
        assert_eq!((held.ttl(), held.counted_from()), (2 * TTL, manual.now()));
        assert_eq!(held.status(), Status::Granted);
        // An older answer changes neither.
        assert!(held.renewed(TTL, BootInstant::from_nanos(1_000)));
        assert_eq!((held.ttl(), held.counted_from()), (2 * TTL, manual.now()));
    }
}

#[cfg(all(test, steadfast_loom))]
mod loom {
    use std::{sync::Arc, task::Context};

    use ::loom::{model, thread};
    use steadfast_core::ManualBootClock;

    use super::*;
    use crate::sync::Flag;

    const TTL: Duration = Duration::from_secs(12);

    fn held() -> (ManualBootClock, Arc<Held>) {
        let manual = ManualBootClock::new(BootInstant::from_nanos(1_000));
        let grant = Grant {
            id: 1,
            name: LeaseName::new("a").unwrap(),
            nonce: Nonce::from_bytes([7; 16]),
            token: 7_u64.try_into().unwrap(),
            ttl: TTL,
            sent: manual.now(),
            margin: Margin::new(),
            grace: None,
            max_hold: None,
            is_renewed: true,
        };
        (manual.clone(), Arc::new(Held::new(grant, manual.clock())))
    }

    /// The task takes in a renewal that is good by its own send, and has looked at the clock before
    /// the deadline: a thread that has seen the lease lost never sees it held again.
    #[test]
    fn what_was_seen_lost_is_not_revived_by_a_renewal() {
        model(|| {
            let (manual, held) = held();
            let other = Arc::clone(&held);
            let sent = manual.now().saturating_add(Duration::from_secs(4));
            let thread = thread::spawn(move || other.renewed_at(sent, TTL, sent));
            manual.advance(Margin::new().validity(TTL));
            let is_valid = held.is_valid();
            assert!(is_valid || !held.is_valid());
            let is_renewed = thread.join().unwrap();
            assert!(is_valid || !held.is_valid());
            assert_eq!(is_renewed, held.is_valid());
        });
    }

    /// Of two renewals whose answers come at once the later deadline stays.
    #[test]
    fn of_two_renewals_at_once_the_later_deadline_stays() {
        model(|| {
            let (manual, held) = held();
            let sent = |seconds| manual.now().saturating_add(Duration::from_secs(seconds));
            let (early, late, other) = (sent(3), sent(4), Arc::clone(&held));
            let thread = thread::spawn(move || other.renewed(TTL, early));
            assert!(held.renewed(TTL, late) && thread.join().unwrap());
            assert_eq!(held.counted_from(), late);
        });
    }

    /// A release and the store's word that the lease is lost come at once: one of them is the end,
    /// and both are told which.
    #[test]
    fn of_two_ends_at_once_the_first_is_the_one_that_counts() {
        model(|| {
            let (_manual, held) = held();
            let other = Arc::clone(&held);
            let thread = thread::spawn(move || other.finish(End::Lost(Loss::Taken)));
            let before = held.finish(End::Released);
            match (before, thread.join().unwrap()) {
                (None, Some(End::Released)) => assert_eq!(held.end(), Some(End::Released)),
                (Some(lost), None) => assert_eq!(held.end(), Some(lost)),
                both => panic!("{both:?}"),
            }
        });
    }

    /// The lease ends while a task begins to wait for that: it sees the end, or is woken.
    #[test]
    fn an_end_is_seen_or_wakes() {
        model(|| {
            let (_manual, held) = held();
            let other = Arc::clone(&held);
            let thread = thread::spawn(move || other.finish(End::Lost(Loss::Revoked)));
            let woken = Flag::new();
            let waker = Arc::clone(&woken).into();
            let cx = Context::from_waker(&waker);
            let waiter = held.when_ended();
            let seen = waiter.poll(&cx, || held.end()).is_ready();
            thread.join().unwrap();
            assert!(seen || woken.is_raised());
            assert!(waiter.poll(&cx, || held.end()).is_ready());
        });
    }
}
