use std::{
    num::NonZeroU64,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::Delay;

const MILLION: u64 = 1_000_000;

fn course(rules: impl IntoIterator<Item = Rule>, seed: u64) -> Course {
    Course::new(rules.into_iter().fold(Plan::new(seed), Plan::rule)).unwrap()
}

fn lost(name: &str) -> Rule {
    Rule::new(name, Fault::RequestLost)
}

fn number(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).unwrap()
}

/// The numbers of the requests that are struck, of so many that nothing is known of.
fn struck(course: &mut Course, requests: u64) -> Vec<u64> {
    (0..requests).filter_map(|_| course.decide(&Facts::default())).map(|s| s.number).collect()
}

/// How far from `share` the struck requests are, in σ. `lambda` is by how much a request takes
/// after the one before: 0 where none does.
fn deviation(rule: Rule, seed: u64, requests: u64, share: f64, lambda: f64) -> f64 {
    let struck = struck(&mut course([rule], seed), requests).len() as f64;
    let n = requests as f64;
    let sigma = (n * share * (1.0 - share) * (1.0 + lambda) / (1.0 - lambda)).sqrt();
    (struck - n * share) / sigma
}

#[test]
fn a_rate_over_a_million_requests_is_within_three_sigma() {
    for (seed, rate) in [(1, 0.001), (2, 0.01), (3, 0.1), (4, 0.5), (5, 0.9), (6, 0.999)] {
        let off = deviation(lost("x").probability(rate), seed, MILLION, rate, 0.0);
        assert!(off.abs() < 3.0, "rate {rate} with seed {seed}: {off} σ");
    }
}

#[test]
fn bursts_over_a_million_requests_are_within_three_sigma() {
    let rates = [(1, 0.002, 0.1), (2, 0.05, 0.05), (3, 0.0005, 0.01), (4, 0.9, 0.8), (5, 1.0, 0.5)];
    for (seed, enter, leave) in rates {
        let share = enter / (enter + leave);
        let rule = lost("x").burst(enter, leave);
        let off = deviation(rule, seed, MILLION, share, 1.0 - enter - leave);
        assert!(off.abs() < 3.0, "{enter} and {leave} with seed {seed}: {off} σ");
    }
}

/// Three σ would also pass what does not vary at all. Over a hundred seeds the mean square is 1,
/// with a deviation of √(2 / 100).
#[test]
fn rates_and_bursts_vary_from_seed_to_seed_as_chance_does() {
    let spread = |rule: &Rule, share, lambda| {
        let square = |seed| deviation(rule.clone(), seed, 50_000, share, lambda).powi(2);
        (0..100).map(square).sum::<f64>() / 100.0
    };
    let cases = [
        ("rate", spread(&lost("x").probability(0.1), 0.1, 0.0)),
        ("burst", spread(&lost("x").burst(0.02, 0.1), 1.0 / 6.0, 0.88)),
    ];
    for (what, spread) in cases {
        assert!((spread - 1.0).abs() < 3.0 * 0.02_f64.sqrt(), "{what}: {spread}");
    }
}

/// A request meets one fault at most, so each rule has its share of what the others left.
#[test]
fn a_later_rule_strikes_its_share_of_what_is_left() {
    let mut course = course([lost("a").probability(0.3), lost("b").probability(0.2)], 9);
    struck(&mut course, MILLION);
    let seen: Vec<_> = course.struck().collect();
    for (seen, share) in seen.into_iter().zip([0.3_f64, 0.7 * 0.2]) {
        let sigma = (1e6 * share * (1.0 - share)).sqrt();
        assert!((seen as f64 - 1e6 * share).abs() < 3.0 * sigma, "{seen} of {share}");
    }
    assert_eq!(course.requests(), MILLION);
}

/// Every kind of condition but time, which repeats only where time does.
fn all_kinds() -> Vec<Rule> {
    vec![
        lost("bounded").probability(0.01).at_most(number(700)),
        lost("every").every(number(97)).requests(1000..900_000),
        lost("burst").burst(0.002, 0.1).probability(0.5),
        Rule::new("late", Fault::ReplyLate(Delay::of(Duration::from_secs(1)))).probability(0.05),
    ]
}

/// What so many tasks make of a million requests between them, sorted. `key` makes a request's
/// key of its place among all requests, which is not its number: tasks run as they like.
async fn by_tasks(
    tasks: u64,
    rules: Vec<Rule>,
    key: fn(u64) -> Option<u64>,
) -> Vec<(u64, Option<u64>, usize, u64)> {
    let course: &'static Mutex<Course> = Box::leak(Box::new(Mutex::new(course(rules, 5))));
    let share = MILLION / tasks;
    let task = |task: u64| async move {
        let mut struck = Vec::new();
        for place in task * share..(task + 1) * share {
            let facts = Facts { key: key(place), ..Facts::default() };
            let strike = course.lock().unwrap_or_else(PoisonError::into_inner).decide(&facts);
            struck.extend(strike.map(|s| (s.number, facts.key, s.rule, s.chance.to_bits())));
            if place.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
        struck
    };
    let tasks: Vec<_> = (0..tasks).map(|number| tokio::spawn(task(number))).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_task_and_eight_strike_the_same_numbers_with_the_same_faults() {
    let one = by_tasks(1, all_kinds(), |_| None).await;
    let eight = by_tasks(8, all_kinds(), |_| None).await;
    assert!(one.len() > 50_000, "{}", one.len());
    assert!(one == eight, "{} and {} strikes", one.len(), eight.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_a_key_one_task_and_eight_strike_the_same_requests() {
    let rules = || vec![lost("a").probability(0.03), lost("b").probability(0.05)];
    let requests = |mut all: Vec<(u64, Option<u64>, usize, u64)>| {
        all.iter_mut().for_each(|strike| strike.0 = 0);
        all.sort_unstable();
        all
    };
    let key = |place: u64| Some(place * 1000);
    let one = requests(by_tasks(1, rules(), key).await);
    let eight = requests(by_tasks(8, rules(), key).await);
    assert!(one == eight, "{} and {} strikes", one.len(), eight.len());
    let off = (one.len() as f64 - 1e6 * 0.0785) / (1e6_f64 * 0.0785 * 0.9215).sqrt();
    assert!(off.abs() < 3.0, "{off} σ");
}

#[test]
fn a_key_that_comes_again_meets_the_same_fault() {
    let mut course = course([lost("a").probability(0.5)], 1);
    let mut ask = |key| course.decide(&Facts::default().key(key)).map(|strike| strike.chance);
    let first: Vec<_> = (0..100).map(&mut ask).collect();
    let again: Vec<_> = (0..100).map(&mut ask).collect();
    assert_eq!(first, again);
    assert!(first.iter().any(Option::is_some) && first.iter().any(Option::is_none));
}

/// What decided the strike is below the rate: the strike's own number is another draw.
#[test]
fn the_own_numbers_of_strikes_are_even_at_every_rate() {
    for rate in [0.01, 0.3, 1.0] {
        let mut course = course([lost("a").probability(rate)], 1);
        let strikes = (0..MILLION / 4).filter_map(|_| course.decide(&Facts::default()));
        let mut counts = [0_u32; 10];
        strikes.for_each(|strike| counts[(strike.chance * 10.0) as usize] += 1);
        let n = f64::from(counts.iter().sum::<u32>());
        for count in counts {
            let off = (f64::from(count) - n / 10.0) / (n * 0.09).sqrt();
            assert!(off.abs() < 4.0, "rate {rate}: {counts:?}");
        }
    }
}

#[test]
fn a_higher_rate_strikes_the_same_requests_and_more() {
    let at = |rate| struck(&mut course([lost("a").probability(rate)], 3), 10_000);
    let (low, high) = (at(0.1), at(0.2));
    assert!(low.iter().all(|number| high.contains(number)) && low.len() < high.len());
    assert!(at(0.0).is_empty());
    assert_eq!(at(1.0).len(), 10_000);
}

#[test]
fn another_rule_before_it_changes_no_draw_count_or_burst_of_a_rule() {
    let rules =
        || [lost("a").probability(0.3), lost("b").burst(0.1, 0.1), lost("c").every(number(7))];
    let other = || Rule::new("other", Fault::Error).probability(0.4);
    for rule in rules() {
        let alone = struck(&mut course([rule.clone()], 3), 10_000);
        let mut beside = course([other(), rule], 3);
        let all: Vec<_> = (0..10_000).filter_map(|_| beside.decide(&Facts::default())).collect();
        let of_other = |number| all.iter().any(|s| s.number == number && s.rule == 0);
        let left = alone.into_iter().filter(|&number| !of_other(number));
        assert!(left.eq(all.iter().filter(|s| s.rule == 1).map(|s| s.number)));
    }
}

#[test]
fn every_counts_what_its_filters_let_through() {
    let rule = lost("a").only("x").requests(10..).every(number(3));
    let mut course = course([rule], 1);
    let tag = |number: u64| if number.is_multiple_of(2) { "x" } else { "y" };
    let struck = (0..30).filter_map(|n| course.decide(&Facts::default().tag(tag(n))));
    // Of 10, 12, 14, 16 … each third.
    assert_eq!(struck.map(|s| s.number).collect::<Vec<_>>(), [14, 20, 26]);
}

#[test]
fn a_bound_is_of_strikes_and_not_of_what_could_be_struck() {
    let mut course = course([lost("a").only("x"), lost("b").at_most(number(2))], 1);
    let rules = ["x", "y", "x", "y", "y"]
        .map(|tag| course.decide(&Facts::default().tag(tag)).map(|strike| strike.rule));
    assert_eq!(rules, [Some(0), Some(1), Some(0), Some(1), None]);
}

#[test]
fn a_schedule_goes_by_the_time_that_is_told() {
    let second = Duration::from_secs;
    let mut course = course([lost("a").during(second(3)..second(11))], 1);
    let mut is_struck = |at| course.decide(&Facts::at(at)).is_some();
    let nano = Duration::from_nanos(1);
    assert!(!is_struck(second(3) - nano));
    assert!(is_struck(second(3)));
    assert!(is_struck(second(11) - nano));
    assert!(!is_struck(second(11)));
    // And back: it is no state.
    assert!(is_struck(second(5)));
}

#[test]
fn a_rate_is_changed_from_the_next_request_on() {
    let mut course = course([lost("a").probability(0.0), lost("b").probability(0.0)], 1);
    assert!(course.decide(&Facts::default()).is_none());
    course.set_probability("b", 1.0).unwrap();
    assert_eq!(course.decide(&Facts::default()).map(|s| (s.number, s.rule)), Some((1, 1)));
    let error = course.set_probability("c", 1.0).unwrap_err();
    assert_eq!(error, RateError::UnknownRule { name: "c".into() });
    assert_eq!(error.to_string(), "the plan has no rule \"c\"");
    for wrong in [f64::NAN, 1.5, -0.5] {
        let error = course.set_probability("b", wrong).unwrap_err().to_string();
        assert_eq!(error, format!("probability is {wrong:?} (rule \"b\"), but must be 0 to 1"));
    }
    assert!(course.decide(&Facts::default()).is_some(), "the rate is as it was");
    assert_eq!(course.plan().rules()[1].probability, 1.0);
}

#[test]
fn another_plan_begins_with_request_0_and_one_that_cannot_be_changes_nothing() {
    let mut course = course([lost("a").at_most(number(1))], 1);
    assert!(course.decide(&Facts::default()).is_some());
    course.replace(Plan::new(1).rule(lost("a").probability(2.0))).unwrap_err();
    assert!(course.decide(&Facts::default()).is_none(), "the bound was reached");
    assert_eq!(course.requests(), 2);
    course.replace(Plan::new(1).rule(lost("a"))).unwrap();
    assert_eq!(course.decide(&Facts::default()).map(|strike| strike.number), Some(0));
}

/// A rule of a generated plan, and what is known of a request, as plain data.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (
        prop_oneof![Just(1.0), 0.0..=1.0],
        proptest::option::of((0..60_u64, 1..60_u64)),
        proptest::option::of((0..60_u64, 1..60_u64)),
        proptest::option::of(1..5_u64),
        proptest::option::of((0.01..=1.0, 0.01..=1.0)),
        proptest::option::of(prop_oneof![Just("x"), Just("y")]),
        proptest::option::of(1..5_u64),
    );
    let rule = rule.prop_map(|(probability, during, requests, every, burst, only, at_most)| {
        let ends = |(from, length)| from..from + length;
        let mut rule = lost("").probability(probability);
        if let Some(Range { start, end }) = during.map(ends) {
            rule = rule.during(Duration::from_secs(start)..Duration::from_secs(end));
        }
        rule.requests = requests.map_or(0..u64::MAX, ends);
        rule.every = every.map(number);
        rule.at_most = at_most.map(number);
        rule.burst = burst;
        rule.only = only.map(Into::into);
        rule
    });
    proptest::collection::vec(rule, 1..5).prop_map(|mut rules| {
        for (place, rule) in rules.iter_mut().enumerate() {
            rule.name = place.to_string().into();
        }
        rules
    })
}

fn requests() -> impl Strategy<Value = Vec<(u64, Option<&'static str>, Option<u64>)>> {
    let tag = proptest::option::of(prop_oneof![Just("x"), Just("y"), Just("z")]);
    proptest::collection::vec((0..120_u64, tag, proptest::option::of(0..9_u64)), 0..120)
}

/// Whether a burst is on, by a walk from the first request.
fn naive_burst(seed: u64, name: &str, (enter, leave): (f64, f64), number: u64) -> bool {
    let mut lengths = Stream::new(seed, &["burst", name]).sequence();
    let mut is_on = lengths.uniform() < enter / (enter + leave);
    let mut at = 0;
    loop {
        at += lengths.geometric(if is_on { leave } else { enter });
        if number < at {
            return is_on;
        }
        is_on = !is_on;
    }
}

/// The rule that strikes the last of these requests: all is counted from the first request on.
fn naive(
    seed: u64,
    rules: &[Rule],
    requests: &[(u64, Option<&str>, Option<u64>)],
    before: &[Option<usize>],
) -> Option<usize> {
    let passes = |rule: &Rule, number: usize| {
        let (elapsed, tag, _) = requests[number];
        let is_tag = rule.only.is_none() || rule.only.as_deref() == tag;
        let is_time = rule.during.start.as_secs() <= elapsed
            && Duration::from_secs(elapsed) < rule.during.end;
        is_tag && is_time && rule.requests.contains(&(number as u64))
    };
    let number = requests.len() - 1;
    let subject = requests[number].2.unwrap_or(number as u64);
    (0..rules.len()).find(|&place| {
        let rule = &rules[place];
        let count = (0..=number).filter(|&earlier| passes(rule, earlier)).count() as u64;
        let strikes = before.iter().filter(|&&struck| struck == Some(place)).count() as u64;
        passes(rule, number)
            && rule.every.is_none_or(|every| count % every == 0)
            && rule.at_most.is_none_or(|most| strikes < most.get())
            && rule.burst.is_none_or(|rates| naive_burst(seed, &rule.name, rates, number as u64))
            && Stream::new(seed, &["strike", &rule.name]).at(subject) < rule.probability
    })
}

proptest! {
    #[test]
    fn it_strikes_as_a_naive_model_does(seed: u64, rules in rules(), requests in requests()) {
        let mut course = course(rules.clone(), seed);
        let mut before = Vec::new();
        for (number, &(elapsed, tag, key)) in requests.iter().enumerate() {
            let facts = Facts { elapsed: Duration::from_secs(elapsed), tag, key };
            let strike = course.decide(&facts);
            let meant = naive(seed, &rules, &requests[..=number], &before);
            prop_assert_eq!(strike.map(|strike| strike.rule), meant, "request {}", number);
            prop_assert!(strike.is_none_or(|s| s.number == number as u64 && s.chance < 1.0));
            before.push(meant);
        }
    }

    #[test]
    fn no_plan_and_no_request_make_it_panic(
        (probability, enter, leave) in (any::<f64>(), any::<f64>(), any::<f64>()),
        (from, until, every) in (any::<u64>(), any::<u64>(), any::<u64>()),
    ) {
        let during = Duration::from_nanos(from)..Duration::from_nanos(until);
        let mut rule = lost("x").probability(probability).burst(enter, leave).during(during);
        rule.requests = from..until;
        rule.every = NonZeroU64::new(every);
        if let Ok(mut course) = Course::new(Plan::new(from).rule(rule)) {
            for key in [0, u64::MAX] {
                course.decide(&Facts::at(Duration::MAX).key(key));
            }
        }
    }
}
