//! The layers themselves, on tokio's paused clock: what is drawn is what they did.

mod minute;
mod request;
mod step;

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};
use steadfast_benches::SplitMix64;
use tokio::{runtime::Builder, time::Instant};

pub(crate) use self::{
    minute::draw as minute, request::draw as request, step::draw as limit_after_a_step,
};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Okabe and Ito's, which colour-blind readers tell apart.
const BLUE: RGBColor = RGBColor(86, 180, 233);
const DARK_BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREY: RGBColor = RGBColor(187, 187, 187);

/// What was seen, by all who look.
#[derive(Debug)]
struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Seen<T> {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn push(&self, what: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Runs a future on a clock that goes on only when all tasks wait.
fn on_paused_time<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(future))
}

fn seconds_since(begin: Instant) -> f64 {
    Instant::now().duration_since(begin).as_secs_f64()
}

/// From an exponential distribution: the time to the next call of so many a second.
fn arrival(chance: &mut SplitMix64, per_second: f64) -> Duration {
    Duration::from_secs_f64(-chance.share().ln() / per_second)
}

/// From a log-normal distribution, by Box and Muller.
fn log_normal(chance: &mut SplitMix64, median: Duration, sigma: f64) -> Duration {
    let (radius, turn) = ((-2.0 * chance.share().ln()).sqrt(), chance.share());
    let normal = radius * (std::f64::consts::TAU * turn).cos();
    median.mul_f64((sigma * normal).exp())
}

/// A text so many pixels from a point.
fn write(
    chart: &mut Chart<'_, '_>,
    text: &str,
    at: (f64, f64),
    offset: (i32, i32),
    colour: &RGBColor,
) -> Result<(), Box<dyn std::error::Error>> {
    let style = ("sans-serif", 13).into_font().color(colour);
    chart.draw_series([EmptyElement::at(at) + Text::new(text.to_owned(), offset, style)])?;
    Ok(())
}
