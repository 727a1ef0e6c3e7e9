//! How a call goes about it.

use std::{sync::Arc, time::Duration};

use steadfast_core::{ConfigError, DefaultClassifier, NoContext};

use super::{
    losers::Cancel,
    pace::{Hedge, Pace},
};

/// How a [`QuorumCall`](crate::QuorumCall) goes about it: whom it calls when, what it takes for a yes, and what becomes of
/// those it no longer waits for.
///
/// `C` judges answers, `X` reads a request's deadline, `L` lets go of losers.
///
/// | | sends | waits for |
/// |---|---|---|
/// | [`all_at_once`](Self::all_at_once) | to every node | the fastest quorum |
/// | [`quorum_first`](Self::quorum_first) | to a quorum; one more on each failure | the slowest of a quorum |
/// | [`staggered`](Self::staggered), [`hedged`](Self::hedged) | the same, and one more after each delay | in between |
#[derive(Clone, Debug)]
pub struct Plan<C = DefaultClassifier, X = NoContext, L = Cancel> {
    pub(crate) pace: Pace,
    pub(crate) name: Arc<str>,
    pub(crate) rotates: bool,
    pub(crate) classifier: C,
    pub(crate) context: X,
    pub(crate) losers: L,
}

impl Plan {
    /// Calls every node at once: the lowest latency, for the most requests. For writes, which all nodes should get anyway.
    #[must_use]
    pub fn all_at_once() -> Self {
        Self::with(Pace::AllAtOnce)
    }

    /// Calls a quorum, the nodes that were named first preferred, and one more at once on each failure: the fewest requests.
    /// One slow node holds up a call for as long as it is slow.
    #[must_use]
    pub fn quorum_first() -> Self {
        Self::with(Pace::QuorumFirst)
    }

    /// Calls a quorum, one more at once on each failure, and one more after each `delay`.
    ///
    /// # Errors
    /// When `delay` is zero.
    pub fn staggered(delay: Duration) -> Result<Self, ConfigError> {
        ConfigError::require(!delay.is_zero(), "delay", delay, "above zero")?;
        Ok(Self::with(Pace::Staggered(delay)))
    }

    /// Calls a quorum, one more at once on each failure, and one more after each delay, which is learned from the latencies
    /// of the nodes. Clones learn together.
    ///
    /// # Errors
    /// When `hedge` cannot work: with the field and its value.
    pub fn hedged(hedge: Hedge) -> Result<Self, ConfigError> {
        Ok(Self::with(Pace::Hedged(Arc::new(hedge.learn()?))))
    }

    fn with(pace: Pace) -> Self {
        Self {
            pace,
            name: Arc::from("default"),
            rotates: false,
            classifier: DefaultClassifier,
            context: NoContext,
            losers: Cancel,
        }
    }
}

impl<C, X, L> Plan<C, X, L> {
    /// The same, with answers judged by `classifier`. Only a success is a vote for yes; anything else is one for no.
    ///
    /// Where a node that answers "there is none" has answered, such as with 404, the classifier calls that a success. It
    /// sees what the service gives back: a body that is to be read and understood before it counts is read inside the node's
    /// service.
    #[must_use]
    pub fn classify<C2>(self, classifier: C2) -> Plan<C2, X, L> {
        let Self { pace, name, rotates, context, losers, .. } = self;
        Plan { pace, name, rotates, classifier, context, losers }
    }

    /// The same, with the deadline told by `context`. A closure `Fn(&Req) -> Option<Deadline>` will do. When it has passed a
    /// call ends with [`CallError::Incomplete`](crate::CallError); one whose deadline has passed already calls nobody.
    #[must_use]
    pub fn context<X2>(self, context: X2) -> Plan<C, X2, L> {
        let Self { pace, name, rotates, classifier, losers, .. } = self;
        Plan { pace, name, rotates, classifier, context, losers }
    }

    /// The same for HTTP: the deadline from the request's extensions, answers judged by their status. A classifier of your
    /// own comes after it.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(self) -> Plan<steadfast_core::http::HttpClassifier, steadfast_core::http::HttpContext, L> {
        self.classify(steadfast_core::http::HttpClassifier).context(steadfast_core::http::HttpContext)
    }

    /// The same for gRPC: the deadline from the request's extensions, answers judged by their status. A classifier of your
    /// own comes after it.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn grpc(self) -> Plan<steadfast_core::tonic::GrpcClassifier, steadfast_core::http::HttpContext, L> {
        self.classify(steadfast_core::tonic::GrpcClassifier).context(steadfast_core::http::HttpContext)
    }

    /// The same, but nodes that a call no longer waits for finish in the background: for writes. Otherwise they are
    /// cancelled: for reads.
    #[cfg(feature = "detach")]
    #[must_use]
    pub fn detach(self, detach: crate::Detach) -> Plan<C, X, crate::Detach> {
        let Self { pace, name, rotates, classifier, context, .. } = self;
        Plan { pace, name, rotates, classifier, context, losers: detach }
    }

    /// The same, but each call prefers the node after the one that the call before preferred: where not all are called, all
    /// get their share. All clones of a call take turns together. Otherwise the nodes that were named first are preferred by
    /// every call, such as because they are near.
    #[must_use]
    pub fn rotate(self) -> Self {
        Self { rotates: true, ..self }
    }

    /// The same, named for metrics and events. The default is `default`.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), ..self }
    }
}
