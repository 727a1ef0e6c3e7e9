//! What a run comes to.

use std::{ops::Range, time::Duration};

use steadfast::breaker::State;
use steadfast_chaos::FailureMode;
use tokio::time::Instant;

use crate::{
    calls::silences,
    report::quantiles,
    scenario::{Run, Span},
};

/// Twice what it takes to suspect an upstream that answers no more.
pub(crate) const NOTICED: Duration = Duration::from_millis(500);

/// The figures of one run.
pub(crate) struct Summary {
    pub(crate) requests: usize,
    /// The share that was answered as it should be.
    pub(crate) success: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Calls the gateway sent, for each request it was sent.
    pub(crate) attempts: f64,
    pub(crate) executed_twice: usize,
    pub(crate) disturbed: Vec<Disturbed>,
    pub(crate) states: Vec<State>,
}

/// How one upstream was treated while something was wrong with it, and after.
pub(crate) struct Disturbed {
    pub(crate) mode: FailureMode,
    pub(crate) upstream: usize,
    /// Calls sent to it meanwhile, probes among them.
    pub(crate) calls: usize,
    /// Those of them that were sent once its silence could be noticed.
    pub(crate) late_calls: usize,
    /// From the fault to the last call before the first silence.
    pub(crate) stopped_after: Option<Duration>,
    /// From the end of the fault to the first call after the last silence.
    pub(crate) back_after: Option<Duration>,
}

impl Summary {
    #[expect(clippy::cast_precision_loss, reason = "thousands of requests")]
    pub(crate) fn of(run: &Run) -> Self {
        let (requests, ok) =
            (run.samples.len(), run.samples.iter().filter(|sample| sample.ok).count());
        let (p50, p99) = quantiles(&run.samples);
        Self {
            requests,
            success: ok as f64 / requests as f64,
            p50,
            p99,
            attempts: run.calls.len() as f64 / requests as f64,
            executed_twice: run.executed_twice,
            disturbed: run.spans.iter().map(|span| Disturbed::of(run, span)).collect(),
            states: run.states.clone(),
        }
    }
}

impl Disturbed {
    fn of(run: &Run, span: &Span) -> Self {
        let meanwhile = span.from..span.to;
        let calls = |within: &Range<Instant>| {
            let sent = run.calls.iter().filter(|call| within.contains(&call.at));
            sent.filter(|call| call.upstream == span.upstream).count()
        };
        let silences = silences(&run.calls, span.upstream, &(span.from..span.until));
        let first = silences.first().filter(|silence| silence.from < span.to);
        let back = match silences.last() {
            // Probed when the fault ended, or never left.
            None => Some(span.to),
            Some(silence) => silence.to.map(|to| to.max(span.to)),
        };
        Self {
            mode: span.mode,
            upstream: span.upstream,
            calls: calls(&meanwhile),
            late_calls: calls(&(span.from + NOTICED..span.to)),
            stopped_after: first.map(|silence| silence.from.saturating_duration_since(span.from)),
            back_after: back.map(|at| at - span.to),
        }
    }
}
