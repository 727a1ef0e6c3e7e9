//! The one event there is.

use steadfast_quorum::CallConfig;
use steadfast_testkit::{Reply, events};
use tower::{Service, ServiceExt};

use super::{call_over, majority_of, script};

#[test]
fn a_call_that_came_to_nothing_is_one_debug_event_without_what_was_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = events(|| {
        runtime.block_on(async {
            let (nodes, mut call) =
                call_over(majority_of(3), CallConfig::all_at_once().named("users"));
            call.ready().await.unwrap().call(7).await.unwrap();
            script(&nodes, [Reply::error(), Reply::echo().held(), Reply::error()]);
            call.ready().await.unwrap().call(7).await.unwrap_err();
        });
    });
    let event =
        "DEBUG steadfast::quorum message=no quorum quorum=users outcome=lost no={0, 2} out={1}";
    assert_eq!(lines, [event]);
}
