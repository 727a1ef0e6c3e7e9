//! One request through the layers, in three attempts.

use std::{error::Error, time::Duration};

use plotters::prelude::*;
use steadfast_breaker::{BreakerLayer, Circuit, CircuitConfig};
use steadfast_retry::{RetryConfig, RetryLayer};
use steadfast_timeout::TimeoutLayer;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{Area, BLUE, Chart, Seen, VERMILION, on_paused_time, seconds_since, write};

const SIZE: (u32, u32) = (960, 360);

/// From the outside in.
const LAYERS: [&str; 4] = ["retry", "breaker", "timeout", "service"];

type Boxed = BoxCloneSyncService<(), &'static str, BoxError>;

/// How long a layer had the request, and what came of it.
struct Span {
    layer: usize,
    from: f64,
    to: f64,
    came: Result<&'static str, String>,
}

/// Notes when a layer is given the request, and what it gives back.
#[derive(Clone)]
struct Tap {
    begin: Instant,
    seen: Seen<Span>,
}

impl Tap {
    fn round<S>(&self, layer: usize, inner: S) -> Boxed
    where
        S: Service<(), Response = &'static str, Error = BoxError, Future: Send>,
        S: Clone + Send + Sync + 'static,
    {
        let tap = self.clone();
        BoxCloneSyncService::new(service_fn(move |request| {
            let (tap, inner) = (tap.clone(), inner.clone());
            async move {
                let from = seconds_since(tap.begin);
                let outcome = inner.oneshot(request).await;
                let came = outcome.as_ref().copied().map_err(ToString::to_string);
                tap.seen.push(Span { layer, from, to: seconds_since(tap.begin), came });
                outcome
            }
        }))
    }
}

/// The first attempt is not answered, the second fails at once, the third is answered.
async fn answer(attempt: usize) -> Result<&'static str, BoxError> {
    match attempt {
        0 => std::future::pending().await,
        1 => {
            sleep(Duration::from_millis(90)).await;
            Err("connection reset".into())
        }
        _ => {
            sleep(Duration::from_millis(110)).await;
            Ok("answered")
        }
    }
}

async fn simulate() -> Result<Vec<Span>, BoxError> {
    let tap = Tap { begin: Instant::now(), seen: Seen::new() };
    let calls = Seen::new();
    let service = service_fn(move |()| {
        calls.push(());
        answer(calls.count() - 1)
    });
    let limit = Duration::from_millis(250);
    let circuit = Circuit::new(CircuitConfig::new().seed(1))?;
    let retry = RetryLayer::new(RetryConfig::new().seed(2)).idempotent();

    let service = tap.round(3, service);
    let service = tap.round(2, TimeoutLayer::fixed(limit)?.layer(service));
    let service = tap.round(1, BreakerLayer::new(circuit).layer(service));
    let service = tap.round(0, retry.layer(service));
    service.oneshot(()).await?;
    Ok(tap.seen.take())
}

/// What the figure shows: three attempts within one request, of which the service saw the first
/// until the timeout gave it up.
fn check(spans: &[Span]) {
    let of = |layer: usize| spans.iter().filter(move |span| span.layer == layer);
    assert_eq!([0, 1, 2].map(|layer| of(layer).count()), [1, 3, 3]);
    assert_eq!(of(3).count(), 2, "the first call of the service was dropped unanswered");
    assert!(of(0).all(|span| span.came.is_ok()));
}

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let spans = on_paused_time(simulate())?.map_err(|error| error.to_string())?;
    check(&spans);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        draw_on(&root, &spans)?;
        root.present()?;
    }
    Ok(svg)
}

fn draw_on(root: &Area<'_>, spans: &[Span]) -> Result<(), Box<dyn Error>> {
    let end = spans.iter().map(|span| span.to).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(root)
        .caption("One request through the layers: three attempts, one answer", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..end * 1e3 * 1.02, 0.0..LAYERS.len() as f64)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh().y_labels(2).y_label_formatter(&|_| String::new());
    mesh.x_desc("milliseconds").x_label_formatter(&|x| format!("{x:.0}"));
    mesh.label_style(("sans-serif", 13)).light_line_style(TRANSPARENT).draw()?;
    for (layer, name) in LAYERS.into_iter().enumerate() {
        write(&mut chart, name, (0.0, middle(layer)), (-72, -7), &BLACK)?;
    }
    for span in spans {
        draw_span(&mut chart, span)?;
    }
    draw_unanswered(&mut chart, spans)
}

/// The outermost is at the top.
fn middle(layer: usize) -> f64 {
    LAYERS.len() as f64 - 0.5 - layer as f64
}

fn draw_span(chart: &mut Chart<'_, '_>, span: &Span) -> Result<(), Box<dyn Error>> {
    let (colour, text) = match &span.came {
        Ok(answer) => (BLUE.filled(), *answer),
        Err(error) => (VERMILION.filled(), &**error),
    };
    draw_bar(chart, span, span.layer, colour, text)
}

/// The service's first call, which the timeout dropped: no span of it ended.
fn draw_unanswered(chart: &mut Chart<'_, '_>, spans: &[Span]) -> Result<(), Box<dyn Error>> {
    let Some(given_up) = spans.iter().find(|span| span.layer == 2) else { return Ok(()) };
    draw_bar(chart, given_up, 3, VERMILION.mix(0.3).filled(), "dropped unanswered")
}

/// A bar as long as the span, and below it what came of it.
fn draw_bar(
    chart: &mut Chart<'_, '_>,
    span: &Span,
    layer: usize,
    style: ShapeStyle,
    text: &str,
) -> Result<(), Box<dyn Error>> {
    let (from, to, middle) = (span.from * 1e3, span.to * 1e3, middle(layer));
    chart.draw_series([Rectangle::new([(from, middle - 0.1), (to, middle + 0.3)], style)])?;
    write(chart, text, (from, middle - 0.1), (2, 5), &BLACK)
}
