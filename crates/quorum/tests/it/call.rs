//! Calls over probes, on paused time or polled by hand.

mod contract;
mod deadline;
#[cfg(feature = "detach")]
mod detach;
mod drop;
mod earliest;
mod levels;
mod make;
#[cfg(feature = "metrics")]
mod metrics;
mod model;
mod readiness;
#[cfg(feature = "tracing")]
mod tracing;

use std::time::Duration;

use steadfast_quorum::{Answers, CallConfig, CallError, NodeSet, QuorumCall, Rule, Threshold};
use steadfast_testkit::{BoxError, Control, Probe, Reply};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

type Outcome = Result<Answers<u32, BoxError>, CallError<u32, BoxError>>;

fn set(nodes: impl IntoIterator<Item = usize>) -> NodeSet {
    NodeSet::of(nodes).unwrap()
}

fn majority_of(count: usize) -> Threshold {
    Threshold::majority_of(count).unwrap()
}

/// A call over as many probes as the rule has members, and the controls of the probes, in the order
/// of the nodes' numbers.
fn call_over(
    rule: impl Rule + Send + Sync + 'static,
    config: CallConfig,
) -> (Vec<Control>, QuorumCall<Probe>) {
    let probes: Vec<(usize, Probe)> =
        rule.members().iter().map(|node| (node, Probe::new())).collect();
    let controls = probes.iter().map(|(_, probe)| probe.control()).collect();
    (controls, QuorumCall::new(rule, probes, config).unwrap())
}

/// Gives each node its reply.
fn script(controls: &[Control], replies: impl IntoIterator<Item = Reply>) {
    controls.iter().zip(replies).for_each(|(control, reply)| control.always(reply));
}

/// What came of a call, and after how long on tokio's clock.
async fn timed<S>(call: &mut S) -> (Outcome, Duration)
where
    S: Service<u32, Response = Answers<u32, BoxError>, Error = CallError<u32, BoxError>>,
{
    let start = Instant::now();
    let outcome = call.ready().await.unwrap().call(7).await;
    (outcome, since(start))
}

fn since(start: Instant) -> Duration {
    Instant::now() - start
}

fn calls(controls: &[Control]) -> Vec<u64> {
    controls.iter().map(|control| control.counts().calls).collect()
}

fn live_futures(controls: &[Control]) -> u64 {
    controls.iter().map(|control| control.counts().live_futures).sum()
}
