use proptest::{collection::vec, prelude::*};

use super::*;

const SEC: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(10);

fn nonce(n: u8) -> Nonce {
    Nonce::from_bytes([n; 16])
}

fn terms(n: u8) -> AcquireTerms {
    let holder = HolderName::new(n.to_string()).unwrap();
    AcquireTerms { nonce: nonce(n), holder, ttl: TTL, floor: None }
}

fn token(number: u64) -> FencingToken {
    number.try_into().unwrap()
}

fn granted(token: u64) -> AcquireReply {
    AcquireReply::Granted { token: token.try_into().unwrap(), ttl: TTL }
}

fn held(left: Duration, by: u8) -> AcquireReply {
    AcquireReply::Held { left, holder: HolderName::new(by.to_string()).unwrap() }
}

fn acquire(slot: &mut Slot, n: u8, now: Duration) -> AcquireReply {
    slot.acquire(&terms(n), now, 0).unwrap()
}

#[test]
fn a_lease_that_is_held_is_not_granted_to_another() {
    let mut slot = Slot::default();
    assert_eq!(slot.observe(SEC), View::default());
    assert_eq!(slot.acquire(&terms(1), SEC, 100), Ok(granted(100)));
    assert_eq!(acquire(&mut slot, 2, 4 * SEC), held(7 * SEC, 1));
    let last = 11 * SEC - Duration::from_nanos(1);
    assert_eq!(acquire(&mut slot, 2, last), held(Duration::from_nanos(1), 1));
    assert_eq!(acquire(&mut slot, 2, 11 * SEC), granted(101));
}

#[test]
fn an_acquisition_repeated_with_its_nonce_is_the_same_and_lasts_from_then() {
    let mut slot = Slot::default();
    assert_eq!(acquire(&mut slot, 1, SEC), granted(0));
    assert_eq!(acquire(&mut slot, 1, 5 * SEC), granted(0));
    assert_eq!(acquire(&mut slot, 2, 14 * SEC), held(SEC, 1));
    // For less: what it was granted stays.
    let less = AcquireTerms { ttl: SEC, ..terms(1) };
    assert!(matches!(slot.acquire(&less, 6 * SEC, 0), Ok(AcquireReply::Granted { .. })));
    assert_eq!(acquire(&mut slot, 2, 14 * SEC), held(SEC, 1));
    // Once it has expired it is over: another grant, another token.
    assert_eq!(acquire(&mut slot, 1, 15 * SEC), granted(1));
}

#[test]
fn a_taker_obeys_the_ttl_of_the_holder_and_not_its_own() {
    let mut slot = Slot::default();
    slot.acquire(&AcquireTerms { ttl: 100 * SEC, ..terms(1) }, SEC, 0).unwrap();
    let hasty = AcquireTerms { ttl: SEC, ..terms(2) };
    assert_eq!(slot.acquire(&hasty, 90 * SEC, 0), Ok(held(11 * SEC, 1)));
}

/// The holder may count on what it was granted first, whatever it has asked for since.
#[test]
fn a_grant_that_was_repeated_for_less_is_not_shortened_by_its_renewal() {
    let mut slot = Slot::default();
    acquire(&mut slot, 1, SEC);
    let less = AcquireTerms { ttl: 2 * SEC, ..terms(1) };
    let (token, ttl) = (token(0), 2 * SEC);
    let again = slot.acquire(&less, 2 * SEC, 0);
    assert_eq!(again, Ok(AcquireReply::Granted { token, ttl }));
    assert_eq!(slot.renew(nonce(1), 3 * SEC), RenewReply::Renewed { ttl });
    assert_eq!(acquire(&mut slot, 2, 6 * SEC), held(5 * SEC, 1));
}

#[test]
fn a_release_keeps_the_last_token_and_needs_the_nonce() {
    let mut slot = Slot::default();
    acquire(&mut slot, 1, SEC);
    assert!(!slot.release(nonce(2), SEC));
    assert!(slot.release(nonce(1), SEC) && !slot.release(nonce(1), SEC));
    assert_eq!(slot.observe(SEC), View { token: Some(token(0)), held: None });
    assert_eq!(acquire(&mut slot, 2, SEC), granted(1));
    // The first holder's release comes again, and frees nothing of its successor's.
    assert!(!slot.release(nonce(1), SEC));
    assert_eq!(acquire(&mut slot, 3, SEC), held(TTL, 2));
}

#[test]
fn an_expired_lease_is_over_though_it_was_not_taken() {
    let mut slot = Slot::default();
    acquire(&mut slot, 1, SEC);
    assert_eq!(slot.renew(nonce(1), 5 * SEC), RenewReply::Renewed { ttl: TTL });
    assert_eq!(slot.renew(nonce(2), 5 * SEC), RenewReply::Taken);
    assert_eq!(slot.renew(nonce(1), 15 * SEC), RenewReply::Gone);
    assert!(!slot.release(nonce(1), 15 * SEC));
    assert_eq!(acquire(&mut slot, 2, 15 * SEC), granted(1));
    assert_eq!(slot.renew(nonce(1), 16 * SEC), RenewReply::Taken);
}

#[test]
fn tokens_grow_though_the_clock_goes_back_or_the_record_is_lost() {
    let mut slot = Slot::default();
    assert_eq!(slot.acquire(&terms(1), SEC, 1000), Ok(granted(1000)));
    // The clock goes back.
    assert_eq!(slot.acquire(&terms(2), 11 * SEC, 900), Ok(granted(1001)));
    // The record is lost, and the clock is further on.
    let mut slot = Slot::default();
    assert_eq!(slot.acquire(&terms(3), SEC, 2000), Ok(granted(2000)));
    // Both at once: the floor heals it.
    let mut slot = Slot::default();
    let floor = Some(token(2000));
    assert_eq!(slot.acquire(&AcquireTerms { floor, ..terms(4) }, SEC, 10), Ok(granted(2001)));
}

#[test]
fn a_floor_below_the_last_token_changes_nothing_and_no_token_follows_the_greatest() {
    let mut slot = Slot { last: Some(token(9)), owner: None };
    let low = AcquireTerms { floor: Some(token(3)), ..terms(1) };
    assert_eq!(slot.acquire(&low, SEC, 0), Ok(granted(10)));
    let highest = AcquireTerms { floor: Some(FencingToken::MAX), ..terms(2) };
    let before = slot.clone();
    assert_eq!(slot.acquire(&highest, 11 * SEC, 0), Err(NoTokenLeft { above: FencingToken::MAX }));
    assert_eq!(slot, before);
    // A clock beyond all sense.
    let greatest = slot.acquire(&terms(2), 11 * SEC, u64::MAX);
    assert_eq!(greatest, Ok(granted(FencingToken::MAX.get())));
    assert!(slot.acquire(&terms(3), 99 * SEC, 0).is_err());
}

#[test]
fn a_taker_without_the_stores_clock_watches_one_version_for_the_holders_ttl() {
    let margin = crate::Margin::new().drift_ppm(0).slack(SEC);
    let mut vigil = Vigil::begin("etag-1", TTL, margin, 100 * SEC);
    assert_eq!(vigil.look("etag-1", TTL, margin, 105 * SEC), 6 * SEC);
    // Renewed, with a longer TTL: from the start, and by the TTL that is recorded now.
    assert_eq!(vigil.look("etag-2", 3 * TTL, margin, 106 * SEC), 31 * SEC);
    assert_eq!(vigil.look("etag-2", SEC, margin, 136 * SEC), SEC);
    assert_eq!(vigil.look("etag-2", 3 * TTL, margin, 137 * SEC), Duration::ZERO);
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Acquire { by: u8, clock: u64, floor: u64 },
    Renew(u8),
    Release(u8),
}

proptest! {
    /// The naive store keeps every grant that it ever gave.
    #[test]
    fn whatever_is_asked_it_is_answered_as_by_a_list_of_all_grants(
        asked in vec((0_u64..6, prop_oneof![
            (1_u8..4, 0_u64..50, 0_u64..50)
                .prop_map(|(by, clock, floor)| Asked::Acquire { by, clock, floor }),
            (1_u8..4).prop_map(Asked::Renew),
            (1_u8..4).prop_map(Asked::Release),
        ]), 0..60),
    ) {
        // Who, token, until.
        let mut grants: Vec<(u8, u64, u64)> = vec![];
        let (mut slot, mut now) = (Slot::default(), 0_u64);
        for (after, asked) in asked {
            now += after;
            let at = Duration::from_secs(now);
            let current = grants.last().copied().filter(|&(_, _, until)| now < until);
            let highest = grants.iter().map(|&(_, token, _)| token).max();
            match asked {
                Asked::Acquire { by, clock, floor } => {
                    let wanted =
                        AcquireTerms { floor: Some(token(floor)), ..terms(by) };
                    let reply = slot.acquire(&wanted, at, clock).unwrap();
                    match current {
                        Some((owner, token, _)) if owner == by => {
                            prop_assert_eq!(reply, granted(token));
                            grants.last_mut().unwrap().2 = now + 10;
                        }
                        Some((owner, _, until)) => {
                            prop_assert_eq!(reply, held(Duration::from_secs(until - now), owner));
                        }
                        None => {
                            let above = highest.max(Some(floor)).map_or(0, |last| last + 1);
                            prop_assert_eq!(reply, granted(above.max(clock)));
                            grants.push((by, above.max(clock), now + 10));
                        }
                    }
                }
                Asked::Renew(by) => {
                    let expected = match current {
                        None => RenewReply::Gone,
                        Some((owner, _, _)) if owner == by => {
                            grants.last_mut().unwrap().2 = now + 10;
                            RenewReply::Renewed { ttl: TTL }
                        }
                        Some(_) => RenewReply::Taken,
                    };
                    prop_assert_eq!(slot.renew(nonce(by), at), expected);
                }
                Asked::Release(by) => {
                    let own = current.is_some_and(|(owner, _, _)| owner == by);
                    prop_assert_eq!(slot.release(nonce(by), at), own);
                    if own {
                        grants.last_mut().unwrap().2 = now;
                    }
                }
            }
            prop_assert!(grants.is_sorted_by(|one, next| one.1 < next.1), "tokens grow");
        }
    }
}
