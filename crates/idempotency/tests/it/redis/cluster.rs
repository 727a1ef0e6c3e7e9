//! Servers of a cluster.

use std::time::Duration;

use redis::{cluster::ClusterClientBuilder, cluster_async::ClusterConnection};
use steadfast_idempotency::{Change, ClaimReply, RedisConfig, RedisStore, Store, ViewState};
use steadfast_testkit::servers::RedisServer;
use tokio::{sync::OnceCell, time::sleep};

use super::{plain, say};
use crate::rivals::{LONG, some_id, terms};

const CLUSTERED: [&str; 4] = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];

/// Two servers with half of the slots each.
pub(super) async fn shared() -> &'static [RedisServer; 2] {
    static SERVERS: OnceCell<[RedisServer; 2]> = OnceCell::const_new();
    SERVERS
        .get_or_init(|| async {
            let servers = [(); 2].map(|()| RedisServer::start(&CLUSTERED));
            say::<()>(&servers[0], &["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]).await;
            say::<()>(&servers[1], &["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]).await;
            meet(&servers).await;
            servers
        })
        .await
}

/// Introduces the second to the first, and waits until both know all slots.
async fn meet(servers: &[RedisServer; 2]) {
    let port = servers[0].port().to_string();
    say::<()>(&servers[1], &["CLUSTER", "MEET", "127.0.0.1", &port]).await;
    for server in servers {
        until(server, "cluster_state:ok").await;
        until(server, "cluster_known_nodes:2").await;
    }
}

/// Waits until `CLUSTER INFO` has this line.
async fn until(server: &RedisServer, line: &str) {
    for _ in 0..600 {
        let info: String = say(server, &["CLUSTER", "INFO"]).await;
        if info.lines().any(|found| found == line) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("never {line}");
}

pub(super) async fn store(servers: &[RedisServer; 2]) -> RedisStore<ClusterConnection> {
    let nodes = servers.iter().map(RedisServer::url);
    let limit = Duration::from_secs(4);
    let client = ClusterClientBuilder::new(nodes).response_timeout(limit).build().unwrap();
    let connection = client.get_async_connection().await.unwrap();
    RedisStore::new(RedisConfig::new(), connection).await.unwrap()
}

#[tokio::test]
async fn records_spread_over_the_servers_whatever_braces_callers_put_into_keys() {
    let servers = shared().await;
    let store = store(servers).await;
    for n in 0..32 {
        let id = steadfast_idempotency::RecordId::new("a", format!("{{same}}{n}")).unwrap();
        let claimed = store.claim(&id, &terms()).await.unwrap();
        assert!(matches!(claimed, ClaimReply::Claimed { .. }));
    }
    for server in servers {
        let keys: i64 = say(server, &["DBSIZE"]).await;
        assert!(keys > 2, "{keys}");
    }
}

/// The replica has never run a script, and has all records that it was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_keeps_the_records_that_were_replicated() {
    let servers = [(); 2].map(|()| RedisServer::start(&CLUSTERED));
    let [master, replica] = &servers;
    say::<()>(master, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    meet(&servers).await;
    let name: String = say(master, &["CLUSTER", "MYID"]).await;
    say::<()>(replica, &["CLUSTER", "REPLICATE", &name]).await;
    let store = store(&servers).await;
    let (done, held) = ((some_id(), terms()), (some_id(), terms()));
    for (id, terms) in [&done, &held] {
        let claimed = store.claim(id, terms).await.unwrap();
        assert!(matches!(claimed, ClaimReply::Claimed { .. }));
    }
    let changed = store.complete(&done.0, done.1.token, "ok".into(), LONG).await.unwrap();
    assert_eq!(changed, Change::Applied);
    // A replica takes some time to join.
    for _ in 0..600 {
        if say::<i64>(replica, &["DBSIZE"]).await == 2 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let told: i64 =
        redis::cmd("WAIT").arg(1).arg(10_000).query_async(&mut plain(master).await).await.unwrap();
    assert_eq!(told, 1);
    master.kill();
    say::<()>(replica, &["CLUSTER", "FAILOVER", "TAKEOVER"]).await;
    // Until the connection has learned of it.
    let mut found = Err(steadfast_idempotency::StoreError::timed_out());
    for _ in 0..100 {
        found = store.claim(&done.0, &terms()).await;
        if found.is_ok() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(found.unwrap(), ClaimReply::Done { reply: "ok".into() });
    let view = store.look(&held.0).await.unwrap().unwrap();
    assert!(matches!(view.state, ViewState::InFlight { .. }));
    let changed = store.complete(&held.0, held.1.token, "late".into(), LONG).await.unwrap();
    assert_eq!(changed, Change::Applied);
}
