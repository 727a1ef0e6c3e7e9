//! φ over the time since the last heartbeat.

use std::{error::Error, ops::Range};

use plotters::prelude::*;
use steadfast_phi::{Distribution, PhiAccrual};

use super::{Area, BLUE, GREEN, Network, VERMILION, accrual, arrivals, beats, origin};

const SIZE: (u32, u32) = (960, 460);
const DISTRIBUTIONS: [(Distribution, &str, RGBColor); 3] = [
    (Distribution::Normal, "normal", BLUE),
    (Distribution::Logistic, "logistic", VERMILION),
    (Distribution::Exponential, "exponential", GREEN),
];

/// The detectors after the whole trace, and its intervals in seconds, the longest last.
struct Heard {
    detectors: [PhiAccrual; 3],
    last: std::time::Instant,
    intervals: Vec<f64>,
}

fn hear() -> Heard {
    let origin = origin();
    let mut detectors = DISTRIBUTIONS.map(|(of, ..)| accrual(of, Network::Wan));
    let (mut intervals, mut last) = (Vec::new(), None::<std::time::Duration>);
    for (_, at) in arrivals(Network::Wan).take(beats(Network::Wan)) {
        for detector in &mut detectors {
            detector.heartbeat(origin + at);
        }
        intervals.extend(last.map(|last| (at - last).as_secs_f64()));
        last = Some(at);
    }
    intervals.sort_by(f64::total_cmp);
    Heard { detectors, last: origin + last.expect("beats arrive"), intervals }
}

impl Heard {
    /// What φ would have to be: −log10 of the share of intervals that are longer.
    fn observed(&self, silence: f64) -> Option<f64> {
        let longer = self.intervals.len() - self.intervals.partition_point(|&one| one <= silence);
        (longer > 0).then(|| -(longer as f64 / self.intervals.len() as f64).log10())
    }
}

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let title = ("φ of the time since the last heartbeat, on the WAN trace", 20);
        let root = root.titled(title.0, ("sans-serif", title.1))?;
        let heard = hear();
        let (left, right) = root.split_horizontally(480);
        panel(&left, &heard, 0.08..0.32)?;
        panel(&right, &heard, 0.0..3.0)?;
        root.present()?;
    }
    Ok(svg)
}

fn panel(area: &Area<'_>, heard: &Heard, span: Range<f64>) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(45)
        .build_cartesian_2d(span.clone(), 0.0..16.0)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("time since the last heartbeat, s").y_desc("φ").x_labels(7).y_labels(9);
    mesh.x_label_formatter(&|x| format!("{x:.2}")).y_label_formatter(&|y| format!("{y:.0}"));
    mesh.label_style(("sans-serif", 14)).light_line_style(TRANSPARENT).draw()?;
    let silences =
        || (0..=400).map(|step| span.start + (span.end - span.start) * f64::from(step) / 400.0);
    for (detector, (_, name, colour)) in heard.detectors.iter().zip(DISTRIBUTIONS) {
        let phi =
            |silence: f64| detector.phi(heard.last + std::time::Duration::from_secs_f64(silence));
        let line = silences().map(|silence| (silence, phi(silence)));
        let line = line.take_while(|(_, phi)| *phi <= 16.0);
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    let observed = silences().filter_map(|silence| Some((silence, heard.observed(silence)?)));
    chart
        .draw_series(DashedLineSeries::new(observed, 6, 4, BLACK.stroke_width(2)))?
        .label("−log10 of the intervals that were longer")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLACK.stroke_width(2)));
    if span.start == 0.0 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 14))
            .draw()?;
    }
    Ok(())
}
