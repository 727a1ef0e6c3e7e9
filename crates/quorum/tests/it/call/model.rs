//! Whom a call has called, what it has heard and when it is decided, against a naive simulation,
//! for random latencies, failures and configs.

use proptest::prelude::*;
use steadfast_core::Deadline;
use steadfast_quorum::{CallConfig, CallError, Threshold};
use steadfast_testkit::Reply;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::{MS, call_over, calls, script, since};

/// What a node does: how long it takes, and whether it fails.
#[derive(Clone, Copy, Debug)]
struct Node {
    takes_ms: u32,
    fails: bool,
}

#[derive(Clone, Copy, Debug)]
enum Pace {
    AllAtOnce,
    QuorumFirst,
    Staggered(u32),
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Won,
    Lost,
    Incomplete,
}

/// What came of a call: how and when it ended, which nodes said yes and no in which order, and how
/// many nodes the request was sent to.
type Seen = (End, u32, Vec<usize>, Vec<usize>, u64);

/// Event by event, one millisecond after the other.
fn simulate(nodes: &[Node], needed: usize, pace: Pace, deadline_ms: u32) -> Seen {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    // When each node that was called answers, and those whose call waits for its first poll.
    let (mut due, mut fresh) = (Vec::new(), Vec::new());
    let first = if matches!(pace, Pace::AllAtOnce) { nodes.len() } else { needed };
    due.extend(nodes[..first].iter().map(|node| Some(node.takes_ms)));
    let mut one_more = if let Pace::Staggered(delay) = pace { delay } else { u32::MAX };
    for now in 0.. {
        loop {
            let next = (due.len() < nodes.len()).then(|| Some(now + nodes[due.len()].takes_ms));
            if let Some(node) = due.iter().position(|due| *due == Some(now)) {
                due[node] = None;
                let heard = if nodes[node].fails { &mut no } else { &mut yes };
                heard.push(node);
                fresh.retain(|fresh| *fresh > node);
                let sent = (due.len() - fresh.len()) as u64;
                if yes.len() >= needed {
                    return (End::Won, now, yes, no, sent);
                }
                if nodes.len() - no.len() < needed {
                    return (End::Lost, now, yes, no, sent);
                }
                if let (true, Some(next)) = (nodes[node].fails, next) {
                    fresh.push(due.len());
                    due.push(next);
                }
            } else if now >= deadline_ms {
                return (End::Incomplete, now, yes, no, due.len() as u64);
            } else if let (Pace::Staggered(delay), Some(next)) = (pace, next)
                && one_more == now
            {
                fresh.push(due.len());
                due.push(next);
                one_more = now + delay;
            } else {
                fresh.clear();
                break;
            }
        }
    }
    unreachable!("the deadline ends it")
}

/// The same of a call.
async fn observe(nodes: &[Node], needed: usize, pace: Pace, deadline_ms: u32) -> Seen {
    let start = Instant::now();
    let deadline = Deadline::at((start + deadline_ms * MS).into_std());
    let config = match pace {
        Pace::AllAtOnce => CallConfig::all_at_once(),
        Pace::QuorumFirst => CallConfig::quorum_first(),
        Pace::Staggered(delay) => CallConfig::staggered(delay * MS),
    };
    let (controls, call) = call_over(Threshold::of(needed, nodes.len()).unwrap(), config);
    let mut call = call.context(move |_: &u32| Some(deadline));
    let replies = nodes.iter().map(|node| {
        let reply = if node.fails { Reply::error() } else { Reply::echo() };
        if node.takes_ms == 0 { reply } else { reply.after(node.takes_ms * MS) }
    });
    script(&controls, replies);
    let (end, answers) = match call.ready().await.unwrap().call(7).await {
        Ok(answers) => (End::Won, answers),
        Err(CallError::Lost { answers, .. }) => (End::Lost, answers),
        Err(error) => (End::Incomplete, error.into_answers()),
    };
    assert_eq!(answers.elapsed(), since(start));
    assert!(
        controls.iter().all(
            |control| control.counts().live_futures == 0 && control.counts().unready_calls == 0
        )
    );
    let said = |is_yes| {
        answers
            .all()
            .iter()
            .filter(move |answer| answer.is_yes() == is_yes)
            .map(|answer| answer.node)
    };
    let ms = u32::try_from(since(start).as_millis()).unwrap();
    (end, ms, said(true).collect(), said(false).collect(), calls(&controls).iter().sum())
}

fn node() -> impl Strategy<Value = Node> {
    (prop_oneof![Just(0), 1..30_u32], any::<bool>())
        .prop_map(|(takes_ms, fails)| Node { takes_ms, fails })
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        Just(Pace::AllAtOnce),
        Just(Pace::QuorumFirst),
        (1..12_u32).prop_map(Pace::Staggered)
    ]
}

proptest! {
    #[test]
    fn a_call_goes_as_a_naive_simulation_does(
        nodes in prop::collection::vec(node(), 1..9),
        needed in any::<prop::sample::Index>(),
        pace in pace(),
        deadline_ms in 1..50_u32,
    ) {
        let needed = needed.index(nodes.len()) + 1;
        let expected = simulate(&nodes, needed, pace, deadline_ms);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        prop_assert_eq!(runtime.block_on(observe(&nodes, needed, pace, deadline_ms)), expected);
    }
}
