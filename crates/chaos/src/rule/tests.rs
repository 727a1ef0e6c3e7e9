use super::*;
use crate::{Course, Delay, Plan};

fn refusal(change: impl FnOnce(Rule) -> Rule) -> String {
    let rule = change(Rule::new("x", Fault::ReplyLost));
    Course::new(Plan::new(1).rule(rule)).map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_probability_is_from_0_to_1() {
    for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MIN_POSITIVE] {
        assert_eq!(
            refusal(|rule| rule.probability(wrong)),
            format!("probability is {wrong:?} (rule \"x\"), but must be 0 to 1")
        );
    }
    for right in [0.0, f64::MIN_POSITIVE, 0.5, 1.0] {
        assert_eq!(refusal(|rule| rule.probability(right)), "");
    }
}

#[test]
fn the_rates_of_a_burst_are_above_0_and_at_most_1() {
    for wrong in [0.0, -0.1, 1.1, f64::NAN] {
        let told = format!("is {wrong:?} (rule \"x\"), but must be above 0 and at most 1");
        assert_eq!(refusal(|rule| rule.burst(wrong, 0.5)), format!("enter {told}"));
        assert_eq!(refusal(|rule| rule.burst(0.5, wrong)), format!("leave {told}"));
    }
    assert_eq!(refusal(|rule| rule.burst(1.0, f64::MIN_POSITIVE)), "");
}

#[test]
fn a_range_is_not_empty() {
    let second = Duration::from_secs;
    let told = "but must be a range that ends after it begins";
    assert_eq!(
        refusal(|rule| rule.during(second(3)..second(3))),
        format!("during is 3s..3s (rule \"x\"), {told}")
    );
    assert_eq!(
        refusal(|rule| rule.requests(5..5)),
        format!("requests is 5..5 (rule \"x\"), {told}")
    );
    #[expect(clippy::reversed_empty_ranges, reason = "refused")]
    let backward = refusal(|rule| rule.requests(5..4));
    assert_eq!(backward, format!("requests is 5..4 (rule \"x\"), {told}"));
    assert_eq!(refusal(|rule| rule.requests(5..=5).during(second(3)..=second(3))), "");
}

#[test]
fn ranges_of_every_form_mean_what_they_say() {
    let requests = |rule: Rule| rule.requests;
    let rule = || Rule::new("x", Fault::ReplyLost);
    assert_eq!(requests(rule().requests(..)), 0..u64::MAX);
    assert_eq!(requests(rule().requests(5..)), 5..u64::MAX);
    assert_eq!(requests(rule().requests(..=5)), 0..6);
    assert_eq!(requests(rule().requests(..=u64::MAX)), 0..u64::MAX);
    assert_eq!(requests(rule().requests((Bound::Excluded(5), Bound::Excluded(7)))), 6..7);
    let (three, nano) = (Duration::from_secs(3), Duration::from_nanos(1));
    assert_eq!(stretch(&(..)), Duration::ZERO..Duration::MAX);
    assert_eq!(stretch(&(..=three)), Duration::ZERO..three + nano);
    assert_eq!(stretch(&(three..)), three..Duration::MAX);
    assert_eq!(stretch(&(Bound::Excluded(three), Bound::Unbounded)), three + nano..Duration::MAX);
}

#[test]
fn a_fault_that_holds_up_needs_a_delay() {
    let faults = [Fault::Queued, Fault::Busy, Fault::ReplyLate, Fault::SlowBody];
    for fault in faults {
        let check = |delay| Rule::new("x", fault(delay)).check();
        let error = check(Delay::of(Duration::ZERO)).unwrap_err();
        assert_eq!((error.field, &*error.value), ("delay", "0ns (rule \"x\")"));
        check(Delay::of(Duration::ZERO).jitter(Duration::from_nanos(1))).unwrap();
        check(Delay::of(Duration::from_nanos(1))).unwrap();
    }
}

#[test]
fn a_name_is_not_empty_and_not_another_rules() {
    let error = Rule::new("", Fault::Error).check().unwrap_err();
    assert_eq!(error.to_string(), "name is \"\", but must be not empty");
    let plan = Plan::new(1)
        .rule(Rule::new("x", Fault::Error))
        .rule(Rule::new("y", Fault::Error))
        .rule(Rule::new("x", Fault::BodyCut));
    let error = Course::new(plan).unwrap_err();
    assert_eq!(error.to_string(), "name is \"x\", but must be the name of one rule only");
}
