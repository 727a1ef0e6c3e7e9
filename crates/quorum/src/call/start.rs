//! How a call begins: which nodes are called first, and what is kept for the others.

use std::sync::Arc;

use steadfast_core::{Deadline, RequestContext};
use tower_service::Service;

use super::{
    driver::Driver,
    node::{Node, NodeState},
    on_decided::OnDecided,
    pace::{CLOCK, Pace},
    progress::opening,
    service::QuorumCall,
    stragglers::Stragglers,
};
use crate::Nodes;

impl<S, C, X, D, const WORDS: usize> QuorumCall<S, C, X, D, WORDS> {
    /// Calls the first nodes.
    pub(super) fn start<Req>(&mut self, request: Req) -> Driver<S, Req, C, D, WORDS>
    where
        S: Service<Req> + Clone,
        Req: Clone,
        C: Clone,
        X: RequestContext<Req>,
        D: OnDecided<Stragglers<S, Req, WORDS>> + Clone,
    {
        let Self { nodes, first, shared, classifier, context, on_decided } = self;
        let (shared, started) = (shared.lane(), CLOCK.now());
        let first = first.take().unwrap_or_else(|| shared.next_turn());
        let deadline = context.deadline(&request).map(Deadline::instant);
        let is_late = deadline.is_some_and(|deadline| deadline <= started);
        let called = match shared.pace {
            _ if is_late => Nodes::EMPTY,
            Pace::AllAtOnce => shared.present,
            _ => opening(&*shared.rule, shared.preference(first), ready(nodes, &shared.order)),
        };
        let behaviours = (classifier.clone(), on_decided.clone());
        let request = (!is_late).then_some(request);
        let mut driver =
            Driver::new(Arc::clone(shared), behaviours, request, (started, deadline), first);
        let mut left = called.len();
        if is_late {
            nodes.iter_mut().for_each(Node::release);
        } else if called != shared.present {
            driver.keep(reserve(nodes, &shared.order, called));
            // The request itself is for the last of those that are kept.
            left = usize::MAX;
        }
        for (place, (node, number)) in nodes.iter_mut().zip(&shared.order).enumerate() {
            if !called.contains(*number) {
                continue;
            }
            left -= 1;
            if node.state == NodeState::Ready {
                node.state = NodeState::Fresh;
                driver.call(place, &mut node.service, left == 0);
            } else {
                // The instance that waits in line goes on waiting inside the call.
                driver.ready_then_call(place, node.renew(), left == 0);
            }
        }
        driver
    }
}

/// Instances for the nodes that are not called yet, by place. The instances that were asked are let
/// go: one that holds a permit, or stands in line for one, would keep other calls from it, and this
/// call first of all.
fn reserve<S: Clone, const WORDS: usize>(
    nodes: &mut [Node<S>],
    order: &[usize],
    called: Nodes<WORDS>,
) -> Vec<Option<S>> {
    let instance = |(node, number): (&mut Node<S>, &usize)| {
        (!called.contains(*number)).then(|| {
            node.release();
            node.service.clone()
        })
    };
    nodes.iter_mut().zip(order).map(instance).collect()
}

/// The nodes that are ready.
fn ready<S, const WORDS: usize>(nodes: &[Node<S>], order: &[usize]) -> Nodes<WORDS> {
    let mut ready = Nodes::EMPTY;
    for (_, number) in nodes.iter().zip(order).filter(|(node, _)| node.state == NodeState::Ready) {
        ready.insert(*number);
    }
    ready
}
