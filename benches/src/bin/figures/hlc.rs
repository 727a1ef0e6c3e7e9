//! Three wall clocks that are wrong in three ways, and the hybrid time of the nodes that stand on
//! them.

use std::{error::Error, time::Duration};

use plotters::prelude::*;
use steadfast_clock::{HlcState, Physical, Timestamp};

const MS: u64 = 1;
const RUN_MS: u64 = 30_000;

/// Each node stamps an event so often.
const TICK_MS: u64 = 5 * MS;

/// Some moment of 2026, so that no offset leads below the epoch.
const START_MS: u64 = 1_790_000_000_000;

struct Node {
    title: &'static str,
    /// What the wall clock is off by, in milliseconds, after so many milliseconds of true time.
    offset: fn(u64) -> f64,
    /// It sends to the next node so often.
    sends_every_ms: u64,
}

const NODES: [Node; 3] = [
    Node { title: "A: the wall clock is 120 ms ahead", offset: |_| 120.0, sends_every_ms: 2_300 },
    Node {
        title: "B: the wall clock drifts by −2000 ppm, four times what NTP allows",
        offset: |at| at as f64 * -0.002,
        sends_every_ms: 1_700,
    },
    Node {
        title: "C: the wall clock is right, and set back by 200 ms after 15 s",
        offset: |at| if at < 15_000 { 0.0 } else { -200.0 },
        sends_every_ms: 3_100,
    },
];

/// What a message takes.
const DELAY_MS: u64 = 40 * MS;

/// A message under way: when it arrives, where, and what it carries.
struct Message {
    at: u64,
    to: usize,
    stamp: Timestamp,
}

/// Of one node: true time in seconds, and offsets from it in milliseconds.
#[derive(Default)]
struct Trace {
    wall: Vec<(f64, f64)>,
    hybrid: Vec<(f64, f64)>,
}

fn wall(node: &Node, at: u64) -> Physical {
    let millis = (START_MS + at) as f64 + (node.offset)(at);
    Physical::from_unix(Duration::from_micros((millis * 1000.0) as u64))
}

/// Runs all three, and checks what the figure shows: hybrid time never goes back and is never
/// behind its wall clock.
fn simulate() -> [Trace; 3] {
    let mut clocks =
        [HlcState::new(Duration::from_millis(500)).expect("half a second is within the bounds"); 3];
    let mut traces = <[Trace; 3]>::default();
    let mut under_way: Vec<Message> = Vec::new();
    for at in (0..=RUN_MS).step_by(TICK_MS as usize) {
        let (arrived, still): (Vec<_>, Vec<_>) =
            under_way.into_iter().partition(|message| message.at <= at);
        under_way = still;
        for Message { to, stamp, .. } in arrived {
            clocks[to].update(wall(&NODES[to], at), stamp).expect("no clock is off by 500 ms");
        }
        for (index, node) in NODES.iter().enumerate() {
            let (last, wall) = (clocks[index].last(), wall(node, at));
            let stamp = clocks[index].tick(wall);
            assert!(
                stamp > last && stamp.physical() >= wall,
                "hybrid time grows and is not behind"
            );
            if at > 0 && at % node.sends_every_ms == 0 {
                under_way.push(Message { at: at + DELAY_MS, to: (index + 1) % NODES.len(), stamp });
            }
            let off =
                |time: Physical| time.since_epoch().as_secs_f64() * 1e3 - (START_MS + at) as f64;
            let seconds = at as f64 / 1e3;
            traces[index].wall.push((seconds, off(wall)));
            traces[index].hybrid.push((seconds, off(stamp.physical())));
        }
    }
    traces
}

const SIZE: (u32, u32) = (960, 840);

/// Both are told apart by colour-blind readers, and by their strokes (Okabe and Ito's vermilion and
/// blue).
const WALL: RGBColor = RGBColor(213, 94, 0);
const HYBRID: RGBColor = RGBColor(0, 114, 178);

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = root.split_evenly((NODES.len(), 1));
        for ((panel, node), trace) in panels.iter().zip(&NODES).zip(simulate()) {
            let mut chart = ChartBuilder::on(panel)
                .caption(node.title, ("sans-serif", 18))
                .margin(8)
                .x_label_area_size(40)
                .y_label_area_size(60)
                .build_cartesian_2d(0.0..30.0, -250.0..200.0)?;
            let mut mesh = chart.configure_mesh();
            mesh.x_desc("true time, s")
                .y_desc("off by, ms")
                .x_labels(7)
                .y_labels(6)
                .label_style(("sans-serif", 14));
            mesh.x_label_formatter(&|x| format!("{x:.0}"))
                .y_label_formatter(&|y| format!("{y:.0}"));
            mesh.light_line_style(TRANSPARENT).draw()?;
            let hybrid =
                chart.draw_series(LineSeries::new(trace.hybrid, HYBRID.stroke_width(2)))?;
            hybrid
                .label("hybrid time")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], HYBRID.stroke_width(2)));
            let dashes = DashedLineSeries::new(trace.wall, 6, 4, WALL.stroke_width(2));
            let wall = chart.draw_series(dashes)?;
            wall.label("wall clock")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], WALL.stroke_width(2)));
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerLeft)
                .background_style(WHITE)
                .border_style(BLACK.mix(0.3))
                .label_font(("sans-serif", 14))
                .draw()?;
        }
        root.present()?;
    }
    Ok(svg)
}
