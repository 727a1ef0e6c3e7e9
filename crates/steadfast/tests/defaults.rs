//! docs/defaults.md says what the code does: each field of each configuration, as `Debug` shows it,
//! has its row there.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::{fmt::Debug, time::Duration};

use steadfast::{
    DetachConfig,
    breaker::CircuitConfig,
    clock, idempotency, lease, phi, retry,
    timeout::{BodyTimeoutConfig, DeadlineConfig, LimitConfig},
};

const PAGE: &str = include_str!("../../../docs/defaults.md");

/// What the page leaves out, as it says: names, seeds and clocks. Floor and ceiling have no
/// default, and so no row.
const LEFT_OUT: [&str; 7] =
    ["name", "seed", "time_source", "clock", "bounds", "interval", "estimate"];

/// Plain structs within a configuration, whose fields are the configuration's.
const WITHIN: [&str; 5] = ["Settings", "Policy", "MultipleRule", "Rfc6298Rule", "EstimateConfig"];

/// What is said in other words than the general ones: the field, what `Debug` shows, the setter,
/// and the words of the page.
const OWN_WORDS: [(&str, &str, &str, &str); 22] = [
    ("window", "Count(100)", "count_window", "100"),
    ("cold_start", "Some(30s)", "cold_start", "the ceiling"),
    ("consecutive_failures", "Default", "consecutive_failures", "10"),
    (
        "open_time",
        "OpenTime(Backoff { base: 5s, cap: 60s, factor: 2.0, jitter: Equal })",
        "open_time",
        "5 s, doubling to 60 s, the upper half drawn",
    ),
    ("probes", "(3, 2)", "probes", "3, of which 2 must succeed"),
    ("kind", "Quantile(0.99)", "quantile", "0.99"),
    ("kind", "Ewma { weight: 0.125 }", "weight", "0.125"),
    (
        "backoff",
        "Backoff { base: 50ms, cap: 2s, factor: 2.0, jitter: Full }",
        "backoff",
        "50 ms, doubling to 2 s, all of it drawn",
    ),
    (
        "costs",
        "Costs { not_executed: 1, maybe_executed: 1, throttled: 1 }",
        "costs",
        "1 for each retry",
    ),
    ("idempotency", "MethodOrKey", "idempotent", "by method or key"),
    ("wrap", "AsIs", "body_as", "`ReplayBody`"),
    ("header", "Unsaid", "with_attempt_header", "none"),
    ("limit", "65536", "with_limit", "64 KiB"),
    ("most_reply_bytes", "1048576", "most_reply_bytes", "1 MiB"),
    ("most_bytes", "268435456", "most_bytes", "256 MiB"),
    ("margin", "Margin { drift_ppm: 10000, slack: 2ms }", "margin", "1 % and 2 ms"),
    ("ahead", "OfClock(86400s)", "ahead", "24 h ahead of the wall clock"),
    ("history", "Window(1000)", "window", "1,000"),
    ("prior", "Until(8)", "prior", "until 8 heartbeats"),
    ("outliers", "ClampConvicted", "outliers", "clamp convicted"),
    ("start_after", "Timestamp(0)", "start_after", "none"),
    ("jitter", "Ratio(0.2)", "jitter", "20 %"),
];

/// The fields of the struct that `text` is the `Debug` of, and of those in it that are [`WITHIN`].
fn fields(text: &str) -> Vec<(&str, &str)> {
    let (_, body) = text.split_once(" { ").unwrap();
    let body = body.strip_suffix(" }").unwrap();
    let mut depth = 0_i32;
    let parts = body.split(|letter| {
        depth += i32::from("{([".contains(letter)) - i32::from("})]".contains(letter));
        letter == ',' && depth == 0
    });
    let named = parts.filter_map(|part| part.trim().split_once(": "));
    let is_within =
        |value: &str| WITHIN.iter().any(|name| value.starts_with(&[name, " {"].concat()));
    named
        .flat_map(
            |(name, value)| {
                if is_within(value) { fields(value) } else { vec![(name, value)] }
            },
        )
        .collect()
}

/// 1,000,000 of 1000000.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// What the page says of a value.
fn words(value: &str) -> String {
    let value =
        value.strip_prefix("Some(").and_then(|value| value.strip_suffix(')')).unwrap_or(value);
    match value {
        "None" | "inf" | "0ns" => return "none".into(),
        "false" => return "off".into(),
        "true" => return "on".into(),
        "86400s" => return "24 h".into(),
        "604800s" => return "7 days".into(),
        _ => {}
    }
    if let Some(text) = value.strip_prefix('"') {
        return format!("`{}`", text.trim_end_matches('"'));
    }
    if let Some(ratio) = value.strip_prefix("Ratio(") {
        let ratio: f64 = ratio.trim_end_matches(')').parse().unwrap();
        return format!("{} %", ratio * 100.0);
    }
    if value.bytes().all(|digit| digit.is_ascii_digit()) {
        return grouped(value);
    }
    let (number, unit) = value.split_at(value.find(char::is_alphabetic).unwrap_or(value.len()));
    match (number.parse::<f64>(), unit) {
        (Ok(number), "") => number.to_string(),
        (Ok(number), unit) => format!("{number} {unit}"),
        _ => value.to_lowercase(),
    }
}

/// The first two cells of each row of the table below the heading of this type.
fn rows(of: &str) -> Vec<(String, String)> {
    let heading = format!("## `{of}`");
    let lines = PAGE.lines().skip_while(|line| **line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let rows = lines.filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    })
    .collect()
}

/// Rows of the page as the code would have them.
fn expected(config: &dyn Debug) -> Vec<(String, String)> {
    let text = format!("{config:?}");
    let fields = fields(&text).into_iter().filter(|(name, _)| !LEFT_OUT.contains(name));
    fields
        .map(|(name, value)| {
            let own = OWN_WORDS.iter().find(|own| (own.0, own.1) == (name, value));
            match (own, name) {
                (Some(own), _) => (own.2.to_owned(), own.3.to_owned()),
                (None, "method") if value == format!("Phi({:?})", phi::PhiConfig::default()) => {
                    (name.to_owned(), "φ, with the defaults above".to_owned())
                }
                (None, "is_unnamed") => ("unnamed_statements".into(), words(value)),
                (None, name) => (name.trim_start_matches("is_").to_owned(), words(value)),
            }
        })
        .collect()
}

#[test]
fn the_page_has_every_default_and_no_other() {
    let (floor, ceiling) = (Duration::from_millis(10), Duration::from_secs(5));
    let prober = phi::ProberConfig::new(Duration::from_secs(1));
    let configs: [(&str, &dyn Debug); 27] = [
        ("breaker::CircuitConfig", &CircuitConfig::default()),
        ("timeout::LimitConfig::quantile", &LimitConfig::quantile(floor, ceiling)),
        ("timeout::LimitConfig::between_frames", &LimitConfig::between_frames(30 * ceiling / 5)),
        ("timeout::LimitConfig::ewma", &LimitConfig::ewma(floor, ceiling)),
        ("timeout::LimitConfig::rfc6298", &LimitConfig::rfc6298(floor, ceiling)),
        ("timeout::DeadlineConfig", &DeadlineConfig::default()),
        ("timeout::BodyTimeoutConfig", &BodyTimeoutConfig::default()),
        ("retry::RetryConfig", &retry::RetryConfig::default()),
        ("retry::BudgetConfig", &retry::BudgetConfig::default()),
        ("retry::http::HttpReplay", &retry::http::HttpReplay::default()),
        ("idempotency::IdempotencyConfig", &idempotency::IdempotencyConfig::default()),
        ("idempotency::MemoryConfig", &idempotency::MemoryConfig::default()),
        ("idempotency::RedisConfig", &idempotency::RedisConfig::default()),
        ("idempotency::PostgresConfig", &idempotency::PostgresConfig::default()),
        ("idempotency::SqliteConfig", &idempotency::SqliteConfig::default()),
        ("lease::LeaseClientConfig", &lease::LeaseClientConfig::default()),
        ("lease::FenceConfig", &lease::FenceConfig::default()),
        ("lease::MemoryConfig", &lease::MemoryConfig::default()),
        ("lease::FileConfig", &lease::FileConfig::default()),
        ("lease::RedisConfig", &lease::RedisConfig::default()),
        ("lease::PostgresConfig", &lease::PostgresConfig::default()),
        ("lease::EtcdConfig", &lease::EtcdConfig::default()),
        ("lease::BucketConfig", &lease::BucketConfig::default()),
        ("phi::PhiConfig", &phi::PhiConfig::default()),
        ("phi::DetectorConfig", &phi::DetectorConfig::default()),
        ("phi::ProberConfig", &prober),
        ("clock::HlcConfig", &clock::HlcConfig::default()),
    ];
    let more: [(&str, &dyn Debug); 2] = [
        ("clock::KeeperConfig", &clock::KeeperConfig::default()),
        ("DetachConfig", &DetachConfig::default()),
    ];
    let all: Vec<_> = configs.into_iter().chain(more).collect();
    for (of, config) in &all {
        assert_eq!(rows(of), expected(config), "{of}: the page is left, the code is right");
    }
    let headings = PAGE.lines().filter(|line| line.starts_with("## "));
    assert_eq!(headings.count(), all.len(), "a heading of the page is compared with no type");
}
