// Its examples take these features.
#![cfg_attr(
    any(not(doctest), all(feature = "call", feature = "detach")),
    doc = include_str!("../README.md")
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "call")]
mod call;
mod closed;
mod dual;
mod error;
mod expression;
mod joint;
mod nodes;
mod read_write;
mod rule;
mod search;
mod shape;
mod tally;
mod threshold;
mod weighted;

#[cfg(feature = "call")]
pub use crate::call::{
    Answer, Answers, CallConfig, CallError, Cancel, Hedge, Level, Levels, MakeError, MakeFuture,
    OnDecided, Quorum, QuorumCall, QuorumFuture, Reached, SetupError, Stragglers,
};
pub use crate::{
    dual::Dual,
    error::{AnalysisError, IntersectionError, RuleError},
    expression::{Expr, Expression},
    joint::Joint,
    nodes::{Iter, NodeSet, Nodes},
    read_write::{ReadWrite, ReadWriteError},
    rule::{Decision, Rule, SEARCH_LIMIT},
    shape::Shape,
    tally::{Cast, Election, NewestTally, Roll, Suspicion, SuspicionTally, Tally, ValueTally},
    threshold::Threshold,
    weighted::Weighted,
};
