//! The tables of the README are what the simulation gives.

use std::fmt::Write;

use super::cells::*;

const README: &str = include_str!("../../README.md");
const RULES: [Rule; 3] = [DEFAULT, AVERAGE, DOUBLING];
const HEAD: &str =
    "quantile × 2 | average × 4 | quantile × 2, `explore(false)` |\n|---|--:|--:|--:|\n";

/// A table of which each row is a situation, and each column a rule.
fn table(corner: &str, rows: &[(&str, &dyn Fn(Rule) -> String)]) -> String {
    let mut text = format!("| {corner} | {HEAD}");
    for (name, cell) in rows {
        let cells = RULES.map(cell).join(" | ");
        writeln!(text, "| {name} | {cells} |").expect("a string takes all");
    }
    text
}

fn stands_in_the_readme(table: &str) {
    assert!(README.contains(table), "the README should have\n{table}");
}

#[test]
fn the_table_of_hangs_stands_in_the_readme() {
    let cell = |share: f64| {
        move |rule: Rule| {
            let Hangs { limit_ms, wait_ms, long, cut } = hangs(rule, share);
            format!("{limit_ms:.0} / {wait_ms:.0} / {long:.2} / {cut:.2}")
        }
    };
    let corner = "calls that hang: median limit, 99 % of waits in ms / waits above 1 s, \
                  healthy calls given up in %";
    stands_in_the_readme(&table(
        corner,
        &[
            ("none", &cell(0.0)),
            ("1 %", &cell(0.01)),
            ("5 %", &cell(0.05)),
            ("10 %", &cell(0.1)),
            ("30 %", &cell(0.3)),
        ],
    ));
}

#[test]
fn the_table_of_steps_stands_in_the_readme() {
    let cell = |moved: f64, hung: f64| {
        move |rule: Rule| {
            let Step { cost, at_first, later } = step(rule, moved, hung);
            format!("{cost:.0} / {at_first:.0} / {later:.1}")
        }
    };
    let corner = "calls that take ten times as long: given up in a minute / \
                  of those that moved in the first 5 s, from 20 s on in %";
    stands_in_the_readme(&table(
        corner,
        &[
            ("all", &cell(1.0, 0.0)),
            ("60 %", &cell(0.6, 0.0)),
            ("30 %", &cell(0.3, 0.0)),
            ("10 %", &cell(0.1, 0.0)),
            ("all, 3 % hang", &cell(1.0, 0.03)),
            ("10 %, 3 % hang", &cell(0.1, 0.03)),
        ],
    ));
}

#[test]
fn the_table_of_silence_and_of_tails_stands_in_the_readme() {
    let quiet = |rule: Rule| {
        let (limit, waiting) = silence(rule);
        format!("{limit:.0} ms, {waiting:.0}")
    };
    let beside = |rule: Rule| {
        let Shard { given_ms: (least, most), long } = shard(rule);
        format!("{least:.0} to {most:.0} ms, {long:.0} %")
    };
    let tail = |rule: Rule| {
        let (times, cut) = heavy_tail(rule, 1);
        format!("{times:.2} ×, {cut:.2} %")
    };
    stands_in_the_readme(&table(
        "",
        &[
            ("silence: limit, calls in flight", &quiet),
            ("one hung shard called in a loop: given, calls that wait for over 1 s", &beside),
            ("Pareto tail of 1.5: limit over the true quantile, given up", &tail),
        ],
    ));
}
