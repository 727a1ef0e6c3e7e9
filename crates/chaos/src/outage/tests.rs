use super::*;
use crate::Plan;

const SECOND: Duration = Duration::from_secs(1);
const UPSTREAM: Option<Direction> = Some(Direction::Upstream);
const DOWNSTREAM: Option<Direction> = Some(Direction::Downstream);

fn refusal(outages: impl IntoIterator<Item = Outage>) -> String {
    let plan = outages.into_iter().fold(Plan::new(1), Plan::outage);
    plan.timeline().map_or_else(|error| error.to_string(), |_| String::new())
}

fn outage(mode: FailureMode, from: u32, until: u32) -> Outage {
    Outage::new("a", mode).during(SECOND * from..SECOND * until)
}

fn delayed(direction: Option<Direction>) -> FailureMode {
    FailureMode::Delayed { delay: Delay::of(SECOND), direction }
}

#[test]
fn what_cannot_be_is_refused_by_field_and_value() {
    let random = |up: Duration, down: Duration, until: Duration| {
        refusal([Outage::new("a", FailureMode::Cut).at_random(up, down, until)])
    };
    assert_eq!(
        refusal([outage(FailureMode::Cut, 3, 3)]),
        "during is 3s..3s (outage of \"a\"), but must be a range that ends after it begins"
    );
    assert_eq!(
        refusal([Outage::new("", FailureMode::Cut)]),
        "target is \"\", but must be not empty"
    );
    assert_eq!(
        random(SECOND / 1001, SECOND, SECOND),
        "mean_up is 999µs (outage of \"a\"), but must be a millisecond or more"
            .replace("999µs", &format!("{:?}", SECOND / 1001))
    );
    assert_eq!(
        random(SECOND, Duration::ZERO, SECOND),
        "mean_down is 0ns (outage of \"a\"), but must be a millisecond or more"
    );
    assert_eq!(
        random(SECOND, SECOND, Duration::ZERO),
        "until is 0ns (outage of \"a\"), but must be after the beginning, and at most 100,000 \
         mean times"
    );
    assert_eq!(
        random(SECOND, SECOND, SECOND * 200_001),
        "until is 200001s (outage of \"a\"), but must be after the beginning, and at most 100,000 \
         mean times"
    );
    assert_eq!(random(SECOND, SECOND, SECOND * 200_000), "");
    assert_eq!(random(Duration::MAX, Duration::MAX, Duration::MAX), "");
}

#[test]
fn a_process_fails_in_one_way_at_a_time() {
    let (paused, killed) = (FailureMode::Paused, FailureMode::Killed);
    assert_eq!(
        refusal([outage(paused, 1, 5), outage(killed, 4, 9)]),
        "during is 4s..9s (outage of \"a\", beside (\"paused\", 1s..5s)), but must be apart from \
         the other outages that exclude it"
    );
    assert_eq!(refusal([outage(paused, 1, 5), outage(killed, 5, 9)]), "");
    assert_eq!(refusal([outage(paused, 1, 5), Outage::new("b", killed)]), "");
    assert_ne!(refusal([outage(paused, 1, 5), Outage::new("a", killed)]), "");
    let random = Outage::new("a", paused).at_random(SECOND, SECOND, SECOND * 10);
    assert_eq!(
        refusal([outage(killed, 9, 11), random.clone()]),
        "until is 0ns..10s (outage of \"a\", beside (\"killed\", 9s..11s)), but must be apart \
         from the other outages that exclude it"
    );
    assert_eq!(refusal([outage(killed, 10, 11), random]), "");
}

#[test]
fn a_link_fails_in_several_ways_but_in_each_once() {
    let both = |a, b| refusal([outage(a, 1, 5), outage(b, 4, 9)]);
    assert_eq!(both(FailureMode::Cut, delayed(None)), "");
    assert_eq!(both(delayed(UPSTREAM), delayed(DOWNSTREAM)), "");
    assert_ne!(both(delayed(UPSTREAM), delayed(UPSTREAM)), "");
    assert_ne!(both(delayed(UPSTREAM), delayed(None)), "");
    assert_ne!(both(delayed(None), delayed(DOWNSTREAM)), "");
    assert_ne!(both(FailureMode::Cut, FailureMode::Cut), "");
}
