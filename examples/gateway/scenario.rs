//! What happens to the upstreams, second by second.

use std::time::Duration;

use steadfast::breaker::State;
use tokio::{
    task::block_in_place,
    time::{Instant, sleep_until},
};

use crate::{
    Failure,
    calls::Call,
    gateway::{Gateway, Kind},
    ledger::Ledger,
    load::{self, Sample, Samples},
    report,
    upstream::{NAMES, Upstreams},
};

/// What can happen to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `SIGSTOP`: it keeps its connections and answers no request, until `SIGCONT`.
    Paused,
    /// `SIGKILL`: its connections break and new ones are refused, until it is started again.
    Killed,
    /// Every answer takes two seconds longer, and so longer than callers wait.
    Slowed,
}

impl Fault {
    /// The upstream is …
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Killed => "killed",
            Self::Slowed => "slowed",
        }
    }
}

/// The faults, in order: each upstream has one, for eight seconds, and the time until the next to
/// come back.
const FAULTS: [Fault; 3] = [Fault::Paused, Fault::Killed, Fault::Slowed];
const CALM: Duration = Duration::from_secs(3);
const LASTS: Duration = Duration::from_secs(8);
const RECOVERY: Duration = Duration::from_secs(3);
const LENGTH: Duration = Duration::from_secs(36);
const SLOWED_BY: Duration = Duration::from_secs(2);

/// One fault of one upstream, and when it was.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) fault: Fault,
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

/// Plays all faults to one gateway under load.
pub(crate) async fn play(kind: Kind) -> Result<Run, Failure> {
    let (ledger, address) = Ledger::open().await?;
    let mut upstreams = Upstreams::start(address)?;
    let gateway = Gateway::start(kind, &upstreams.addresses()).await?;
    report::headline(kind);
    let (start, samples) = (Instant::now(), Samples::default());
    let load = tokio::spawn(load::generate(gateway.address, start, LENGTH, samples.clone()));
    let lines =
        tokio::spawn(report::lines(start, LENGTH, samples.clone(), gateway.circuits.clone()));
    let spans = disturb(&mut upstreams, start + CALM).await?;
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

/// One fault after the other, each on another upstream. The gateway is told nothing.
async fn disturb(upstreams: &mut Upstreams, mut at: Instant) -> Result<Vec<Span>, Failure> {
    let mut spans = Vec::new();
    for (upstream, fault) in FAULTS.into_iter().enumerate() {
        let name = NAMES[upstream];
        sleep_until(at).await;
        let from = Instant::now();
        begin(upstreams, upstream, fault).await?;
        println!("          upstream {name} is {}", fault.name());
        sleep_until(at + LASTS).await;
        end(upstreams, upstream, fault).await?;
        println!("          upstream {name} is as before");
        let to = Instant::now();
        spans.push(Span { fault, upstream, from, to, until: to + RECOVERY });
        at += LASTS + RECOVERY;
    }
    Ok(spans)
}

async fn begin(upstreams: &mut Upstreams, which: usize, fault: Fault) -> Result<(), Failure> {
    match fault {
        // Both wait until the system has done so, which the tasks of the load shall not.
        Fault::Paused => Ok(block_in_place(|| upstreams.child(which).pause())?),
        Fault::Killed => Ok(block_in_place(|| upstreams.child(which).kill())?),
        Fault::Slowed => load::slow(upstreams.child(which).address(), SLOWED_BY).await,
    }
}

async fn end(upstreams: &mut Upstreams, which: usize, fault: Fault) -> Result<(), Failure> {
    match fault {
        Fault::Paused => Ok(upstreams.child(which).resume()?),
        Fault::Killed => upstreams.restart(which),
        Fault::Slowed => load::slow(upstreams.child(which).address(), Duration::ZERO).await,
    }
}
