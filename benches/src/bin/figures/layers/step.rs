//! The limit of an adaptive timeout, over a step in latency.

use std::{error::Error, time::Duration};

use plotters::{
    coord::{combinators::WithKeyPoints, types::RangedCoordf64},
    prelude::*,
};
use steadfast_benches::SplitMix64;
use steadfast_timeout::{LimitConfig, TimeLimit, TimeoutLayer};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{
    Area, DARK_BLUE, GREY, Seen, VERMILION, arrival, log_normal, on_paused_time, seconds_since,
};

const SIZE: (u32, u32) = (960, 520);
const RUN_S: f64 = 60.0;
const CALLS_PER_S: f64 = 20.0;

/// The median is tenfold from here on.
const STEP_S: f64 = 20.0;
const MEDIAN: Duration = Duration::from_millis(50);
const SIGMA: f64 = 0.4;
const FLOOR: Duration = Duration::from_millis(10);
const CEILING: Duration = Duration::from_secs(5);

/// Of a call that was answered or cut: when it was sent, and what it took, in seconds.
type Point = (f64, f64);

struct Run {
    answered: Vec<Point>,
    cut: Vec<Point>,
    limits: Vec<Point>,
}

async fn simulate() -> Result<Run, BoxError> {
    let begin = Instant::now();
    let limit = TimeLimit::new(LimitConfig::quantile(FLOOR, CEILING))?;
    let service = ServiceBuilder::new().layer(TimeoutLayer::new(limit.clone())).service(
        service_fn(|latency: Duration| async move {
            sleep(latency).await;
            Ok::<_, BoxError>(())
        }),
    );
    // rustc takes no future of a spawned task that knows the layers' types (issue 64552 of rust).
    let service = BoxCloneSyncService::new(service);
    let (answered, cut) = (Seen::new(), Seen::new());
    let mut limits = Vec::new();
    let mut tasks = JoinSet::new();
    let mut chance = SplitMix64::seeded(1);
    let mut due = begin;
    while due.duration_since(begin).as_secs_f64() < RUN_S {
        sleep_until(due).await;
        let at = seconds_since(begin);
        limits.push((at, limit.limit().as_secs_f64()));
        let median = if at < STEP_S { MEDIAN } else { MEDIAN * 10 };
        let latency = log_normal(&mut chance, median, SIGMA);
        let (service, answered, cut) = (service.clone(), answered.clone(), cut.clone());
        tasks.spawn(async move {
            let outcome = service.oneshot(latency).await;
            let took = seconds_since(begin) - at;
            if outcome.is_ok() { answered.push((at, took)) } else { cut.push((at, took)) }
        });
        due += arrival(&mut chance, CALLS_PER_S);
    }
    while tasks.join_next().await.is_some() {}
    Ok(Run { answered: answered.take(), cut: cut.take(), limits })
}

/// What the figure shows.
fn check(run: &Run) {
    let late = run.cut.iter().filter(|(at, _)| *at > STEP_S + 5.0).count();
    assert!(late <= 2, "from 5 s after the step on {late} calls are cut");
    let early = run.cut.iter().filter(|(at, _)| (2.0..STEP_S).contains(at)).count();
    assert_eq!(early, 0, "before the step none is cut");
}

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let run = on_paused_time(simulate())?.map_err(|error| error.to_string())?;
    check(&run);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        draw_on(&root, &run)?;
        root.present()?;
    }
    Ok(svg)
}

type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, WithKeyPoints<LogCoord<f64>>>>;

fn draw_on(root: &Area<'_>, run: &Run) -> Result<(), Box<dyn Error>> {
    let title = "An adaptive timeout, and a step in latency from a median of 50 ms to 500 ms";
    let labels = vec![0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..RUN_S, (0.01..6.0).log_scale().with_key_points(labels))?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("seconds").y_desc("a call took, s").x_labels(13).label_style(("sans-serif", 14));
    mesh.x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&|y| format!("{y}"));
    mesh.light_line_style(TRANSPARENT).draw()?;
    draw_run(&mut chart, run)?;
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::LowerRight).background_style(WHITE);
    legend.border_style(BLACK.mix(0.3)).label_font(("sans-serif", 14)).draw()?;
    Ok(())
}

fn draw_run(chart: &mut Chart<'_, '_>, run: &Run) -> Result<(), Box<dyn Error>> {
    let dots = run.answered.iter().map(|at| Circle::new(*at, 2, GREY.filled()));
    chart
        .draw_series(dots)?
        .label("answered")
        .legend(|(x, y)| Circle::new((x + 10, y), 3, GREY.filled()));
    let crosses = run.cut.iter().map(|at| Cross::new(*at, 4, VERMILION.stroke_width(2)));
    chart
        .draw_series(crosses)?
        .label(format!("cut: {} of {}", run.cut.len(), run.cut.len() + run.answered.len()))
        .legend(|(x, y)| Cross::new((x + 10, y), 4, VERMILION.stroke_width(2)));
    let limits = run.limits.iter().copied();
    chart
        .draw_series(LineSeries::new(limits, DARK_BLUE.stroke_width(2)))?
        .label("the limit")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], DARK_BLUE.stroke_width(2)));
    Ok(())
}
