use proptest::{collection::vec, prelude::*};

use super::*;

const SEC: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(12);
/// Of a grant asked for at 100 s.
const ASKED: Duration = Duration::from_secs(100);

fn margin() -> Margin {
    Margin::new().drift_ppm(0).slack(SEC)
}

fn token(number: u64) -> FencingToken {
    number.try_into().unwrap()
}

/// Valid until 111 s.
fn holder() -> Holder {
    Holder::granted(token(7), TTL, ASKED, margin())
}

#[test]
fn a_grant_counts_from_before_its_request_and_ends_exactly_at_its_deadline() {
    let (held, end) = (holder(), ASKED + TTL - SEC);
    assert_eq!((held.token(), held.deadline()), (token(7), Some(end)));
    let before = end - Duration::from_nanos(1);
    assert!(held.status(before).is_held() && held.at(before).deadline().is_some());
    assert_eq!(held.status(end), Status::Lost(Loss::Unanswered));
    assert_eq!(
        (held.remaining(before), held.remaining(end)),
        (Duration::from_nanos(1), Duration::ZERO)
    );
    assert_eq!(held.not_renewed().status(end), Status::Lost(Loss::NotRenewed));
}

#[test]
fn a_grant_whose_answer_came_after_its_deadline_is_none() {
    assert_eq!(holder().at(ASKED + TTL).status(ASKED), Status::Lost(Loss::Unanswered));
}

#[test]
fn a_grant_that_the_margin_uses_up_is_over_at_once() {
    let none = Holder::granted(token(1), SEC, ASKED, margin());
    assert!(!none.status(ASKED).is_held());
    // At the beginning of a clock too.
    let none = Holder::granted(token(1), SEC, Duration::ZERO, margin());
    assert_eq!(none.status(Duration::ZERO), Status::Lost(Loss::Unanswered));
}

#[test]
fn a_renewal_counts_from_its_own_send_and_an_older_one_never_moves_the_deadline_back() {
    let mut held = holder();
    assert!(held.renewed(TTL, ASKED + 4 * SEC, ASKED + 6 * SEC));
    let later = Some(ASKED + 15 * SEC);
    assert_eq!(held.deadline(), later);
    // The answer to an earlier renewal, and one with a TTL that has become short.
    assert!(held.renewed(TTL, ASKED + 2 * SEC, ASKED + 7 * SEC));
    assert!(held.renewed(SEC, ASKED + 7 * SEC, ASKED + 7 * SEC));
    assert_eq!(held.deadline(), later);
}

#[test]
fn a_renewal_that_is_never_answered_keeps_the_deadline() {
    let held = holder();
    for second in 0..11 {
        assert_eq!(held.at(ASKED + second * SEC), held);
    }
}

#[test]
fn no_answer_revives_a_lost_lease() {
    let end = ASKED + TTL - SEC;
    // Good by its own send, and too late: the loss has been seen.
    let mut held = holder();
    assert!(!held.renewed(TTL, end - SEC, end));
    assert_eq!(held.status(end), Status::Lost(Loss::Unanswered));
    assert_eq!(held.status(ASKED), Status::Lost(Loss::Unanswered), "an end has no way back");
    for loss in [Loss::Taken, Loss::Revoked] {
        let mut held = holder();
        held.refused(loss, ASKED + SEC);
        assert!(!held.renewed(TTL, ASKED + 2 * SEC, ASKED + 3 * SEC));
        assert_eq!((held.status(ASKED + 3 * SEC), held.deadline()), (Status::Lost(loss), None));
    }
}

#[test]
fn the_first_end_is_the_one_that_counts() {
    let mut held = holder();
    assert!(held.release(ASKED + SEC));
    assert!(!held.release(ASKED + SEC));
    held.refused(Loss::Taken, ASKED + 2 * SEC);
    assert_eq!(held.status(ASKED + TTL), Status::Released);
    let mut late = holder();
    assert!(!late.release(ASKED + TTL), "there is nothing left to give up");
    assert_eq!(late.status(ASKED + TTL), Status::Lost(Loss::Unanswered));
}

#[test]
fn a_lease_is_at_risk_from_half_of_its_ttl_without_an_answer() {
    let mut held = holder();
    let half = ASKED + TTL / 2;
    assert_eq!(held.status(half - Duration::from_nanos(1)), Status::Granted);
    assert_eq!(held.status(half), Status::AtRisk);
    held.renewed(TTL, ASKED + 4 * SEC, half);
    assert_eq!(held.status(half), Status::Granted);
}

#[test]
fn absurd_times_end_at_the_ends_and_never_panic() {
    let margin = Margin::new();
    let mut held = Holder::granted(token(1), Duration::MAX, Duration::MAX, margin);
    assert!(held.status(ASKED).is_held() && !held.status(Duration::MAX).is_held());
    assert!(held.renewed(Duration::MAX, ASKED, ASKED));
    held.refused(Loss::Taken, Duration::MAX);
    assert!(held.deadline().is_none());
}

/// What befalls a holder, each so long after the event before it.
#[derive(Clone, Copy, Debug)]
enum Event {
    Look,
    /// Sent so long ago.
    Renewed {
        ttl: u64,
        ago: u64,
    },
    Unanswered,
    Refused(Loss),
    Release,
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        4 => (0_u64..30, 0_u64..20).prop_map(|(ttl, ago)| Event::Renewed { ttl, ago }),
        2 => Just(Event::Look),
        2 => Just(Event::Unanswered),
        1 => prop_oneof![Just(Loss::Taken), Just(Loss::Revoked)].prop_map(Event::Refused),
        1 => Just(Event::Release),
    ];
    vec((0_u64..8, event), 0..40)
}

/// From the whole history, each time anew: the status at its end.
fn naive(history: &[(i64, Event)]) -> Status {
    // Grants as the moments until which they are good, with those at which they were learnt.
    let mut good = vec![(100_i64, 100_i64 + 12 - 1, 12_i64)];
    for &(now, event) in history {
        let best = good.iter().map(|&(_, until, _)| until).max().unwrap();
        if now >= best {
            return Status::Lost(Loss::Unanswered);
        }
        match event {
            Event::Renewed { ttl, ago } => {
                let ttl = i64::try_from(ttl).unwrap();
                good.push((now, now - i64::try_from(ago).unwrap() + (ttl - 1).max(0), ttl));
            }
            Event::Refused(loss) => return Status::Lost(loss),
            Event::Release => return Status::Released,
            Event::Look | Event::Unanswered => {}
        }
    }
    let now = history.last().map_or(100, |&(now, _)| now);
    // The first of those that are good for longest.
    let mut best = good[0];
    for &grant in &good {
        if grant.1 > best.1 {
            best = grant;
        }
    }
    let elapsed = (best.2 - 1).max(0) - (best.1 - now);
    if now >= best.1 {
        Status::Lost(Loss::Unanswered)
    } else if 2 * elapsed >= best.2 {
        Status::AtRisk
    } else {
        Status::Granted
    }
}

proptest! {
    #[test]
    fn whatever_befalls_a_holder_it_is_as_its_whole_history_says(events in events()) {
        let (mut held, mut now, mut history) = (holder(), 100, vec![]);
        for (after, event) in events {
            now += after;
            history.push((i64::try_from(now).unwrap(), event));
            let at = now * SEC.as_nanos() as u64;
            let at = Duration::from_nanos(at);
            match event {
                Event::Look => held = held.at(at),
                Event::Renewed { ttl, ago } => {
                    let sent = at - Duration::from_secs(ago);
                    let is_held = held.renewed(Duration::from_secs(ttl), sent, at);
                    prop_assert_eq!(is_held, held.status(at).is_held());
                }
                Event::Unanswered => {}
                Event::Refused(loss) => held.refused(loss, at),
                Event::Release => {
                    held.release(at);
                }
            }
            // An event that does not look leaves the end to the next that does.
            prop_assert_eq!(held.status(at), naive(&history), "{:?}", history);
            prop_assert_eq!(held.status(at).is_held(), held.remaining(at) > Duration::ZERO);
            prop_assert_eq!(held.at(at).deadline().is_some(), held.status(at).is_held());
        }
    }
}
