//! A plan, played to the upstreams of one gateway under load.

use std::time::Duration;

use steadfast::breaker::State;
use steadfast_chaos::{Change, Event, FailureMode, Plan};
use tokio::time::{Instant, sleep_until};

use crate::{
    Failure,
    calls::Call,
    gateway::{Gateway, Kind},
    ledger::Ledger,
    load::{self, Sample, Samples},
    report,
    upstream::{NAMES, Upstreams},
};

/// The plan, to be read and to be changed.
const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway/bad_day.toml");
/// How long an upstream has to come back.
const RECOVERY: Duration = Duration::from_secs(3);

/// One outage of one upstream, and when it was.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) mode: FailureMode,
    pub(crate) upstream: usize,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// Until when the upstream had time to come back.
    pub(crate) until: Instant,
}

/// All that was seen in one run.
pub(crate) struct Run {
    pub(crate) samples: Vec<Sample>,
    pub(crate) calls: Vec<Call>,
    pub(crate) spans: Vec<Span>,
    /// The circuits at the end.
    pub(crate) states: Vec<State>,
    /// Orders executed more than once.
    pub(crate) executed_twice: usize,
}

/// Plays the plan to one gateway under load.
pub(crate) async fn play(kind: Kind) -> Result<Run, Failure> {
    let (ledger, address) = Ledger::open().await?;
    let upstreams = Upstreams::start(address)?;
    let gateway = Gateway::start(kind, &upstreams.addresses).await?;
    let timeline = Plan::load(PLAN)?.timeline()?;
    let length = timeline.last().map_or(Duration::ZERO, |event| event.at) + RECOVERY;
    report::headline(kind);
    let (start, samples) = (Instant::now(), Samples::default());
    let load = tokio::spawn(load::generate(gateway.address, start, length, samples.clone()));
    let lines =
        tokio::spawn(report::lines(start, length, samples.clone(), gateway.circuits.clone()));
    let spans = disturb(&upstreams, start, &timeline).await?;
    load.await?;
    lines.await?;
    let states = gateway.circuits.iter().map(steadfast::breaker::Circuit::state).collect();
    let samples = std::mem::take(&mut *samples.lock());
    Ok(Run {
        samples,
        calls: gateway.calls.take(),
        spans,
        states,
        executed_twice: ledger.executed().1,
    })
}

/// The plan, event by event. The gateway is told nothing.
async fn disturb(
    upstreams: &Upstreams,
    start: Instant,
    timeline: &[Event],
) -> Result<Vec<Span>, Failure> {
    let (mut begun, mut spans) = (Vec::new(), Vec::new());
    for event in timeline {
        sleep_until(start + event.at).await;
        let (before, mode, name) = (Instant::now(), event.mode, &*event.target);
        upstreams.apply(event).await?;
        let upstream = NAMES.iter().position(|upstream| *upstream == name);
        let upstream = upstream.ok_or_else(|| format!("there is no upstream {name}"))?;
        match event.change {
            Change::Begin => {
                println!("          upstream {name} is {}", mode.name());
                begun.push((upstream, mode, before));
            }
            Change::End => {
                println!("          upstream {name} is as before");
                let this = begun.iter().position(|begun| (begun.0, begun.1) == (upstream, mode));
                let (.., from) = begun.swap_remove(this.ok_or("an end without a beginning")?);
                let to = Instant::now();
                spans.push(Span { mode, upstream, from, to, until: to + RECOVERY });
            }
        }
    }
    Ok(spans)
}
