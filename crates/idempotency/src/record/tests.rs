use proptest::{collection::vec, prelude::*};

use super::*;

const LEASE: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn token(n: u8) -> ClaimToken {
    ClaimToken::from_bytes([n; 16])
}

fn print(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

fn terms(n: u8) -> ClaimTerms {
    ClaimTerms {
        token: token(n),
        fingerprint: print(1),
        lease: LEASE,
        retention: RETENTION,
        on_abandoned: OnAbandoned::Refuse,
    }
}

fn taker(n: u8) -> ClaimTerms {
    ClaimTerms { on_abandoned: OnAbandoned::Takeover, ..terms(n) }
}

fn other_payload(n: u8) -> ClaimTerms {
    ClaimTerms { fingerprint: print(2), ..taker(n) }
}

fn claimed(attempt: u32) -> ClaimReply {
    ClaimReply::Claimed { attempt: NonZeroU32::new(attempt).unwrap() }
}

fn done(reply: &'static str) -> ClaimReply {
    ClaimReply::Done { reply: reply.into() }
}

/// A slot that token 1 has claimed at 0.
fn in_flight() -> Slot {
    let mut slot = Slot::default();
    assert_eq!(slot.claim(&terms(1), at(0)), claimed(1));
    slot
}

/// A slot that token 2 has taken over from token 1 at 30.
fn taken_over() -> Slot {
    let mut slot = in_flight();
    assert_eq!(slot.claim(&taker(2), at(30)), claimed(2));
    slot
}

#[test]
fn a_claims_record_outlives_its_lease_so_that_no_other_payload_gets_in() {
    let mut slot = in_flight();
    let last = LEASE + RETENTION - Duration::from_nanos(1);
    for now in [LEASE, LEASE * 2, last] {
        assert_eq!(slot.claim(&other_payload(2), now), ClaimReply::Mismatch, "{now:?}");
    }
    assert_eq!(slot.clone().claim(&taker(2), last), claimed(2), "told that it is not the first");
    assert_eq!(slot.claim(&other_payload(2), LEASE + RETENTION), claimed(1));
}

#[test]
fn another_payload_is_told_so_first_in_every_state() {
    let (mut done, mut abandoned) = (in_flight(), in_flight());
    assert_eq!(done.complete(token(1), "ok".into(), RETENTION, at(1)), Change::Applied);
    assert_eq!(abandoned.abandon(token(1), RETENTION, at(1)), Change::Applied);
    for mut slot in [in_flight(), done, abandoned] {
        assert_eq!(slot.claim(&other_payload(2), at(2)), ClaimReply::Mismatch);
        let own = ClaimTerms { token: token(1), ..other_payload(1) };
        assert_eq!(slot.claim(&own, at(2)), ClaimReply::Mismatch, "by the owner's token too");
    }
}

#[test]
fn a_claim_whose_reply_was_lost_is_the_same_claim_when_it_is_claimed_again() {
    let mut slot = in_flight();
    assert_eq!(slot.claim(&terms(1), at(20)), claimed(1));
    // Its lease begins anew: the owner is alive.
    assert_eq!(slot.claim(&terms(2), at(49)), ClaimReply::InFlight { left: at(1) });
    assert_eq!(slot.claim(&terms(1), at(300)), claimed(1), "past its lease, not taken over");

    let mut slot = taken_over();
    assert_eq!(slot.claim(&taker(2), at(31)), claimed(2));
    assert_eq!(slot.claim(&taker(1), at(31)), ClaimReply::InFlight { left: at(30) }, "the loser's");
}

#[test]
fn a_claim_that_arrives_again_after_its_end_runs_nothing() {
    let mut slot = in_flight();
    assert_eq!(slot.complete(token(1), "ok".into(), RETENTION, at(1)), Change::Applied);
    assert_eq!(slot.claim(&terms(1), at(2)), done("ok"));
    let mut slot = in_flight();
    assert_eq!(slot.abandon(token(1), RETENTION, at(1)), Change::Applied);
    assert_eq!(slot.claim(&taker(1), at(99)), ClaimReply::Abandoned, "past its lease too");
}

#[test]
fn a_completion_that_is_repeated_is_the_same_completion_and_the_first_reply_stays() {
    let mut slot = in_flight();
    for reply in ["first", "second"] {
        assert_eq!(slot.complete(token(1), reply.into(), RETENTION, at(1)), Change::Applied);
    }
    assert_eq!(slot.claim(&terms(2), at(2)), done("first"));
    // Nor does a repetition prolong it.
    assert_eq!(slot.complete(token(1), "late".into(), RETENTION, at(3600)), Change::Applied);
    assert_eq!(slot.claim(&terms(2), at(3601)), claimed(1));
}

#[test]
fn a_zombie_changes_nothing() {
    let zombie = token(1);
    for settled in [false, true] {
        let mut slot = taken_over();
        if settled {
            assert_eq!(slot.complete(token(2), "ok".into(), RETENTION, at(31)), Change::Applied);
        }
        let before = slot.clone();
        for now in [at(32), at(500)] {
            assert_eq!(slot.renew(zombie, LEASE, RETENTION, now), Change::Lost);
            assert_eq!(slot.complete(zombie, "late".into(), RETENTION, now), Change::Lost);
            assert_eq!(slot.release(zombie, now), Change::Lost);
            assert_eq!(slot.abandon(zombie, RETENTION, now), Change::Lost);
            assert_eq!(slot, before);
        }
    }
}

#[test]
fn what_is_done_is_neither_released_nor_abandoned_nor_renewed() {
    let mut slot = in_flight();
    assert_eq!(slot.complete(token(1), "ok".into(), RETENTION, at(1)), Change::Applied);
    let before = slot.clone();
    assert_eq!(slot.release(token(1), at(2)), Change::Lost);
    assert_eq!(slot.abandon(token(1), RETENTION, at(2)), Change::Lost);
    assert_eq!(slot.renew(token(1), LEASE, RETENTION, at(2)), Change::Lost);
    assert_eq!(slot, before);
}

#[test]
fn a_key_whose_lease_has_ended_is_refused_or_taken_over_by_the_policy_of_the_claim() {
    let mut slot = in_flight();
    assert_eq!(slot.claim(&taker(2), at(29)), ClaimReply::InFlight { left: at(1) });
    assert_eq!(slot.claim(&terms(2), at(30)), ClaimReply::Abandoned);
    assert_eq!(slot.claim(&taker(2), at(30)), claimed(2));
    assert_eq!(slot.claim(&taker(3), at(60)), claimed(3));
}

#[test]
fn an_owner_that_is_late_keeps_its_claim_until_it_is_taken_over() {
    let mut slot = in_flight();
    assert_eq!(slot.claim(&terms(2), at(31)), ClaimReply::Abandoned);
    assert_eq!(slot.renew(token(1), LEASE, RETENTION, at(32)), Change::Applied);
    assert_eq!(slot.claim(&taker(2), at(33)), ClaimReply::InFlight { left: at(29) });
    assert_eq!(slot.complete(token(1), "ok".into(), RETENTION, at(99)), Change::Applied);
    assert_eq!(slot.claim(&terms(2), at(99)), done("ok"));
}

#[test]
fn what_is_abandoned_is_not_taken_over_before_its_lease_has_ended() {
    let mut slot = in_flight();
    for _ in 0..2 {
        assert_eq!(slot.abandon(token(1), RETENTION, at(1)), Change::Applied);
    }
    assert_eq!(slot.claim(&terms(2), at(1)), ClaimReply::Abandoned);
    assert_eq!(slot.claim(&taker(2), at(1)), ClaimReply::InFlight { left: at(29) });
    assert_eq!(slot.renew(token(1), LEASE, RETENTION, at(1)), Change::Lost);
    assert_eq!(slot.claim(&taker(2), at(30)), claimed(2));
}

#[test]
fn what_is_abandoned_late_stays_for_a_retention_from_then() {
    let mut slot = in_flight();
    assert_eq!(slot.abandon(token(1), RETENTION, at(40)), Change::Applied);
    let end = at(40) + RETENTION;
    assert_eq!(slot.claim(&terms(2), end - Duration::from_nanos(1)), ClaimReply::Abandoned);
    assert_eq!(slot.claim(&terms(2), end), claimed(1));
    // And nothing ends earlier for being abandoned.
    let mut slot = in_flight();
    assert_eq!(slot.abandon(token(1), Duration::ZERO, at(1)), Change::Applied);
    assert_eq!(slot.look(at(1)).unwrap().expires_in, LEASE + RETENTION - at(1));
}

#[test]
fn an_owner_that_learns_the_outcome_after_all_can_still_settle() {
    let (mut completed, mut released) = (in_flight(), in_flight());
    for slot in [&mut completed, &mut released] {
        assert_eq!(slot.abandon(token(1), RETENTION, at(1)), Change::Applied);
    }
    assert_eq!(completed.complete(token(1), "ok".into(), RETENTION, at(2)), Change::Applied);
    assert_eq!(completed.claim(&terms(2), at(2)), done("ok"));
    assert_eq!(released.release(token(1), at(2)), Change::Applied);
    assert_eq!(released.claim(&terms(2), at(2)), claimed(1));
}

#[test]
fn a_release_frees_the_key_and_may_be_repeated() {
    let mut slot = in_flight();
    for _ in 0..2 {
        assert_eq!(slot.release(token(1), at(1)), Change::Applied);
    }
    assert_eq!(slot.claim(&other_payload(2), at(1)), claimed(1), "for any payload");
    assert_eq!(slot.release(token(1), at(1)), Change::Lost, "it is another's now");
}

#[test]
fn after_a_takeover_a_release_forgets_neither_the_payload_nor_the_attempts() {
    // The first attempt may have been executed, and a second one says nothing of it.
    let mut slot = taken_over();
    for _ in 0..2 {
        assert_eq!(slot.release(token(2), at(31)), Change::Applied);
    }
    assert_eq!(slot.claim(&other_payload(3), at(31)), ClaimReply::Mismatch);
    assert_eq!(slot.claim(&terms(3), at(31)), ClaimReply::Abandoned);
    assert_eq!(slot.claim(&taker(3), at(31)), claimed(3), "at once: nothing is under way");
}

#[test]
fn a_record_that_is_forgotten_or_expired_does_not_come_back() {
    for expired in [false, true] {
        let mut slot = in_flight();
        let now = if expired { LEASE + RETENTION } else { at(1) };
        assert_eq!(slot.forget(now), !expired);
        assert_eq!(slot.complete(token(1), "late".into(), RETENTION, now), Change::Lost);
        assert_eq!(slot.renew(token(1), LEASE, RETENTION, now), Change::Lost);
        assert_eq!(slot.look(now), None);
        assert!(!slot.forget(now));
    }
}

#[test]
fn only_what_has_expired_is_purged() {
    let mut slot = in_flight();
    let end = LEASE + RETENTION;
    assert!(!slot.purge(end - Duration::from_nanos(1)) && slot.0.is_some());
    assert!(slot.purge(end) && slot.0.is_none());
    assert!(!slot.purge(end));
}

#[test]
fn an_operator_sees_what_a_claim_would_meet() {
    let mut slot = in_flight();
    let view = slot.look(at(10)).unwrap();
    assert_eq!(view.state, ViewState::InFlight { left: at(20) });
    assert_eq!((view.age, view.expires_in), (at(10), LEASE + RETENTION - at(10)));
    assert_eq!(slot.look(at(30)).unwrap().state, ViewState::Abandoned);
    assert_eq!(slot.complete(token(1), "ok".into(), RETENTION, at(40)), Change::Applied);
    let view = slot.look(at(50)).unwrap();
    assert_eq!(view.state, ViewState::Done { reply: "ok".into() });
    assert_eq!((view.attempt.get(), view.age, view.expires_in), (1, at(50), at(3590)));
    // Of a key that was first claimed later than the store began to count, and taken over.
    let mut slot = Slot::default();
    assert_eq!(slot.claim(&terms(1), at(100)), claimed(1));
    assert_eq!(slot.claim(&taker(2), at(130)), claimed(2));
    let view = slot.look(at(131)).unwrap();
    assert_eq!((view.attempt.get(), view.age), (2, at(31)));
}

#[test]
fn leases_and_retentions_of_any_length_do_not_overflow() {
    let for_ever = ClaimTerms { lease: Duration::MAX, retention: Duration::MAX, ..taker(1) };
    let mut slot = Slot::default();
    assert_eq!(slot.claim(&for_ever, at(5)), claimed(1));
    assert_eq!(slot.renew(token(1), Duration::MAX, Duration::MAX, at(6)), Change::Applied);
    assert_eq!(slot.complete(token(1), "ok".into(), Duration::MAX, at(7)), Change::Applied);
    assert_eq!(slot.claim(&taker(2), Duration::MAX - at(1)), done("ok"));
}

#[test]
fn debug_shows_neither_replies_nor_tokens() {
    let mut slot = in_flight();
    assert_eq!(slot.complete(token(1), "secret".into(), RETENTION, at(1)), Change::Applied);
    let shown =
        format!("{slot:?} {:?} {:?}", slot.look(at(2)), slot.clone().claim(&terms(2), at(2)));
    assert!(!shown.contains("secret") && shown.matches("Done { len: 6 }").count() == 3, "{shown}");
    assert!(shown.contains("ClaimToken(..)"));
}

/// One step of a client, or of time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim { client: u8, anew: bool },
    Renew(u8),
    Complete { client: u8, reply: u8 },
    Release(u8),
    Abandon(u8),
    Forget,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0_u8..3;
    let step = prop_oneof![
        6 => (client.clone(), any::<bool>())
            .prop_map(|(client, anew)| Step::Claim { client, anew }),
        2 => client.clone().prop_map(Step::Renew),
        2 => (client.clone(), any::<u8>())
            .prop_map(|(client, reply)| Step::Complete { client, reply }),
        1 => client.clone().prop_map(Step::Release),
        1 => client.prop_map(Step::Abandon),
        1 => Just(Step::Forget),
        4 => prop_oneof![Just(1), Just(29), Just(30), Just(31), Just(100), Just(130), 0_u64..200]
            .prop_map(Step::Pass),
    ];
    vec(step, 1..60)
}

/// What must be known of a key, and nothing else: what was said to whom, and when.
#[derive(Default)]
struct Ledger {
    /// The claims that were granted since the key was last free, oldest first.
    granted: Vec<(ClaimToken, Fingerprint)>,
    /// When the last of them could be taken over.
    lease_end: u64,
    /// When the record ends.
    end: u64,
    /// What its owner has said last.
    said: Option<Said>,
}

#[derive(Clone, Copy, PartialEq)]
enum Said {
    Done(u8),
    Unknown,
    NotThisTime,
}

const SHORT: u64 = 100;

impl Ledger {
    /// A claim at `now`, by the rules in prose.
    fn claim(&mut self, terms: &ClaimTerms, now: u64) -> ClaimReply {
        if self.granted.is_empty() || now >= self.end {
            *self = Self::default();
        }
        let attempt = self.granted.len() as u32;
        if self.granted.first().is_some_and(|(_, print)| *print != terms.fingerprint) {
            return ClaimReply::Mismatch;
        }
        if let Some(Said::Done(reply)) = self.said {
            return ClaimReply::Done { reply: Bytes::copy_from_slice(&[reply]) };
        }
        if let Some((owner, _)) = self.granted.last() {
            if *owner == terms.token {
                return match self.said {
                    None => {
                        self.lease_end = self.lease_end.max(now + 30);
                        self.end = self.end.max(now + 30 + SHORT);
                        claimed(attempt)
                    }
                    Some(_) => ClaimReply::Abandoned,
                };
            }
            let refuses = terms.on_abandoned == OnAbandoned::Refuse;
            if refuses && self.said.is_some() {
                return ClaimReply::Abandoned;
            }
            if now < self.lease_end {
                return ClaimReply::InFlight { left: at(self.lease_end - now) };
            }
            if refuses {
                return ClaimReply::Abandoned;
            }
        }
        self.granted.push((terms.token, terms.fingerprint));
        self.said = None;
        self.lease_end = now + 30;
        self.end = self.end.max(now + 30 + SHORT);
        claimed(attempt + 1)
    }

    fn is_owner(&self, token: ClaimToken, now: u64) -> bool {
        now < self.end && self.granted.last().is_some_and(|(owner, _)| *owner == token)
    }

    /// What an owner says of its claim, by the rules in prose.
    fn say(&mut self, token: ClaimToken, said: Said, now: u64) -> Change {
        if said == Said::NotThisTime && (self.granted.is_empty() || now >= self.end) {
            return Change::Applied;
        }
        if !self.is_owner(token, now) {
            return Change::Lost;
        }
        match (self.said, said) {
            (Some(Said::Done(_)), Said::Done(_)) => return Change::Applied,
            (Some(Said::Done(_)), _) => return Change::Lost,
            (_, Said::NotThisTime) if self.granted.len() == 1 => *self = Self::default(),
            (_, Said::NotThisTime) => {
                self.lease_end = self.lease_end.min(now);
                self.said = Some(said);
            }
            (_, Said::Done(_)) => {
                self.end = now + SHORT;
                self.said = Some(said);
            }
            (None, Said::Unknown) => {
                self.end = self.end.max(now + SHORT);
                self.said = Some(said);
            }
            (Some(_), Said::Unknown) => {}
        }
        Change::Applied
    }

    fn renew(&mut self, token: ClaimToken, now: u64) -> Change {
        if !self.is_owner(token, now) || self.said.is_some() {
            return Change::Lost;
        }
        self.lease_end = self.lease_end.max(now + 30);
        self.end = self.end.max(now + 30 + SHORT);
        Change::Applied
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Three clients, each of which claims anew or again, says what it likes of its last claim at
    /// any time, and knows only the store's clock: the first refuses, the second takes over, the
    /// third has another payload.
    #[test]
    fn whatever_clients_interleave_is_answered_as_the_rules_in_prose_say(steps in steps()) {
        let (mut slot, mut ledger, mut now, mut tokens) = (Slot::default(), Ledger::default(), 0, 3);
        let mut held = [0, 1, 2].map(token);
        let retention = at(SHORT);
        for step in steps {
            match step {
                Step::Claim { client, anew } => {
                    if anew {
                        held[usize::from(client)] = token(tokens);
                        tokens += 1;
                    }
                    let terms = match client {
                        0 => terms(0),
                        1 => taker(0),
                        _ => other_payload(0),
                    };
                    let terms = ClaimTerms { token: held[usize::from(client)], retention, ..terms };
                    prop_assert_eq!(slot.claim(&terms, at(now)), ledger.claim(&terms, now));
                }
                Step::Renew(client) => {
                    let token = held[usize::from(client)];
                    let renewed = slot.renew(token, LEASE, retention, at(now));
                    prop_assert_eq!(renewed, ledger.renew(token, now));
                }
                Step::Complete { client, reply } => {
                    let token = held[usize::from(client)];
                    let bytes = Bytes::copy_from_slice(&[reply]);
                    let completed = slot.complete(token, bytes, retention, at(now));
                    prop_assert_eq!(completed, ledger.say(token, Said::Done(reply), now));
                }
                Step::Release(client) => {
                    let token = held[usize::from(client)];
                    let released = slot.release(token, at(now));
                    prop_assert_eq!(released, ledger.say(token, Said::NotThisTime, now));
                }
                Step::Abandon(client) => {
                    let token = held[usize::from(client)];
                    let abandoned = slot.abandon(token, retention, at(now));
                    prop_assert_eq!(abandoned, ledger.say(token, Said::Unknown, now));
                }
                Step::Forget => {
                    let was_there = !ledger.granted.is_empty() && now < ledger.end;
                    prop_assert_eq!(slot.forget(at(now)), was_there);
                    ledger = Ledger::default();
                }
                Step::Pass(time) => now += time,
            }
            // What has expired can go at any time, and nothing else goes.
            let mut purged = slot.clone();
            prop_assert_eq!(purged.purge(at(now)), slot.0.is_some() && slot.look(at(now)).is_none());
        }
    }
}
