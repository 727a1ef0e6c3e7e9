//! The margin that keeps a rate of mistakes, over ten days.

use std::{error::Error, time::Duration};

use plotters::prelude::*;
use steadfast_phi::{Heard, Heartbeat, Margin, MarginConfig, MarginDetector, MistakeRate};

use super::{Area, BLUE, Network, VERMILION, arrivals, origin, title};

const SIZE: (u32, u32) = (960, 900);
const HOUR: Duration = Duration::from_secs(3_600);
const RUN: Duration = Duration::from_secs(240 * 3_600);

/// So often a point is drawn.
const STEP: Duration = Duration::from_secs(20 * 60);

/// What is asked for.
const RATES: [(Duration, &str, RGBColor); 2] = [
    (HOUR, "one mistake an hour", BLUE),
    (Duration::from_secs(24 * 3_600), "one mistake a day", VERMILION),
];

/// One detector: its margin in seconds by the day, and after each mistake.
struct Run {
    detector: MarginDetector,
    margins: Vec<(f64, f64)>,
    mistakes: Vec<(f64, f64)>,
}

impl Run {
    fn new(network: Network, every: Duration) -> Self {
        let margin = Margin::Calibrated(MistakeRate::once_in(every));
        let config = MarginConfig::two_windows(network.period(), margin);
        let detector = MarginDetector::new(config).expect("all is in range");
        Self { detector, margins: Vec::new(), mistakes: Vec::new() }
    }

    fn point(&self, at: Duration) -> (f64, f64) {
        (at.as_secs_f64() / 86_400.0, self.detector.margin().as_secs_f64())
    }
}

fn simulate(network: Network) -> [Run; 2] {
    let origin = origin();
    let mut runs = RATES.map(|(every, ..)| Run::new(network, every));
    let mut next = Duration::ZERO;
    for (beat, at) in arrivals(network).take_while(|(_, at)| *at < RUN) {
        let heartbeat = Heartbeat::new().sequence(beat.sequence);
        let due = at >= next;
        for run in &mut runs {
            let before = run.point(at);
            if run.detector.heartbeat(heartbeat, origin + at) == Heard::Mistake {
                let after = run.point(at);
                run.margins.extend([before, after]);
                run.mistakes.push(after);
            } else if due {
                run.margins.push(run.point(at));
            }
        }
        if due {
            next += STEP;
        }
    }
    runs
}

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for (panel, network) in root.split_evenly((3, 1)).iter().zip(Network::ALL) {
            draw_on(panel, network)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn draw_on(area: &Area<'_>, network: Network) -> Result<(), Box<dyn Error>> {
    let (margins, labels) = match network {
        Network::Wan => (0.2..300.0, vec![0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]),
        Network::Lan => (0.1..4.0, vec![0.1, 0.2, 0.5, 1.0, 2.0]),
        Network::Drift => (0.1..12.0, vec![0.1, 0.2, 0.5, 1.0, 2.0, 5.0]),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title(network), ("sans-serif", 18))
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..10.0, margins.log_scale().with_key_points(labels))?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("days").y_desc("margin, s").x_labels(11).label_style(("sans-serif", 14));
    mesh.x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&|y| format!("{y}"));
    mesh.light_line_style(TRANSPARENT).draw()?;
    for (run, (_, name, colour)) in simulate(network).into_iter().zip(RATES) {
        let name = format!("{name}: {} mistakes", run.mistakes.len());
        chart
            .draw_series(LineSeries::new(run.margins, colour.stroke_width(1)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        let mistakes = run.mistakes.into_iter().map(|at| Circle::new(at, 2, colour.filled()));
        chart.draw_series(mistakes)?;
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperRight).background_style(WHITE);
    legend.border_style(BLACK.mix(0.3)).label_font(("sans-serif", 14)).draw()?;
    Ok(())
}
