//! The timelines, drawn.

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use crate::{
    Failure,
    act::{Act, Seen},
    play::PROCESSES,
    terms::{Term, terms},
    timeline::{Event, What},
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const SIZE: (u32, u32) = (960, 560);
/// One for each token in turn. Colour-blind readers tell them apart (Okabe and Ito's).
const COLOURS: [RGBColor; 4] =
    [RGBColor(86, 180, 233), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
const ALARM: RGBColor = RGBColor(213, 94, 0);
/// Behind the last event, in seconds: for what is written there.
const ROOM: f64 = 0.8;
const LANES: f64 = PROCESSES.len() as f64;

/// Both acts, one above the other.
pub(crate) fn draw(acts: &[(Act, Seen)]) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        for (panel, (act, seen)) in root.split_evenly((acts.len(), 1)).iter().zip(acts) {
            draw_act(panel, *act, seen)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn draw_act(panel: &Area<'_>, act: Act, seen: &Seen) -> Result<(), Failure> {
    let title = format!(
        "{}: {} writes acknowledged, {} in the account",
        act.name(),
        seen.acknowledged,
        seen.balance
    );
    let end = seen.events.last().map_or(1.0, seconds);
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..end + ROOM, 0.0..LANES)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh().y_labels(2).y_label_formatter(&|_| String::new());
    mesh.x_desc("seconds").x_label_formatter(&|x| format!("{x:.1}"));
    mesh.label_style(("sans-serif", 13)).light_line_style(TRANSPARENT).draw()?;
    for who in PROCESSES {
        write(&mut chart, &format!("process {who}"), (0.0, lane(who)), (-72, -7), &BLACK)?;
    }
    draw_terms(&mut chart, &terms(&seen.events, end))?;
    draw_events(&mut chart, &seen.events)
}

/// A bar for each term of a leader: full for as long as its lease is good, pale while it only
/// believes so.
fn draw_terms(chart: &mut Chart<'_, '_>, terms: &[Term]) -> Result<(), Failure> {
    for (term, colour) in terms.iter().zip(COLOURS.into_iter().cycle()) {
        let (middle, from) = (lane(term.who), term.from);
        let bar = |from: f64, to: f64, style: ShapeStyle| {
            Rectangle::new([(from, middle - 0.22), (to, middle + 0.22)], style)
        };
        chart.draw_series([
            bar(from, term.good_until, colour.filled()),
            bar(term.good_until, term.to, colour.mix(0.25).filled()),
        ])?;
        if let Some((from, to)) = term.stopped {
            let style = BLACK.mix(0.7).stroke_width(2);
            chart.draw_series([bar(from, to, style)])?;
            write(chart, "stopped", (from, middle), (6, -7), &BLACK)?;
        }
        let token = format!("token {}", term.token);
        write(chart, &token, (from, middle + 0.22), (0, -15), &BLACK)?;
    }
    Ok(())
}

/// A point for each write; a cross where the one that has woken writes, or is rejected.
fn draw_events(chart: &mut Chart<'_, '_>, events: &[Event]) -> Result<(), Failure> {
    for event in events {
        let at = (seconds(event), lane(event.who));
        let what = match event.what {
            What::Wrote { .. } => {
                chart.draw_series([Circle::new(at, 3, BLACK.filled())])?;
                continue;
            }
            What::WroteOver { balance, was } => format!("writes {balance} where {was} was"),
            What::Rejected { .. } => "its write is rejected".to_owned(),
            _ => continue,
        };
        chart.draw_series([Cross::new(at, 7, ALARM.stroke_width(3))])?;
        write(chart, &what, at, (10, 14), &ALARM)?;
    }
    Ok(())
}

/// A text so many pixels from a point.
fn write(
    chart: &mut Chart<'_, '_>,
    text: &str,
    at: (f64, f64),
    offset: (i32, i32),
    colour: &RGBColor,
) -> Result<(), Failure> {
    let style = ("sans-serif", 13).into_font().color(colour);
    chart.draw_series([EmptyElement::at(at) + Text::new(text.to_owned(), offset, style)])?;
    Ok(())
}

/// The first process on top.
fn lane(who: char) -> f64 {
    let place = PROCESSES.iter().position(|process| *process == who).unwrap_or(0);
    LANES - 0.5 - place as f64
}

fn seconds(event: &Event) -> f64 {
    event.at.as_secs_f64()
}
