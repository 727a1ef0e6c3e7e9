//! Mistakes against detection time, for every detector on the three traces.

use std::{
    error::Error,
    ops::Range,
    time::{Duration, Instant},
};

use plotters::prelude::*;
use steadfast_phi::{Distribution, Heartbeat, Margin, MarginConfig, MarginDetector, PhiAccrual};

use super::{
    Area, BLUE, GREEN, Network, PURPLE, VERMILION, accrual, arrivals, beats, origin, seconds,
    title, traces::Beat,
};

const SIZE: (u32, u32) = (960, 1080);

/// Arrivals that are not scored: by then the windows are full.
const UNSCORED: usize = 2_000;

#[derive(Clone, Copy, PartialEq)]
enum Method {
    TwoWindows,
    Chen,
    Fixed,
    Phi(Distribution),
}

/// What is drawn: those that coincide, the second in dashes over the first.
const METHODS: [(Method, &str, RGBColor, bool); 6] = [
    (Method::Phi(Distribution::Normal), "φ, normal", VERMILION, false),
    (Method::Phi(Distribution::Logistic), "φ, logistic", BLACK, true),
    (Method::Chen, "Chen", PURPLE, false),
    (Method::Fixed, "fixed timeout", GREEN, false),
    (Method::Phi(Distribution::Exponential), "φ, exponential", BLACK, true),
    (Method::TwoWindows, "2W", BLUE, false),
];

impl Method {
    /// What a threshold is that waits for `k` deviations above the mean, `k` means where the
    /// distribution is exponential, or a margin of `k` seconds.
    fn threshold(self, k: f64) -> f64 {
        match self {
            Self::Phi(Distribution::Exponential) => Distribution::Exponential.phi(k, 1.0, 1.0),
            Self::Phi(distribution) => distribution.phi(k, 0.0, 1.0),
            Self::TwoWindows | Self::Chen | Self::Fixed => k,
        }
    }
}

enum Watch {
    Phi(PhiAccrual),
    Margin(MarginDetector),
}

impl Watch {
    fn new(method: Method, network: Network) -> Self {
        let (period, margin) = (network.period(), Margin::Constant(Duration::from_secs(1)));
        let config = match method {
            Method::Phi(distribution) => return Self::Phi(accrual(distribution, network)),
            Method::Fixed => MarginConfig::last_arrival(period, margin),
            Method::Chen => MarginConfig::chen(period, margin),
            Method::TwoWindows => MarginConfig::two_windows(period, margin),
        };
        Self::Margin(MarginDetector::new(config).expect("all is in range"))
    }

    fn hear(&mut self, beat: &Beat, at: Instant) {
        let heartbeat = Heartbeat::new().sequence(beat.sequence);
        match self {
            Self::Phi(phi) => phi.heartbeat(at),
            Self::Margin(margin) => margin.heartbeat(heartbeat, at),
        };
    }

    fn suspect_at(&self, threshold: f64) -> Instant {
        match self {
            Self::Phi(phi) => phi.suspect_at(threshold),
            Self::Margin(margin) => margin.suspect_at(threshold),
        }
        .expect("a beat was heard, and the threshold is reached")
    }
}

/// What one run says of every threshold at once, since each deadline is a line in the threshold's
/// `k`.
struct Run {
    /// Mean detection time in seconds for a `k` of 0, and how much more for each more.
    detection: (f64, f64),
    /// By arrival: the `k` for which it is just in time. Sorted.
    needed: Vec<f64>,
    /// Seconds.
    span: f64,
}

impl Run {
    fn of(method: Method, network: Network) -> Self {
        let origin = origin();
        let mut watch = Watch::new(method, network);
        let (one, two) = (method.threshold(1.0), method.threshold(2.0));
        let (mut detection, mut needed, mut began) = ((0.0, 0.0), Vec::new(), None);
        let mut line = None;
        let mut ended = origin;
        for (index, (beat, at)) in arrivals(network).take(beats(network)).enumerate() {
            let now = origin + at;
            if let Some((location, scale)) = line {
                needed.push((seconds(ended, now) - location) / scale);
            }
            watch.hear(&beat, now);
            ended = now;
            if index >= UNSCORED {
                began = began.or(Some(now));
                let first = seconds(now, watch.suspect_at(one));
                let scale = seconds(now, watch.suspect_at(two)) - first;
                let location = first - scale;
                detection.0 += (at - beat.sent).as_secs_f64() + location;
                detection.1 += scale;
                line = Some((location, scale));
            }
        }
        let scored = needed.len() as f64 + 1.0;
        needed.sort_by(f64::total_cmp);
        let span = seconds(began.expect("enough beats arrive"), ended);
        Self { detection: (detection.0 / scored, detection.1 / scored), needed, span }
    }

    fn detection(&self, k: f64) -> f64 {
        self.detection.0 + k * self.detection.1
    }

    /// Mistakes a second at a detection time.
    fn mistakes(&self, detection: f64) -> f64 {
        self.mistakes_at((detection - self.detection.0) / self.detection.1)
    }

    fn mistakes_at(&self, k: f64) -> f64 {
        let in_time = self.needed.partition_point(|&needed| needed <= k);
        (self.needed.len() - in_time) as f64 / self.span
    }
}

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for (panel, network) in root.split_evenly((3, 1)).iter().zip(Network::ALL) {
            let (detection, mistakes) = match network {
                Network::Wan => (0.26..0.6, 3e-4..1.0),
                Network::Lan => (0.1..0.8, 1e-5..0.1),
                Network::Drift => (1.1..3.0, 1e-6..0.1),
            };
            draw_on(panel, network, detection, mistakes)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn draw_on(
    area: &Area<'_>,
    network: Network,
    detection: Range<f64>,
    mistakes: Range<f64>,
) -> Result<(), Box<dyn Error>> {
    let least = mistakes.start;
    let mut chart = ChartBuilder::on(area)
        .caption(title(network), ("sans-serif", 18))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(75)
        .build_cartesian_2d(detection.clone(), mistakes.log_scale())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("mean detection time, s").y_desc("mistakes a second").x_labels(8);
    mesh.x_label_formatter(&|x| format!("{x:.2}")).y_label_formatter(&|y| format!("{y}"));
    mesh.label_style(("sans-serif", 14)).light_line_style(TRANSPARENT).draw()?;
    for (method, name, colour, dashed) in METHODS {
        let run = Run::of(method, network);
        let at =
            |step| detection.start + (detection.end - detection.start) * f64::from(step) / 200.0;
        let points = (0..=200).map(|step| (at(step), run.mistakes(at(step))));
        let points = points.filter(|(_, mistakes)| *mistakes >= least);
        let series = if dashed {
            chart.draw_series(DashedLineSeries::new(points, 3, 6, colour.stroke_width(2)))?
        } else {
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?
        };
        series.label(name).legend(move |(x, y)| {
            let long = if dashed { 6 } else { 20 };
            PathElement::new([(x, y), (x + long, y)], colour.stroke_width(2))
        });
        let Method::Phi(distribution) = method else { continue };
        let k = match distribution {
            Distribution::Exponential => distribution.elapsed(8.0, 1.0, 1.0),
            _ => distribution.elapsed(8.0, 0.0, 1.0),
        };
        let eight = (run.detection(k), run.mistakes_at(k));
        if detection.contains(&eight.0) {
            let shape = Circle::new((0, 0), 5, colour.filled());
            chart.draw_series([EmptyElement::at(eight) + shape])?;
        }
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperRight).background_style(WHITE);
    legend.border_style(BLACK.mix(0.3)).label_font(("sans-serif", 14)).draw()?;
    Ok(())
}
