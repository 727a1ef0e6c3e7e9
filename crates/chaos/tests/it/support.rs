//! Plans of one fault, and services that are polled by hand.

use std::{future::Future, num::NonZeroU64, pin::Pin, task::Poll, time::Duration};

use steadfast_chaos::{Delay, Fault, FaultLayer, Faults, Plan, Rule, RuleSnapshot};
use steadfast_testkit::{BoxError, Control, Probe};
use tower::{Layer, Service};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const DELAY: Delay = Delay::of(SECOND);

/// Every fault there is, each with a second's delay.
pub(crate) const ALL: [Fault; 12] = [
    Fault::RequestLost,
    Fault::Queued(DELAY),
    Fault::CrashedBefore,
    Fault::Busy(DELAY),
    Fault::ReplyLost,
    Fault::ReplyLate(DELAY),
    Fault::Duplicated,
    Fault::Error,
    Fault::BitFlipped,
    Fault::BodyCut,
    Fault::SlowBody(DELAY),
    Fault::Byzantine,
];

/// A plan on that strikes every request with one fault.
pub(crate) fn always(fault: Fault) -> Faults {
    on(Plan::new(7).rule(Rule::new("it", fault)))
}

/// A plan on that strikes the first request alone.
pub(crate) fn once(fault: Fault) -> Faults {
    on(Plan::new(7).rule(Rule::new("it", fault).at_most(NonZeroU64::MIN)))
}

pub(crate) fn on(plan: Plan) -> Faults {
    let faults = Faults::new(plan).unwrap();
    faults.turn_on();
    faults
}

/// What became of the one rule's faults.
pub(crate) fn it(faults: &Faults) -> RuleSnapshot {
    faults.snapshot().rule("it").unwrap().clone()
}

pub(crate) fn counts(faults: &Faults) -> (u64, u64) {
    let rule = it(faults);
    (rule.struck, rule.skipped)
}

/// A layer that can do all that a service without bodies can suffer.
pub(crate) fn able(faults: &Faults) -> impl Layer<Probe, Service = impl Subject> + Clone {
    FaultLayer::new(faults.clone())
        .cloning()
        .byzantine(|reply: u32, _: &steadfast_chaos::Strike| reply + 1000)
}

/// What the tests call.
pub(crate) trait Subject:
    Service<u32, Response = u32, Error = BoxError, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S> Subject for S where
    S: Service<u32, Response = u32, Error = BoxError, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

pub(crate) fn under<L: Layer<Probe>>(layer: &L) -> (Control, L::Service) {
    let probe = Probe::new();
    (probe.control(), layer.layer(probe))
}

/// A call under way, polled by hand.
pub(crate) type Call<F> = tokio_test::task::Spawn<Pin<Box<F>>>;

/// Makes the service ready and calls it.
pub(crate) fn call<S: Subject>(service: &mut S, request: u32) -> Call<S::Future> {
    let ready = tokio_test::task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert!(matches!(ready, Poll::Ready(Ok(()))), "the service is ready");
    tokio_test::task::spawn(Box::pin(service.call(request)))
}

/// Its outcome by now, after all that was due has been done.
pub(crate) async fn settled<F: Future>(call: &mut Call<F>) -> Poll<F::Output> {
    tokio::task::yield_now().await;
    call.poll()
}
