//! The contract of every service, kept by a call over one node by each config.

use steadfast_quorum::{Answers, CallConfig, CallError, Hedge, QuorumCall, Threshold};
use steadfast_testkit::{BoxError, contract};
use tower::ServiceExt;

use super::MS;

/// A call over one node answers as the node does.
fn reply(answers: Answers<u32, BoxError>) -> u32 {
    answers.into_replies().next().unwrap().1
}

fn error(error: CallError<u32, BoxError>) -> BoxError {
    error.into_answers().into_iter().find_map(|answer| answer.result.err()).unwrap()
}

#[test]
fn a_call_over_one_node_keeps_the_contract_by_every_config() {
    let configs = [
        CallConfig::all_at_once(),
        CallConfig::quorum_first(),
        CallConfig::staggered(10 * MS),
        CallConfig::hedged(Hedge::new(MS, 10 * MS)),
    ];
    for config in configs {
        contract::suite(|probe| {
            let call = QuorumCall::new(Threshold::of(1, 1).unwrap(), [(0, probe)], config.clone())
                .unwrap();
            ServiceExt::<u32>::map_err(ServiceExt::<u32>::map_response(call, reply), error)
        });
    }
}

#[cfg(feature = "detach")]
#[tokio::test]
async fn a_call_that_detaches_keeps_the_contract_but_for_what_it_is_told_to_keep() {
    use steadfast_core::{Detach, DetachConfig};
    let detach = Detach::new(DetachConfig::new().limit(MS)).unwrap();
    detach.shutdown().await;
    contract::suite(|probe| {
        // Shut down, it cancels: what it keeps otherwise is for its own tests.
        let config = CallConfig::all_at_once();
        let call = QuorumCall::new(Threshold::of(1, 1).unwrap(), [(0, probe)], config).unwrap();
        let call = call.on_decided(detach.clone());
        ServiceExt::<u32>::map_err(ServiceExt::<u32>::map_response(call, reply), error)
    });
}
