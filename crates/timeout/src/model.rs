//! A simulator of the rule: calls that arrive, wait, expire, explore and are answered, as events on
//! a clock of its own. The rule is the product's; what drives it is the same as in `call.rs`, with
//! no future and no timer. The bars it holds are in [`bars`].

mod bars;
mod bodies;
mod cells;
mod tables;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use steadfast_core::{
    Deadline,
    parts::{Bounds, EstimateConfig, QuantileConfig, Tick},
};
use steadfast_testkit::Traffic;

use crate::{
    ewma::EwmaEstimator,
    explorers::{Expiry, Exploration},
    multiple::{Multiple, Source},
    shared::CLOCK,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const NEVER: Duration = Duration::MAX;
const BOUNDS: Bounds = Bounds::new(Duration::from_millis(10), Duration::from_secs(5));
const TICK: Duration = Duration::from_secs(10);
const TICKS: u32 = 6;

/// The rule of `LimitConfig::quantile(10 ms, 5 s)`, with this factor.
pub(crate) fn quantile(factor: f64) -> Multiple {
    let config = QuantileConfig {
        quantile: 0.99,
        estimate: EstimateConfig::new(BOUNDS.floor, BOUNDS.ceiling),
    };
    Multiple::new(Source::Quantile(config.latencies()), factor, BOUNDS, SECOND, TICKS)
}

/// The rule of `LimitConfig::ewma(10 ms, 5 s)`, with this factor.
pub(crate) fn ewma(factor: f64) -> Multiple {
    Multiple::new(Source::Ewma(EwmaEstimator::new(0.125, 20, TICKS)), factor, BOUNDS, SECOND, TICKS)
}

/// A log-normal latency of 50 ms, σ 0.4: the healthy service of most cells.
pub(crate) fn healthy(traffic: &mut Traffic) -> Duration {
    traffic.log_normal(50 * MS, 0.4)
}

/// When the calls of a stream come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrivals {
    /// So many a second, independent of each other.
    Poisson(f64),
    /// One after the other: a caller in a loop.
    Loop,
}

type Latency<'a> = Box<dyn FnMut(Duration, &mut Traffic) -> Duration + 'a>;

/// Calls of one kind, and what the service makes of them: the latency of a call that arrives at an
/// instant, or [`NEVER`].
pub(crate) struct Stream<'a> {
    arrivals: Arrivals,
    latency: Latency<'a>,
    /// Callers drop their calls after this.
    patience: Duration,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(
        arrivals: Arrivals,
        latency: impl FnMut(Duration, &mut Traffic) -> Duration + 'a,
    ) -> Self {
        Self { arrivals, latency: Box::new(latency), patience: NEVER }
    }

    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Expired,
    Dropped,
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) stream: usize,
    pub(crate) arrived: Duration,
    pub(crate) latency: Duration,
    /// What it was given.
    pub(crate) limit: Duration,
    pub(crate) waited: Duration,
    pub(crate) end: End,
}

/// What a simulation leaves.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) runs: Vec<Run>,
    /// The limit at every tenth of a second.
    pub(crate) limits: Vec<(Duration, Duration)>,
    /// How many calls wait, at the same instants.
    pub(crate) waiting: Vec<(Duration, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrival(usize),
    Limit(Run),
    Answer(Run, Option<Exploration>),
    InVain(Run, Exploration),
    Dropped(Run, Option<Exploration>),
    Look,
}

/// A simulation under way.
pub(crate) struct World<'a> {
    rule: &'a Multiple,
    traffic: Traffic,
    streams: Vec<Stream<'a>>,
    /// When each event happens, in nanoseconds, and its number: at one instant they keep their
    /// order.
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    events: Vec<Option<Event>>,
    origin: Instant,
    waiting: usize,
    log: Log,
}

/// Simulates `streams` before `rule` for so long, from a first look at 0.
pub(crate) fn simulate<'a>(
    rule: &'a Multiple,
    seed: u64,
    length: Duration,
    streams: Vec<Stream<'a>>,
) -> Log {
    let log = Log { runs: Vec::new(), limits: Vec::new(), waiting: Vec::new() };
    let (queue, events) = (BinaryHeap::new(), Vec::new());
    let traffic = Traffic::seeded(seed);
    let (waiting, origin) = (0, CLOCK.now());
    let mut world = World { rule, traffic, streams, queue, events, origin, waiting, log };
    (0..world.streams.len()).for_each(|n| world.arrive(n, Duration::ZERO));
    world.at(Duration::ZERO, Event::Look);
    while let Some(Reverse((now, number))) = world.queue.pop()
        && now <= nanos(length)
    {
        let event = world.events[number].take().expect("each event happens once");
        world.step(Duration::from_nanos(now), event);
    }
    world.log
}

/// A simulation ends long before they are too many.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn tick(now: Duration) -> Tick {
    Tick(nanos(now) / nanos(TICK))
}

impl World<'_> {
    fn at(&mut self, at: Duration, event: Event) {
        self.queue.push(Reverse((nanos(at), self.events.len())));
        self.events.push(Some(event));
    }

    fn arrive(&mut self, stream: usize, now: Duration) {
        let gap = match self.streams[stream].arrivals {
            Arrivals::Poisson(rate) => self.traffic.arrival(rate),
            Arrivals::Loop => Duration::ZERO,
        };
        self.at(now + gap, Event::Arrival(stream));
    }

    fn step(&mut self, now: Duration, event: Event) {
        let tick = tick(now);
        match event {
            Event::Look => {
                self.log.limits.push((now, self.rule.limit(tick)));
                self.log.waiting.push((now, self.waiting));
                self.at(now + 100 * MS, Event::Look);
            }
            Event::Arrival(stream) => {
                if matches!(self.streams[stream].arrivals, Arrivals::Poisson(_)) {
                    self.arrive(stream, now);
                }
                let latency = (self.streams[stream].latency)(now, &mut self.traffic);
                let limit = self.rule.limit(tick);
                let (end, waited) = (End::Expired, limit);
                let run = Run { stream, arrived: now, latency, limit, waited, end };
                self.waiting += 1;
                self.go(run, limit, Event::Limit(run), None);
            }
            Event::Limit(run) => {
                let expiry = Expiry {
                    tick,
                    now: Deadline::after(self.origin, now).instant(),
                    limit: run.limit,
                    waited: run.limit,
                    most: NEVER,
                };
                match self.rule.expired(&expiry) {
                    None => self.end(now, run, End::Expired),
                    Some(exploration) => {
                        let until = exploration.until;
                        self.go(run, until, Event::InVain(run, exploration), Some(exploration));
                    }
                }
            }
            Event::Answer(run, None) => {
                self.rule.success(tick, run.latency);
                self.end(now, run, End::Answered);
            }
            Event::Answer(run, Some(exploration)) => {
                self.rule.ended(&exploration, run.latency);
                self.rule.found(tick, run.latency);
                self.end(now, run, End::Answered);
            }
            Event::InVain(run, exploration) => {
                self.rule.in_vain(&exploration, Deadline::after(self.origin, now).instant());
                self.end(now, run, End::Expired);
            }
            Event::Dropped(run, exploration) => {
                if let Some(exploration) = exploration {
                    self.rule.ended(&exploration, now - run.arrived);
                }
                self.end(now, run, End::Dropped);
            }
        }
    }

    /// `run` waits until `most` at most, when `over` happens.
    fn go(&mut self, run: Run, most: Duration, over: Event, exploration: Option<Exploration>) {
        let patience = self.streams[run.stream].patience;
        let (at, event) = if run.latency <= most && run.latency <= patience {
            (run.latency, Event::Answer(run, exploration))
        } else if patience < most {
            (patience, Event::Dropped(run, exploration))
        } else {
            (most, over)
        };
        self.at(run.arrived + at, event);
    }

    fn end(&mut self, now: Duration, run: Run, end: End) {
        self.waiting -= 1;
        self.log.runs.push(Run { waited: now - run.arrived, end, ..run });
        if matches!(self.streams[run.stream].arrivals, Arrivals::Loop) {
            self.arrive(run.stream, now);
        }
    }
}

impl Log {
    /// The middle of the limits from `from` on.
    pub(crate) fn median_limit(&self, from: Duration) -> Duration {
        let limits = self.limits.iter().filter(|(at, _)| *at >= from).map(|(_, limit)| *limit);
        part(limits.collect(), 0.5)
    }

    /// The calls that arrived from `from` to before `to`.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Vec<Run> {
        self.runs.iter().filter(|run| (from..to).contains(&run.arrived)).copied().collect()
    }
}

/// The value below which `share` of all lies.
pub(crate) fn part(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort_unstable();
    let at = (share * values.len() as f64) as usize;
    values[at.min(values.len() - 1)]
}

/// How many of `runs` expired whose call would have been answered.
pub(crate) fn cut(runs: &[Run]) -> usize {
    runs.iter().filter(|run| run.end == End::Expired && run.latency != NEVER).count()
}

/// `number` of `all` as a percentage.
pub(crate) fn percent(number: usize, all: usize) -> f64 {
    100.0 * number as f64 / all.max(1) as f64
}
