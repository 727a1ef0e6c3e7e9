//! What the rule has to reach, each with what it does reach.

use super::{cells::*, *};

#[test]
fn up_to_a_tenth_of_hangs_leave_the_limit_and_the_waits_where_they_are() {
    let healthy = hangs(DEFAULT, 0.0);
    for share in [0.005, 0.01, 0.03, 0.05, 0.1] {
        let seen = hangs(DEFAULT, share);
        let all = format!("{share} of the calls hang: {seen:?}, none: {healthy:?}");
        assert!(seen.limit_ms <= 1.2 * healthy.limit_ms, "{all}");
        assert!(seen.wait_ms <= 300.0 && seen.cut <= 0.05 && seen.long <= 0.3, "{all}");
    }
}

#[test]
fn a_step_from_50_to_500_ms_is_over_within_six_calls_of_one_caller() {
    // Which call is the first to succeed, with credit and without.
    let reached = [(1.0, 4, 6), (1.5, 3, 5), (2.0, 3, 5), (3.0, 2, 4)];
    for (factor, with, without) in reached {
        for rule in [quantile, ewma] {
            assert_eq!(sequence(&rule(factor), true), (with, 0), "factor {factor}");
            assert_eq!(sequence(&rule(factor), false), (without, 0), "factor {factor}, no credit");
        }
    }
}

#[test]
fn a_step_of_all_calls_at_100_a_second_costs_at_most_60() {
    let seen = step(DEFAULT, 1.0, 0.0);
    assert!(seen.cost <= 60.0 && seen.later <= 0.1, "{seen:?}");
}

#[test]
fn a_step_of_a_part_of_the_calls_costs_at_most_50_and_nothing_after_twenty_seconds() {
    for share in [0.6, 0.3, 0.1] {
        let seen = step(DEFAULT, share, 0.0);
        assert!(seen.cost <= 50.0 && seen.later <= 0.1, "{share}: {seen:?}");
    }
}

#[test]
fn a_step_with_hangs_beside_it_cuts_at_most_15_percent_in_five_seconds() {
    let seen = step(DEFAULT, 1.0, 0.03);
    assert!(seen.at_first <= 15.0 && seen.later <= 0.1, "{seen:?}");
}

#[test]
fn silence_leaves_the_limit_and_the_calls_in_flight_where_they_are() {
    let (limit_ms, waiting) = silence(DEFAULT);
    assert!(limit_ms <= 265.0 && waiting <= 30.0, "{limit_ms} ms, {waiting} calls");
}

#[test]
fn a_hung_shard_beside_good_calls_is_given_what_they_are() {
    let seen = shard(DEFAULT);
    assert!(seen.given_ms.0 > 100.0 && seen.given_ms.1 < 102.0 && seen.long <= 10.0, "{seen:?}");
}

#[test]
fn a_slow_part_is_the_limit_of_all_from_one_call_in_a_hundred_on_and_not_below() {
    let limit_of = |share| {
        let latency = move |_, traffic: &mut Traffic| {
            if traffic.chance(share) { 4900 * MS } else { healthy(traffic) }
        };
        let stream = Stream::new(Arrivals::Poisson(100.0), latency);
        millis(simulate(&DEFAULT(), 1, 6 * MINUTE, vec![stream]).median_limit(MINUTE))
    };
    let (rare, frequent) = (limit_of(0.005), limit_of(0.02));
    assert!((260.0..312.0).contains(&rare) && frequent > 4999.0, "{rare}, {frequent} ms");
}

/// No bar, but what the rule cannot do.
#[test]
fn beside_hangs_a_few_slow_answers_speak_for_them_and_more_so_where_callers_drop_what_hangs() {
    let above_a_second = |hung, patience| {
        let streams = vec![
            Stream::new(Arrivals::Poisson(100.0), |_, traffic: &mut Traffic| healthy(traffic)),
            Stream::new(Arrivals::Poisson(hung), |_, _: &mut Traffic| NEVER).patience(patience),
            Stream::new(Arrivals::Poisson(0.2), |_, _: &mut Traffic| 4900 * MS),
        ];
        let mut log = simulate(&DEFAULT(), 1, 6 * MINUTE, streams);
        log.limits.retain(|(at, _)| *at >= MINUTE);
        percent(log.limits.iter().filter(|(_, limit)| *limit > SECOND).count(), log.limits.len())
    };
    let seen = [(10.0, NEVER), (10.0, 300 * MS), (3.0, 300 * MS)]
        .map(|(hung, patience)| above_a_second(hung, patience));
    assert!(seen[0] < 25.0 && (40.0..60.0).contains(&seen[1]) && seen[2] < 10.0, "{seen:?} %");
}

#[test]
fn a_heavy_tail_is_neither_chased_up_nor_spiralled_down_at_a_factor_of_one() {
    for seed in 1..=4 {
        let (times, cut) = heavy_tail(|| quantile(1.0), seed);
        assert!((0.9..=1.25).contains(&times) && cut <= 0.5, "seed {seed}: {times} ×, {cut} %");
    }
    let (times, cut) = heavy_tail(|| quantile(1.0).without_explorers(), 1);
    assert!(times < 0.9 && cut > 1.0, "what explorations are for: {times} ×, {cut} %");
}

#[test]
fn callers_that_always_drop_their_calls_do_not_drive_the_limit_below_what_is_answered() {
    for patience in [30, 50, 75, 140, 215, 1000] {
        for factor in [1.0, 2.0] {
            let rule: Rule = if factor == 1.0 { || quantile(1.0) } else { DEFAULT };
            let (times, cut) = impatient(rule, patience * MS);
            assert!(times >= 0.95 * factor && cut <= 0.2, "{patience} ms: {times} ×, {cut} %");
        }
    }
}

#[test]
fn a_service_slower_than_the_cold_start_costs_at_most_two_calls() {
    for (latency, lost) in [(1500, 0), (3000, 1), (4500, 2)] {
        let latency = move |_, _: &mut Traffic| latency * MS;
        let rule = quantile(2.0);
        let log = simulate(&rule, 1, MINUTE, vec![Stream::new(Arrivals::Loop, latency)]);
        let failed = log.runs.iter().filter(|run| run.end != End::Answered).count();
        assert_eq!(failed, lost, "{:?}", log.runs.first());
    }
}

#[test]
fn after_silence_slow_answers_are_the_limit_for_one_window_and_no_longer() {
    let silent = 2 * MINUTE..2 * MINUTE + 30 * SECOND;
    let slow = silent.end..silent.end + SECOND;
    let latency = |now, traffic: &mut Traffic| match now {
        now if silent.contains(&now) => NEVER,
        now if slow.contains(&now) => 2 * SECOND,
        _ => healthy(traffic),
    };
    let rule = quantile(2.0);
    let stream = Stream::new(Arrivals::Poisson(100.0), latency);
    let log = simulate(&rule, 1, 5 * MINUTE, vec![stream]);
    let limit_at = |at: Duration| log.limits[(at.as_millis() / 100) as usize].1;
    let (soon, later) = (limit_at(slow.end + 10 * SECOND), limit_at(slow.end + 70 * SECOND));
    assert!(soon <= 4200 * MS && later <= 300 * MS, "{soon:?}, then {later:?}");
}
