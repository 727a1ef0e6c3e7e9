use std::{num::NonZeroU64, time::Duration};

use super::*;
use crate::{Change, Delay, Direction, Event, FailureMode, Fault};

fn refusal(text: &str) -> String {
    Plan::from_toml(text).unwrap_err().to_string()
}

#[test]
fn the_gateways_bad_day_is_a_plan() {
    let plan = Plan::from_toml(include_str!("../../../../examples/gateway/bad_day.toml")).unwrap();
    let slow = FailureMode::Delayed {
        delay: Delay::of(Duration::from_secs(2)),
        direction: Some(Direction::Downstream),
    };
    let second = Duration::from_secs;
    assert_eq!(
        plan.timeline().unwrap(),
        [
            Event::begin(second(3), "A", FailureMode::Paused),
            Event::end(second(11), "A", FailureMode::Paused),
            Event::begin(second(14), "B", FailureMode::Killed),
            Event::end(second(22), "B", FailureMode::Killed),
            Event::begin(second(25), "C", slow),
            Event::end(second(33), "C", slow),
        ]
    );
}

#[test]
fn the_file_in_the_readme_is_a_plan() {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("```toml\n").unwrap();
    let plan = Plan::from_toml(after.split_once("```").unwrap().0).unwrap();
    assert_eq!((plan.rules.len(), plan.outages.len()), (1, 2));
}

#[test]
fn every_field_of_a_rule_is_read() {
    let text = r#"
        name = "all"
        seed = 42
        [[rule]]
        name = "first"
        fault = "queued"
        delay = "1m 30s"
        jitter = "150ms"
        probability = 0.25
        during = "3s..11s"
        requests = "100..200"
        every = 3
        burst = { enter = 0.002, leave = 0.1 }
        only = "orders"
        at_most = 7
        [[rule]]
        name = "second"
        fault = "body_cut"
        during = "..11s"
        requests = "5.."
    "#;
    let number = |n| NonZeroU64::new(n).unwrap();
    let (second, milli) = (Duration::from_secs, Duration::from_millis);
    let meant = Plan::new(42)
        .named("all")
        .rule(
            crate::Rule::new("first", Fault::Queued(Delay::of(second(90)).jitter(milli(150))))
                .probability(0.25)
                .during(second(3)..second(11))
                .requests(100..200)
                .every(number(3))
                .burst(0.002, 0.1)
                .only("orders")
                .at_most(number(7)),
        )
        .rule(crate::Rule::new("second", Fault::BodyCut).during(..second(11)).requests(5..));
    assert_eq!(format!("{:?}", Plan::from_toml(text).unwrap()), format!("{meant:?}"));
}

#[test]
fn every_fault_can_be_written_and_those_with_a_delay_need_one() {
    for kind in crate::FaultKind::ALL {
        let rule = format!("[[rule]]\nname = \"x\"\nfault = \"{kind}\"\n");
        let delayed = format!("{rule}delay = \"2s\"\n");
        let (bare, delayed) = (Plan::from_toml(&rule), Plan::from_toml(&delayed));
        let (plan, refused) = if bare.is_ok() { (bare, delayed) } else { (delayed, bare) };
        let fault = plan.unwrap().rules[0].fault;
        assert_eq!(fault.kind(), *kind);
        let refused = refused.unwrap_err().to_string();
        match fault.delay() {
            Some(delay) => {
                assert_eq!(delay, Delay::of(Duration::from_secs(2)));
                assert_eq!(refused, "line 1: delay is None, but must be given");
            }
            None => assert_eq!(
                refused,
                "line 4: delay is 2s, but must be left out: this fault has no delay"
            ),
        }
    }
}

#[test]
fn every_field_of_an_outage_is_read() {
    let outage = |rest: &str| {
        let text = format!("[[outage]]\ntarget = \"x\"\n{rest}");
        Plan::from_toml(&text).unwrap().outages[0].mode()
    };
    assert_eq!(outage("mode = \"paused\""), FailureMode::Paused);
    assert_eq!(outage("mode = \"killed\""), FailureMode::Killed);
    assert_eq!(outage("mode = \"cut\""), FailureMode::Cut);
    assert_eq!(outage("mode = \"black_hole\""), FailureMode::BlackHole { direction: None });
    assert_eq!(
        outage("mode = \"black_hole\"\ndirection = \"upstream\""),
        FailureMode::BlackHole { direction: Some(Direction::Upstream) }
    );
    let delay = Delay::of(Duration::from_secs(1)).jitter(Duration::from_secs(2));
    assert_eq!(
        outage("mode = \"delayed\"\ndelay = \"1s\"\njitter = \"2s\""),
        FailureMode::Delayed { delay, direction: None }
    );
    assert_eq!(
        outage("mode = \"limited\"\nbytes_per_second = 1_000\ndirection = \"downstream\""),
        FailureMode::Limited {
            bytes_per_second: NonZeroU64::new(1000).unwrap(),
            direction: Some(Direction::Downstream),
        }
    );
    let random =
        "mode = \"cut\"\nat_random = { mean_up = \"1m\", mean_down = \"1s\", until = \"1h\" }";
    let text = format!("[[outage]]\ntarget = \"x\"\n{random}");
    let events = Plan::from_toml(&text).unwrap().timeline().unwrap();
    assert!(events.len() > 20, "{} events", events.len());
    assert_eq!(events[0].change, Change::Begin);
}

/// The line, the field and the value, each in words a person can act on.
#[test]
fn a_refusal_says_line_field_and_value() {
    let rule = |rest: &str| refusal(&format!("[[rule]]\nname = \"x\"\nfault = \"error\"\n{rest}"));
    assert_eq!(
        rule("probability = 1.5"),
        "line 4: probability is 1.5 (rule \"x\"), but must be 0 to 1"
    );
    assert_eq!(
        rule("probability = nan"),
        "line 4: probability is NaN (rule \"x\"), but must be 0 to 1"
    );
    assert_eq!(
        rule("\nduring = \"3s..2s\""),
        "line 5: during is 3s..2s (rule \"x\"), but must be a range that ends after it begins"
    );
    assert_eq!(
        rule("burst = { enter = 0, leave = 1 }"),
        "line 4: enter is 0.0 (rule \"x\"), but must be above 0 and at most 1"
    );
    assert_eq!(
        rule("[[rule]]\nfault = \"error\"\nname = \"x\""),
        "line 6: name is \"x\", but must be the name of one rule only"
    );
    assert_eq!(
        rule("often = 3"),
        "line 4, `often = 3`: unknown field `often`, expected one of `name`, `fault`, `delay`, \
         `jitter`, `probability`, `during`, `requests`, `every`, `burst`, `only`, `at_most`"
    );
    assert_eq!(
        rule("every = 0"),
        "line 4, `every = 0`: invalid value: integer `0`, expected a nonzero u64"
    );
    assert_eq!(
        rule("probability = \"often\""),
        "line 4, `probability = \"often\"`: invalid type: string \"often\", expected f64"
    );
    assert_eq!(
        rule("during = \"3s\""),
        "line 4, `during = \"3s\"`: no range: its ends have `..` between them, as in `3s..11s`"
    );
    assert_eq!(
        rule("during = \"3 parsecs..\""),
        "line 4, `during = \"3 parsecs..\"`: unknown time unit \"parsecs\", supported units: ns, \
         us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations)"
    );
    assert_eq!(refusal("[[rule]]\nname = \"x\""), "line 1, `[[rule]]`: missing field `fault`");
    assert_eq!(
        refusal("[[rule]]\nname = \"x\"\nfault = \"gremlins\""),
        "line 3, `fault = \"gremlins\"`: no fault, which are request_lost, queued, \
         crashed_before, busy, reply_lost, reply_late, duplicated, error, bit_flipped, body_cut, \
         slow_body, byzantine"
    );
    assert_eq!(
        refusal("seed = -1"),
        "line 1, `seed = -1`: invalid value: integer `-1`, expected u64"
    );
    assert!(refusal("seed = 1\nseed = 2").starts_with("line 2, `seed = 2`: duplicate key"));
    assert!(refusal("\n\nseed = ").starts_with("line 3, `seed =`: "));
}

#[test]
fn a_refusal_of_an_outage_says_line_field_and_value() {
    let outage = |rest: &str| refusal(&format!("[[outage]]\ntarget = \"x\"\n{rest}"));
    assert_eq!(
        outage("mode = \"cut\"\ndirection = \"upstream\""),
        "line 4: direction is Upstream, but must be left out: the failure mode has none"
    );
    assert_eq!(
        outage("mode = \"cut\"\ndelay = \"2s\""),
        "line 4: delay is 2s, but must be left out: the failure mode has none"
    );
    assert_eq!(
        outage("mode = \"cut\"\nbytes_per_second = 5"),
        "line 4: bytes_per_second is 5, but must be left out: the failure mode has none"
    );
    assert_eq!(outage("mode = \"limited\""), "line 1: bytes_per_second is None, but must be given");
    assert_eq!(outage("mode = \"delayed\""), "line 1: delay is None, but must be given");
    assert_eq!(
        outage("mode = \"delayed\"\ndelay = \"0s\""),
        "line 4: delay is 0ns (outage of \"x\"), but must be longer than nothing, by itself or by \
         its jitter"
    );
    let random = "at_random = { mean_up = \"1m\", mean_down = \"0s\", until = \"1h\" }";
    assert_eq!(
        outage(&format!("mode = \"cut\"\n{random}")),
        "line 4: mean_down is 0ns (outage of \"x\"), but must be a millisecond or more"
    );
    assert_eq!(
        outage(&format!("mode = \"cut\"\nduring = \"1s..2s\"\n{random}")),
        "line 4: during is 1s..2s, but must be left out: the outage is at_random"
    );
    let first = "mode = \"paused\"\nduring = \"1s..5s\"\n";
    assert_eq!(
        outage(&format!(
            "{first}[[outage]]\ntarget = \"x\"\nmode = \"killed\"\nduring = \"4s..9s\""
        )),
        "line 8: during is 4s..9s (outage of \"x\", beside (\"paused\", 1s..5s)), but must be \
         apart from the other outages that exclude it"
    );
}

#[test]
fn a_plan_is_loaded_from_a_file_and_a_missing_file_is_named() {
    let error = Plan::load("no/such/plan.toml").unwrap_err();
    assert_eq!(error.to_string(), "cannot read no/such/plan.toml");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/gateway/bad_day.toml");
    assert_eq!(Plan::load(path).unwrap().outages.len(), 3);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z0-9 =\"\n.{}_-]{0,80}") {
        let _ = Plan::from_toml(&text);
    }
}

#[test]
fn a_file_of_another_system_is_read_and_lines_are_counted_as_its_editor_does() {
    let windows = "\u{feff}seed = 7\r\n\r\n[[rule]]\r\nname = \"x\"\r\nfault = \"error\"\r\n";
    assert_eq!(Plan::from_toml(windows).unwrap().seed, 7);
    assert_eq!(
        refusal(&format!("{windows}probability = 2.0\r\n")),
        "line 6: probability is 2.0 (rule \"x\"), but must be 0 to 1"
    );
    assert_eq!(
        refusal("[[rule]]\nname = \"\u{e9}\u{e9}\u{e9}\"\nfault = \"\u{e9}rror\""),
        format!(
            "line 3, `fault = \"\u{e9}rror\"`: no fault, which are {}",
            crate::FaultKind::ALL.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ")
        )
    );
}

#[test]
fn numbers_that_are_too_large_and_nests_that_are_too_deep_are_refused() {
    let rule = |rest: &str| {
        refusal(&format!("[[rule]]\nname = \"x\"\nfault = \"queued\"\ndelay = \"1s\"\n{rest}"))
    };
    for wrong in [
        "jitter = \"99999999999999999999999s\"",
        "jitter = \"-1s\"",
        "jitter = \"\"",
        "requests = \"0..99999999999999999999999\"",
        "requests = \"..\u{2026}\"",
        "requests = \"5..5\"",
        "requests = \"9..5\"",
        "requests = \"1..2..3\"",
        "during = \"1s..=2s\"",
        "at_most = 99999999999999999999",
        "probability = inf",
        "burst = { enter = nan, leave = 0.1 }",
        "burst = { enter = 0.1 }",
        "name = \"y\"",
    ] {
        let said = rule(wrong);
        assert!(said.starts_with("line 5"), "{wrong}: {said}");
    }
    let deep = format!("seed = {}", "[".repeat(100_000));
    assert!(refusal(&deep).len() < 300_000);
}

#[test]
fn every_seed_can_be_written() {
    for seed in [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(Plan::from_toml(&format!("seed = {seed}")).unwrap().seed, seed);
    }
}
