//! A replica in the place of its master.

use std::time::Duration;

use steadfast_idempotency::{Change, ClaimReply, ClaimTerms, Store};
use steadfast_testkit::servers::RedisServer;
use tokio::time::sleep;

use super::{connect, say};
use crate::rivals::{LONG, some_id, terms};

const MS: Duration = Duration::from_millis(1);
const FIRST: ClaimReply = ClaimReply::Claimed { attempt: std::num::NonZeroU32::MIN };

/// Replication comes behind the answer: what a replica was not told when it is promoted has never
/// been. A claim runs again, and is told that it is the first; what was completed is in flight, and
/// abandoned when its lease ends.
#[tokio::test]
async fn a_failover_forgets_what_the_replica_was_not_told() {
    let [master, replica] = [(); 2].map(|()| RedisServer::start(&[]));
    let port = master.port().to_string();
    say::<()>(&replica, &["REPLICAOF", "127.0.0.1", &port]).await;
    let (before, after) = (connect(&master).await, connect(&replica).await);
    let owner = ClaimTerms { lease: 500 * MS, ..terms() };
    let (told, lost) = (some_id(), some_id());
    assert_eq!(before.claim(&told, &owner).await.unwrap(), FIRST);
    for _ in 0..600 {
        if say::<i64>(&replica, &["DBSIZE"]).await == 1 {
            break;
        }
        sleep(50 * MS).await;
    }
    // It is promoted in the moment before it would be told the rest.
    say::<()>(&replica, &["REPLICAOF", "NO", "ONE"]).await;
    let completed = before.complete(&told, owner.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(completed, Change::Applied);
    assert_eq!(before.claim(&lost, &owner).await.unwrap(), FIRST);
    master.kill();
    sleep(600 * MS).await;
    assert_eq!(after.claim(&told, &terms()).await.unwrap(), ClaimReply::Abandoned);
    assert_eq!(after.claim(&lost, &terms()).await.unwrap(), FIRST);
}
