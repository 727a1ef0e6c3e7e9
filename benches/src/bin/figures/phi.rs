//! Failure detectors on heartbeats over three networks.
//!
//! The traces take logarithms and cosines, whose last bit may differ between machines. A figure
//! would show that only if it decided between two pixels.

mod calibrated;
mod curves;
mod tradeoff;

// The testkit itself brings tokio's `test-util`, which would slow every clock that this package
// measures.
#[path = "../../../../crates/testkit/src/traces.rs"]
#[allow(dead_code, unreachable_pub, reason = "the module of another crate")]
mod traces;

use std::time::{Duration, Instant};

use plotters::{coord::Shift, prelude::*};
use steadfast_phi::{Distribution, Outliers, PhiAccrual, PhiConfig};

use self::traces::{Beat, Drift, Lan, Network, Wan};
pub(crate) use self::{
    calibrated::draw as calibrated, curves::draw as curves, tradeoff::draw as tradeoff,
};

/// Colour-blind readers tell them apart (Okabe and Ito's blue, vermilion, bluish green, and
/// reddish purple).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const PURPLE: RGBColor = RGBColor(204, 121, 167);

const SEED: u64 = 1;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const fn beats(network: Network) -> usize {
    match network {
        Network::Wan => Wan::BEATS,
        Network::Lan => Lan::BEATS,
        Network::Drift => Drift::BEATS,
    }
}

const fn title(network: Network) -> &'static str {
    match network {
        Network::Wan => "WAN, a heartbeat each 103.5 ms: a heavy tail and bursts of losses",
        Network::Lan => "LAN, each 100 ms: a pause a minute",
        Network::Drift => "daily drift, each second: delays and losses follow the day",
    }
}

/// Beats that arrive, and when they do, without an end.
fn arrivals(network: Network) -> Box<dyn Iterator<Item = (Beat, Duration)>> {
    let arrived = |beat: Beat| Some((beat, beat.arrived?));
    match network {
        Network::Wan => Box::new(Wan::seeded(SEED).filter_map(arrived)),
        Network::Lan => Box::new(Lan::seeded(SEED).filter_map(arrived)),
        Network::Drift => Box::new(Drift::seeded(SEED).filter_map(arrived)),
    }
}

/// φ of a distribution as it is: nothing is added to the mean or the deviation of the last 1,000
/// intervals, and all are samples.
fn accrual(distribution: Distribution, network: Network) -> PhiAccrual {
    let config = PhiConfig::new()
        .distribution(distribution)
        .window(1_000)
        .first_interval(network.period())
        .minimum_deviation(Duration::from_micros(1))
        .outliers(Outliers::Keep);
    PhiAccrual::new(config).expect("all is in range")
}

/// Traces count from some instant, which no figure shows.
fn origin() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// From one instant to another, in seconds.
fn seconds(from: Instant, to: Instant) -> f64 {
    let ahead = to.saturating_duration_since(from).as_secs_f64();
    ahead - from.saturating_duration_since(to).as_secs_f64()
}
