//! A call over five services that answer at once, and what one writes without it.

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use futures::{Stream, future::join_all, stream::FuturesUnordered};
use steadfast_quorum::{CallConfig, QuorumCall, Threshold};
use tower::BoxError;

use crate::{
    row::{Family, Group, Row},
    service::{Inner, bare},
    subject::{Calls, Function, Subject},
};

const NODES: usize = 5;
pub(crate) const NEEDED: usize = 3;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row(Family::Ours, "call, 3 of 5 services, all at once", quorum(CallConfig::all_at_once())),
        row(
            Family::Ours,
            "call, 3 of 5 services, quorum first",
            quorum(CallConfig::quorum_first()),
        ),
        row(Family::Peer, "FuturesUnordered, the first 3 of 5 services", first_of(services())),
        row(Family::Peer, "join_all, all 5 services", all_of(services())),
    ]
}

fn row(family: Family, name: &'static str, subject: Box<dyn Subject>) -> Row {
    Row::new(family, Group::Happy, name, subject).over(name)
}

fn quorum(config: CallConfig) -> Box<dyn Subject> {
    let call = QuorumCall::new(three_of_five(), services().into_iter().enumerate(), config);
    Box::new(Calls(call.expect("each node has one service")))
}

pub(crate) fn three_of_five() -> Threshold {
    Threshold::of(NEEDED, NODES).expect("three of five is possible")
}

fn services() -> [impl Inner<BoxError>; NODES] {
    five(&bare())
}

pub(crate) fn five<S: Clone>(service: &S) -> [S; NODES] {
    std::array::from_fn(|_| service.clone())
}

/// The first answers, whichever they are. Counts no errors: with three of them it would go on
/// waiting.
fn first_of(mut services: [impl Inner<BoxError>; NODES]) -> Box<dyn Subject> {
    Box::new(Function(move |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let calls = services.iter_mut().map(|service| made(service, request));
        let mut calls = pin!(calls.collect::<FuturesUnordered<_>>());
        let mut replies = Vec::with_capacity(NODES);
        while replies.len() < NEEDED {
            match calls.as_mut().poll_next(&mut cx) {
                Poll::Ready(Some(reply)) => replies.extend(reply.ok()),
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        black_box(&replies);
        true
    }))
}

/// All answers.
fn all_of(mut services: [impl Inner<BoxError>; NODES]) -> Box<dyn Subject> {
    Box::new(Function(move |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let calls = services.iter_mut().map(|service| made(service, request));
        let polled = pin!(join_all(calls)).poll(&mut cx);
        let Poll::Ready(replies) = black_box(polled) else { return false };
        replies.iter().filter(|reply| reply.is_ok()).count() >= NEEDED
    }))
}

pub(crate) fn made<S: Inner<BoxError>>(service: &mut S, request: u64) -> S::Future {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(
        matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))),
        "a subject is always ready"
    );
    service.call(black_box(request))
}
