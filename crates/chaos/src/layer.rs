//! The layer.

use std::hash::Hash;

use steadfast_core::Detach;
use tower_layer::Layer;

use crate::{
    AnswerWith, Byzantine, Cloning, Describe, FaultService, Faults, Injection, Keyed, Plain,
    Strike, Tagged, WithCaller,
};

/// Lets requests meet the faults of a plan.
///
/// Switched off, it costs one atomic load. What a fault is to the service, the protocol `P` says;
/// what the plan is told of a request, `X`; and who carries a request that was struck to its end,
/// `D`.
///
/// | fault | the service | its caller |
/// |---|---|---|
/// | request lost | sees nothing | hears nothing, for ever |
/// | queued | is called so much later | hears it so much later |
/// | crashed before | sees nothing | a refused connection: [`Injected`](crate::Injected) |
/// | busy | is called at once, and held | the reply, the delay after it was there |
/// | reply lost | is called at once | hears nothing, for ever |
/// | reply late | is called at once, then free | the reply, the delay after it was there |
/// | duplicated | is called twice, side by side | the first one's reply, when both have ended |
/// | error | sees nothing | what [`answer_with`](Self::answer_with) says |
/// | bit flipped, body cut, slow body | is called at once | a spoilt body, on HTTP only |
/// | byzantine | is called at once | what [`byzantine`](Self::byzantine) says |
///
/// A busy server and a late reply look the same to a caller, and are not: the busy one executes at
/// once and stays occupied, with its place under a limit of concurrency, until the delay is over.
///
/// A fault that cannot be done is counted as skipped, and the request passes. A service that fails
/// by itself fails as ever, however late; of a fault that spoils replies that is one skipped.
///
/// **A caller that goes away** cancels its request, wherever that is, as it does without this
/// layer. On a network the rest of the way goes on without it: [`detach`](Self::detach).
///
/// Delays need a tokio runtime with its timer: a future that waits for one panics elsewhere.
///
/// Put it where the network is: round the client, inside of what shall be proved (retry, breaker,
/// timeout); or round a server's handlers.
///
/// ```
/// use std::time::Duration;
/// use steadfast_chaos::{Delay, Fault, FaultLayer, Faults, Injected, Plan, Rule};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let plan = Plan::new(42)
///     .rule(Rule::new("down", Fault::CrashedBefore).requests(0..2))
///     .rule(Rule::new("slow", Fault::ReplyLate(Delay::of(Duration::from_secs(2)))).only("/b"));
/// let faults = Faults::new(plan)?;
/// let service = FaultLayer::new(faults.clone())
///     .tag(|path: &&'static str| Some(*path))
///     .layer(service_fn(|path: &'static str| async move { Ok::<_, BoxError>(path.len()) }));
///
/// assert_eq!(service.clone().oneshot("/a").await?, 2, "off until it is turned on");
/// faults.turn_on();
/// for _ in 0..2 {
///     let error = service.clone().oneshot("/a").await.unwrap_err();
///     assert!(error.is::<Injected>());
/// }
/// let begun = tokio::time::Instant::now();
/// assert_eq!(service.clone().oneshot("/b").await?, 2);
/// assert_eq!(tokio::time::Instant::now() - begun, Duration::from_secs(2));
/// assert_eq!(faults.snapshot().rule("down").unwrap().struck, 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FaultLayer<P = Plain, X = (), D = WithCaller> {
    pub(crate) faults: Faults,
    pub(crate) protocol: P,
    pub(crate) describe: X,
    pub(crate) carry: D,
}

impl FaultLayer {
    /// Those of `faults`, for any service whose error can be made of
    /// [`Injected`](crate::Injected).
    #[must_use]
    pub const fn new(faults: Faults) -> Self {
        Self { faults, protocol: Plain, describe: (), carry: WithCaller }
    }
}

#[cfg(feature = "http")]
impl<X, D> FaultLayer<Plain, X, D> {
    /// Faults in the terms of HTTP. What else the layer shall know of a service comes after it:
    /// [`cloning`](Self::cloning), [`byzantine`](Self::byzantine),
    /// [`answer_with`](Self::answer_with).
    #[must_use]
    pub fn http(self) -> FaultLayer<crate::Http, X, D> {
        self.protocol(crate::Http::new())
    }
}

impl<P, X, D> FaultLayer<P, X, D> {
    /// Faults in the terms of another protocol. Before [`cloning`](Self::cloning),
    /// [`byzantine`](Self::byzantine) and [`answer_with`](Self::answer_with), which add to what the
    /// protocol knows: it takes their place as well.
    #[must_use]
    pub fn protocol<Q>(self, protocol: Q) -> FaultLayer<Q, X, D> {
        self.map(|_| protocol)
    }

    /// Requests are cloned for the fault `Duplicated`.
    #[must_use]
    pub fn cloning(self) -> FaultLayer<Cloning<P>, X, D> {
        self.map(Cloning)
    }

    /// An `Error` fault answers what `answer` says, in place of an error made of
    /// [`Injected`](crate::Injected), or of a status.
    #[must_use]
    pub fn answer_with<F, Res, Err>(self, answer: F) -> FaultLayer<AnswerWith<P, F>, X, D>
    where
        F: Fn(&Strike) -> Result<Res, Err>,
    {
        self.map(|inner| AnswerWith { inner, answer })
    }

    /// A `Byzantine` fault puts the reply that `other` makes of the right one in its place: another
    /// valid one, such as an old value or that of another node.
    #[must_use]
    pub fn byzantine<F, Res>(self, other: F) -> FaultLayer<Byzantine<P, F>, X, D>
    where
        F: Fn(Res, &Strike) -> Res,
    {
        self.map(|inner| Byzantine { inner, other })
    }

    /// What the user calls this kind of request, for the rules that strike only some: its path, its
    /// method. It runs while the faults are on, on the way of each request.
    #[must_use]
    pub fn tag<F, Req>(self, tag: F) -> FaultLayer<P, Tagged<X, F>, D>
    where
        F: Fn(&Req) -> Option<&str>,
    {
        self.map_describe(|rest| Tagged { rest, tag })
    }

    /// What the user knows a request by: the same key meets the same faults, in whatever order
    /// requests come. Hashed by FNV-1a, the same in every run and on every machine, as far as the
    /// key's own `Hash` is. A request without one goes by its number.
    ///
    /// A retry that has its request's key meets its fault again, each time. Where it shall have a
    /// chance of its own, the number of the attempt is part of the key.
    #[must_use]
    pub fn key<F, Req, K>(self, key: F) -> FaultLayer<P, Keyed<X, F>, D>
    where
        F: Fn(&Req) -> Option<K>,
        K: Hash,
    {
        self.map_describe(|rest| Keyed { rest, key })
    }

    /// What the plan is told of a request, a type of your own says: in place of the tag and the key
    /// that were taken before.
    #[must_use]
    pub fn describe<Y>(self, describe: Y) -> FaultLayer<P, Y, D> {
        self.map_describe(|_| describe)
    }

    /// A request that is queued, executed, or on its way back, goes on in `detach` after its caller
    /// has gone: queued, busy, reply lost, reply late, duplicated. It is sent at the first poll of
    /// its future.
    #[must_use]
    pub fn detach(self, detach: Detach) -> FaultLayer<P, X, Detach> {
        self.carry(detach)
    }

    /// Requests that were struck are carried by a type of your own.
    #[must_use]
    pub fn carry<E>(self, carry: E) -> FaultLayer<P, X, E> {
        let Self { faults, protocol, describe, .. } = self;
        FaultLayer { faults, protocol, describe, carry }
    }

    /// The faults.
    #[must_use]
    pub const fn handle(&self) -> &Faults {
        &self.faults
    }

    /// Out of line, and in a box: what comes back fits into a register, and the way of requests
    /// while the faults are off stays short.
    #[inline(never)]
    pub(crate) fn decide<Req>(&self, request: &Req) -> Option<Box<Injection>>
    where
        X: Describe<Req>,
    {
        self.faults.decide(self.describe.tag(request), self.describe.key(request)).map(Box::new)
    }

    fn map<Q>(self, protocol: impl FnOnce(P) -> Q) -> FaultLayer<Q, X, D> {
        let Self { faults, protocol: inner, describe, carry } = self;
        FaultLayer { faults, protocol: protocol(inner), describe, carry }
    }

    fn map_describe<Y>(self, describe: impl FnOnce(X) -> Y) -> FaultLayer<P, Y, D> {
        let Self { faults, protocol, describe: rest, carry } = self;
        FaultLayer { faults, protocol, describe: describe(rest), carry }
    }
}

impl<S, P: Clone, X: Clone, D: Clone> Layer<S> for FaultLayer<P, X, D> {
    type Service = FaultService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        FaultService::new(inner, self.clone())
    }
}
