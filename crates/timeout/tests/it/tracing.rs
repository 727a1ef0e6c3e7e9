//! The one event there is.

use steadfast_testkit::events;

use crate::{MS, never, ok};

#[test]
fn a_timeout_is_one_debug_event_and_a_success_is_none() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = events(|| {
        runtime.block_on(async {
            let limit = crate::fixed(100 * MS);
            limit.run(ok(tokio::time::sleep(MS))).await.unwrap();
            limit.run(never()).await.unwrap_err();
        });
    });
    assert_eq!(
        lines,
        ["DEBUG steadfast::timeout message=no answer within the limit timeout=default limit=100ms"]
    );
}
