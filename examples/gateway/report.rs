//! What is printed: a line a second, the table, the claims.

use std::time::Duration;

use steadfast::breaker::{Circuit, State};
use steadfast_chaos::FailureMode;
use tokio::time::{Instant, sleep_until};

use crate::{
    gateway::Kind,
    load::{Sample, Samples},
    summary::{Disturbed, Summary},
    upstream::NAMES,
};

/// What stands above the lines of a run.
pub(crate) fn headline(kind: Kind) {
    let what = match kind {
        Kind::Plain => "Without Steadfast: round robin, one timeout of 5 s",
        Kind::Steadfast => {
            "With Steadfast: the same, and retry, breaker, adaptive timeout, deadline, φ"
        }
    };
    println!("\n{what}\n   time     ok/s  errors/s      p50      p99  circuits");
}

/// Prints a line for each second of a run of this length, by the requests that ended in it.
pub(crate) async fn lines(
    start: Instant,
    length: Duration,
    samples: Samples,
    circuits: Vec<Circuit>,
) {
    let mut seen = 0;
    for second in 1..=length.as_secs() {
        sleep_until(start + Duration::from_secs(second)).await;
        let ended = samples.lock()[seen..].to_vec();
        seen += ended.len();
        let ok = ended.iter().filter(|sample| sample.ok).count();
        let (p50, p99) = quantiles(&ended);
        let states: Vec<String> = NAMES
            .iter()
            .zip(&circuits)
            .map(|(name, circuit)| format!("{name} {:9}", circuit.state()))
            .collect();
        let line = format!(
            "{second:5} s {ok:8} {:9} {:>8} {:>8}  {}",
            ended.len() - ok,
            ms(p50),
            ms(p99),
            states.join(" ")
        );
        println!("{}", line.trim_end());
    }
}

/// The median and the 99 % quantile, failures included; zero of nothing.
pub(crate) fn quantiles(samples: &[Sample]) -> (Duration, Duration) {
    let mut latencies: Vec<Duration> = samples.iter().map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    let at = |percent: usize| {
        latencies.get(latencies.len() * percent / 100).copied().unwrap_or_default()
    };
    (at(50), at(99))
}

fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// Both runs side by side.
pub(crate) fn table(without: &Summary, with: &Summary) {
    println!("\n{:52} {:>18} {:>18}", "", "without Steadfast", "with Steadfast");
    let row = |what: &str, of: &dyn Fn(&Summary) -> String| {
        println!("{what:52} {:>18} {:>18}", of(without), of(with));
    };
    row("requests", &|run| run.requests.to_string());
    row("answered as they should be, within a second", &|run| {
        format!("{:.2} %", run.success * 100.0)
    });
    row("time to the answer or to giving up, p50", &|run| ms(run.p50));
    row("                                    p99", &|run| ms(run.p99));
    row("attempts for each request", &|run| format!("{:.3}", run.attempts));
    row("orders executed twice", &|run| run.executed_twice.to_string());
    for (place, disturbed) in with.disturbed.iter().enumerate() {
        let name = NAMES[disturbed.upstream];
        let what = format!("{name} {}: calls sent to it meanwhile", disturbed.mode.name());
        row(&what, &|run| run.disturbed[place].calls.to_string());
        row("          from half a second on", &|run| run.disturbed[place].late_calls.to_string());
        row("          time to stop calling it", &|run| {
            seconds(run.disturbed[place].stopped_after)
        });
        row("          time to call it again, once it is back", &|run| back(&run.disturbed[place]));
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

fn back(disturbed: &Disturbed) -> String {
    match disturbed.stopped_after {
        None => "-".to_owned(),
        Some(_) => seconds(disturbed.back_after),
    }
}

/// Prints what is claimed and whether it holds. Whether all of it does.
pub(crate) fn claims_hold(without: &Summary, with: &Summary) -> bool {
    const SECOND: Duration = Duration::from_secs(1);
    let pairs = || with.disturbed.iter().zip(&without.disturbed);
    let claims = [
        ("more than 99 % of the requests are answered as they should be", with.success > 0.99),
        ("more than without", with.success > without.success),
        ("the 99 % quantile is lower than without", with.p99 < without.p99),
        ("at most 1.25 attempts for each request", with.attempts <= 1.25),
        ("no order is executed twice", with.executed_twice == 0),
        (
            "each disturbed upstream gets at most a tenth of the calls it got",
            pairs().all(|(w, wo)| w.calls * 10 <= wo.calls),
        ),
        (
            "it is no longer called after a second",
            with.disturbed.iter().all(|d| d.stopped_after.is_some_and(|t| t <= SECOND)),
        ),
        (
            "a paused one gets at most two calls from half a second on",
            with.disturbed.iter().all(|d| d.mode != FailureMode::Paused || d.late_calls <= 2),
        ),
        (
            "it is called again within 2.5 s",
            with.disturbed.iter().all(|d| d.back_after.is_some_and(|t| t <= SECOND * 5 / 2)),
        ),
        (
            "every circuit is closed in the end",
            with.states.len() == NAMES.len() && with.states.iter().all(|&s| s == State::Closed),
        ),
    ];
    println!("\nWith Steadfast");
    for (claim, holds) in claims {
        println!("  {} {claim}", if holds { "holds " } else { "FAILS " });
    }
    claims.iter().all(|&(_, holds)| holds)
}
