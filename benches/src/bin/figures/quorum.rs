//! What a quorum of three of five nodes costs in requests, and what it takes in time: every plan on
//! the same latencies.
//!
//! The clock of a `QuorumCall` is tokio's. Only tokio's feature `test-util` stops it, and that
//! would slow every clock that this package measures. So calls are played here: who is called when,
//! as the plans say, and the rule itself is asked what the answers decide.

use std::{error::Error, iter};

use plotters::{
    coord::{
        Shift,
        combinators::{LogCoord, WithKeyPoints},
        types::RangedCoordf64,
    },
    prelude::*,
};
use steadfast_benches::SplitMix64;
use steadfast_quorum::{Decision, NodeSet, Rule, Threshold};

const NODES: usize = 5;
const NEEDED: usize = 3;
const CALLS: usize = 100_000;

/// No answer is faster.
const FASTEST_MS: f64 = 5.0;

/// How long each node would take to answer each call.
type Trace = Vec<[f64; NODES]>;

/// Pareto's distribution with the exponent 2: half of the answers within 7 ms, one in a hundred
/// later than 50, one in ten thousand later than 500. Its quantiles need no more than a root, which
/// is the same to the last bit on every machine.
fn trace() -> Trace {
    let mut chance = SplitMix64::seeded(4);
    let mut latency = |_| FASTEST_MS / chance.share().sqrt();
    (0..CALLS).map(|_| std::array::from_fn(&mut latency)).collect()
}

/// How a call goes about it.
#[derive(Clone, Copy)]
enum Plan {
    AllAtOnce,
    QuorumFirst,
    /// One more after each delay, in milliseconds.
    Staggered(f64),
}

/// What came of one call.
struct Call {
    requests: usize,
    took_ms: f64,
}

impl Plan {
    fn call<const N: usize>(self, rule: &Threshold, latencies: &[f64; N]) -> Call {
        // How many are called at the start, and how long it takes until each further one is.
        let (opening, delay_ms) = match self {
            Self::AllAtOnce => (N, f64::INFINITY),
            Self::QuorumFirst => (rule.needed(), f64::INFINITY),
            Self::Staggered(delay_ms) => (rule.needed(), delay_ms),
        };
        let mut yes = NodeSet::EMPTY;
        let (mut requests, mut one_more) = (opening, delay_ms);
        let mut arrivals = [f64::INFINITY; N];
        arrivals[..opening].copy_from_slice(&latencies[..opening]);
        loop {
            let (node, arrival) = earliest(&arrivals);
            // At the same moment, answers come before timers.
            if arrival > one_more && requests < N {
                arrivals[requests] = one_more + latencies[requests];
                requests += 1;
                one_more += delay_ms;
                continue;
            }
            arrivals[node] = f64::INFINITY;
            yes.insert(node);
            if rule.decide(yes, NodeSet::EMPTY) == Decision::Won {
                return Call { requests, took_ms: arrival };
            }
        }
    }
}

fn earliest(arrivals: &[f64]) -> (usize, f64) {
    let all = arrivals.iter().copied().enumerate();
    all.min_by(|one, other| one.1.total_cmp(&other.1)).expect("there are nodes")
}

/// What came of all calls of a plan.
#[derive(Clone, Copy)]
struct Outcome {
    /// Of one call, on average.
    requests: f64,
    /// At the [`QUANTILES`].
    took_ms: [f64; 3],
}

const QUANTILES: [(&str, f64); 3] = [("99.9 %", 0.999), ("99 %", 0.99), ("half", 0.5)];

/// Its place among them.
const P99: usize = 1;

fn outcome(plan: Plan, trace: &Trace) -> Outcome {
    let rule = Threshold::of(NEEDED, NODES).expect("three of five is possible");
    let calls: Vec<Call> = trace.iter().map(|latencies| plan.call(&rule, latencies)).collect();
    let requests = calls.iter().map(|call| call.requests).sum::<usize>() as f64 / CALLS as f64;
    let mut took: Vec<f64> = calls.iter().map(|call| call.took_ms).collect();
    took.sort_by(f64::total_cmp);
    Outcome { requests, took_ms: QUANTILES.map(|(_, share)| took[(CALLS as f64 * share) as usize]) }
}

/// From hardly ever to all but at once.
const DELAYS_MS: [f64; 11] = [200.0, 100.0, 50.0, 30.0, 22.4, 15.0, 10.0, 8.0, 6.0, 5.0, 3.0];

/// The 95th percentile of one node's latencies, at which a hedged call aims.
const P95_MS: f64 = 22.4;

struct Results {
    all: Outcome,
    first: Outcome,
    staggered: Vec<(f64, Outcome)>,
}

/// Plays all plans, and checks what the figure shows.
fn simulate() -> Results {
    let trace = trace();
    let results = Results {
        all: outcome(Plan::AllAtOnce, &trace),
        first: outcome(Plan::QuorumFirst, &trace),
        staggered: DELAYS_MS
            .map(|delay_ms| (delay_ms, outcome(Plan::Staggered(delay_ms), &trace)))
            .into(),
    };
    check(&results);
    results
}

/// What the figure shows.
fn check(Results { all, first, staggered }: &Results) {
    assert!(all.requests == 5.0 && first.requests == 3.0);
    let (_, hedged) = staggered
        .iter()
        .find(|(delay_ms, _)| *delay_ms == P95_MS)
        .expect("it is one of the delays");
    assert!(hedged.requests < 1.05 * first.requests, "less than 5 % more requests than a quorum");
    assert!(
        first.took_ms[P99] > 88.0 && hedged.took_ms[P99] < 36.0,
        "and the 99th percentile falls by three fifths"
    );
    assert!(all.took_ms[P99] < 16.0, "two thirds more take it down to a sixth");
    for (longer, shorter) in staggered.windows(2).map(|pair| (pair[0].1, pair[1].1)) {
        assert!(
            longer.requests < shorter.requests && longer.took_ms >= shorter.took_ms,
            "requests buy time"
        );
    }
}

const SIZE: (u32, u32) = (960, 600);

/// In the order of the [`QUANTILES`]. Colour-blind readers tell them apart (Okabe and Ito's bluish
/// green, vermilion and blue), and they never cross.
const COLOURS: [RGBColor; 3] = [RGBColor(0, 158, 115), RGBColor(213, 94, 0), RGBColor(0, 114, 178)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, WithKeyPoints<LogCoord<f64>>>>;

pub(crate) fn draw() -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        draw_on(&root, &simulate())?;
        root.present()?;
    }
    Ok(svg)
}

fn draw_on(root: &Area<'_>, results: &Results) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(root)
        .caption("A quorum of 3 of 5 nodes: requests buy time", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            2.9..5.2,
            (5.0..400.0).log_scale().with_key_points(vec![5.0, 10.0, 20.0, 50.0, 100.0, 200.0]),
        )?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("requests sent for each call, on average").y_desc("time until the quorum, ms");
    mesh.x_labels(5).label_style(("sans-serif", 14));
    mesh.x_label_formatter(&|x| format!("{x:.1}")).y_label_formatter(&|y| format!("{y:.0}"));
    mesh.light_line_style(TRANSPARENT).draw()?;
    for (index, colour) in COLOURS.into_iter().enumerate() {
        lines(&mut chart, results, index, colour)?;
    }
    markers(&mut chart, results)?;
    delays(&mut chart, results)?;
    let mut legend = chart.configure_series_labels();
    legend
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3));
    legend.label_font(("sans-serif", 14)).draw()?;
    Ok(())
}

/// One quantile of all plans: with the delay falling, staggered calls lead from the quorum first to
/// all at once.
fn lines(
    chart: &mut Chart<'_, '_>,
    results: &Results,
    index: usize,
    colour: RGBColor,
) -> Result<(), Box<dyn Error>> {
    let line = results.by_requests().map(|outcome| outcome.point(index));
    let line = chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    line.label(format!("{} of the calls within", QUANTILES[index].0))
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    Ok(())
}

/// Each plan has a shape.
fn markers(chart: &mut Chart<'_, '_>, results: &Results) -> Result<(), Box<dyn Error>> {
    let points =
        |outcome: Outcome| (0..3).map(move |index| (outcome.point(index), COLOURS[index].filled()));
    let square = |at, style| EmptyElement::at(at) + Rectangle::new([(-6, -6), (6, 6)], style);
    let first = points(results.first).map(|(at, style)| square(at, style));
    chart
        .draw_series(first)?
        .label("quorum first")
        .legend(|(x, y)| Rectangle::new([(x + 4, y - 6), (x + 16, y + 6)], BLACK.filled()));
    let staggered = results.staggered.iter().flat_map(|(_, outcome)| points(*outcome));
    let staggered = chart.draw_series(staggered.map(|(at, style)| Circle::new(at, 4, style)))?;
    staggered.label("staggered").legend(|(x, y)| Circle::new((x + 10, y), 4, BLACK.filled()));
    let all = points(results.all).map(|(at, style)| TriangleMarker::new(at, 9, style));
    chart
        .draw_series(all)?
        .label("all at once")
        .legend(|(x, y)| TriangleMarker::new((x + 10, y), 9, BLACK.filled()));
    Ok(())
}

/// The delays, above the highest line, where they do not crowd.
fn delays(chart: &mut Chart<'_, '_>, results: &Results) -> Result<(), Box<dyn Error>> {
    let style = ("sans-serif", 13).into_font().color(&BLACK);
    let text = |(delay_ms, outcome): &(f64, Outcome)| {
        let text = if *delay_ms == P95_MS {
            format!("{delay_ms} ms, the 95th percentile")
        } else {
            format!("{delay_ms} ms")
        };
        EmptyElement::at(outcome.point(0)) + Text::new(text, (8, -18), style.clone())
    };
    chart.draw_series(results.staggered.iter().map(text))?;
    Ok(())
}

impl Results {
    /// The fewest requests first.
    fn by_requests(&self) -> impl Iterator<Item = Outcome> {
        let staggered = self.staggered.iter().map(|(_, outcome)| *outcome);
        iter::once(self.first).chain(staggered).chain([self.all])
    }
}

impl Outcome {
    const fn point(&self, index: usize) -> (f64, f64) {
        (self.requests, self.took_ms[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_that_are_played_take_as_long_as_those_that_are_made() {
        // The same three as in the tests of `QuorumCall` on the clock that is stopped.
        let rule = Threshold::of(2, 3).unwrap();
        let took = |plan: Plan| plan.call(&rule, &[5.0, 50.0, 7.0]).took_ms;
        let plans = [Plan::AllAtOnce, Plan::QuorumFirst, Plan::Staggered(10.0)];
        assert_eq!(plans.map(took), [7.0, 50.0, 17.0]);
    }
}
