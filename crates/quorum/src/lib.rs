#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "call")]
mod call;
mod dual;
mod error;
mod expression;
mod joint;
mod nodes;
mod read_write;
mod rule;
mod search;
mod tally;
mod threshold;
mod weighted;

#[cfg(feature = "call")]
pub use crate::call::{
    Answer, Answers, CallError, Cancel, Conduct, Hedge, Level, Levels, Losers, MakeError, MakeFuture, NodesError, Plan,
    Quorum, QuorumCall, QuorumFuture, Reached, Stragglers,
};
#[cfg(feature = "detach")]
pub use crate::call::{Detach, DetachSnapshot};
pub use crate::{
    dual::Dual,
    error::{AnalysisError, IntersectionError, RuleError},
    expression::{Expr, Expression},
    joint::Joint,
    nodes::{Iter, NodeSet, Nodes},
    read_write::{ReadWrite, ReadWriteError},
    rule::{Decision, Rule, SEARCH_LIMIT},
    tally::{Cast, Election, ElectionError, NewestTally, Roll, Suspicion, SuspicionTally, Tally, ValueTally},
    threshold::Threshold,
    weighted::Weighted,
};
