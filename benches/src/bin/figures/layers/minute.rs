//! A circuit through a bad minute: what callers get while the service is silent.

use std::{error::Error, time::Duration};

use plotters::prelude::*;
use steadfast_benches::SplitMix64;
use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig, CircuitOpen, State};
use steadfast_core::cause;
use steadfast_timeout::TimeoutLayer;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{
    Area, BLUE, Chart, GREY, ORANGE, Seen, VERMILION, arrival, on_paused_time, seconds_since, write,
};

const SIZE: (u32, u32) = (960, 480);
const RUN_S: usize = 60;
const CALLS_PER_S: f64 = 20.0;

/// It answers nothing between these seconds.
const SILENT_S: std::ops::Range<f64> = 10.0..35.0;
const ANSWERS_IN: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_millis(200);

/// So often the state is looked at.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Failed,
    Refused,
}

/// From the bottom of a bar to its top.
const ENDS: [(End, &str, RGBColor); 3] = [
    (End::Answered, "answered", BLUE),
    (End::Failed, "sent, and not answered", VERMILION),
    (End::Refused, "refused", GREY),
];

struct Minute {
    /// When each call was made, and how it ended.
    calls: Vec<(f64, End)>,
    /// When the circuit was seen in a state first, and the state.
    states: Vec<(f64, State)>,
}

async fn simulate() -> Result<Minute, BoxError> {
    let begin = Instant::now();
    let circuit = Circuit::new(CircuitConfig::new().seed(1))?;
    let service = ServiceBuilder::new()
        .layer(BreakerLayer::new(circuit.clone()))
        .layer(TimeoutLayer::fixed(LIMIT)?)
        .service(service_fn(move |()| async move {
            if SILENT_S.contains(&seconds_since(begin)) {
                std::future::pending::<()>().await;
            }
            sleep(ANSWERS_IN).await;
            Ok::<_, BoxError>(())
        }));
    // rustc takes no future of a spawned task that knows the layers' types (issue 64552 of rust).
    let service = BoxCloneSyncService::new(service);
    let calls = Seen::new();
    let mut tasks = JoinSet::new();
    let states = Seen::new();
    let watched = states.clone();
    let watcher = tokio::spawn(async move {
        let mut last = None;
        loop {
            let state = circuit.state();
            if last.replace(state) != Some(state) {
                watched.push((seconds_since(begin), state));
            }
            sleep(LOOK).await;
        }
    });
    let mut chance = SplitMix64::seeded(1);
    let mut due = begin;
    while due.duration_since(begin).as_secs_f64() < RUN_S as f64 {
        sleep_until(due).await;
        let (service, calls) = (service.clone(), calls.clone());
        tasks.spawn(async move {
            let at = seconds_since(begin);
            let end = match service.oneshot(()).await {
                Ok(()) => End::Answered,
                Err(error) if cause::<CircuitOpen>(&*error).is_some() => End::Refused,
                Err(_) => End::Failed,
            };
            calls.push((at, end));
        });
        due += arrival(&mut chance, CALLS_PER_S);
    }
    while tasks.join_next().await.is_some() {}
    watcher.abort();
    Ok(Minute { calls: calls.take(), states: states.take() })
}

/// What the figure shows.
fn check(minute: &Minute) {
    let failed = minute.calls.iter().filter(|call| call.1 == End::Failed).count();
    assert!(failed < 30, "of some 500 calls to a silent service {failed} were sent");
    let first = minute.states.iter().find(|(_, state)| *state == State::Open);
    assert!(first.is_some_and(|(at, _)| *at < SILENT_S.start + 1.0), "it opens within a second");
    assert!(minute.states.last().is_some_and(|(_, state)| *state == State::Closed));
}

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let minute = on_paused_time(simulate())?.map_err(|error| error.to_string())?;
    check(&minute);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        draw_on(&root, &minute)?;
        root.present()?;
    }
    Ok(svg)
}

/// The strip of states is above this, in calls a second.
const STRIP: f64 = 44.0;
const TOP: f64 = 50.0;

fn draw_on(root: &Area<'_>, minute: &Minute) -> Result<(), Box<dyn Error>> {
    let title = "A circuit's bad minute: the service is silent from 10 s to 35 s";
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..RUN_S as f64, 0.0..TOP)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("seconds").y_desc("calls a second, by their end").label_style(("sans-serif", 14));
    mesh.x_labels(13).y_labels(5).light_line_style(TRANSPARENT);
    mesh.x_label_formatter(&|x| format!("{x:.0}"));
    mesh.y_label_formatter(&|y| if *y > STRIP { String::new() } else { format!("{y:.0}") })
        .draw()?;
    draw_calls(&mut chart, &minute.calls)?;
    draw_states(&mut chart, &minute.states)?;
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::Coordinate(640, 66)).background_style(WHITE);
    legend.border_style(BLACK.mix(0.3)).label_font(("sans-serif", 14)).draw()?;
    Ok(())
}

fn draw_calls(chart: &mut Chart<'_, '_>, calls: &[(f64, End)]) -> Result<(), Box<dyn Error>> {
    let mut bottoms = [0.0; RUN_S];
    for (end, name, colour) in ENDS {
        let bars = bottoms.iter_mut().enumerate().map(|(second, bottom)| {
            let is_its = |call: &&(f64, End)| call.0 as usize == second && call.1 == end;
            let top = *bottom + calls.iter().filter(is_its).count() as f64;
            let left = second as f64;
            let bar = Rectangle::new([(left + 0.1, *bottom), (left + 0.9, top)], colour.filled());
            *bottom = top;
            bar
        });
        let bars: Vec<_> = bars.collect();
        chart
            .draw_series(bars)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
    }
    Ok(())
}

fn draw_states(chart: &mut Chart<'_, '_>, states: &[(f64, State)]) -> Result<(), Box<dyn Error>> {
    let ends = states.iter().skip(1).map(|(at, _)| *at).chain([RUN_S as f64]);
    for ((from, state), to) in states.iter().zip(ends) {
        let colour = match state {
            State::Closed => BLUE,
            State::HalfOpen => ORANGE,
            _ => VERMILION,
        };
        let corners = [(*from, STRIP + 1.0), (to, TOP - 1.5)];
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        if to - from > 3.0 {
            write(chart, state.name(), (*from, (STRIP + TOP) / 2.0), (6, -8), &BLACK)?;
        }
    }
    Ok(())
}
