//! Three masters that share the names.

use std::sync::OnceLock;

use redis::{
    Script,
    cluster::{ClusterClient, ClusterClientBuilder},
};
use steadfast_lease::{
    FencedReason, RenewReply, Store,
    redis::{fence_args, fence_script, fenced},
};
use steadfast_testkit::servers::RedisCluster;

use super::*;
use crate::servers::{granted, is_held, some_name, terms};

pub(super) fn shared() -> &'static RedisCluster {
    static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
    CLUSTER.get_or_init(RedisCluster::start)
}

async fn connection(cluster: &RedisCluster) -> ClusterConnection {
    let client: ClusterClient = ClusterClientBuilder::new(cluster.urls())
        .response_timeout(Duration::from_secs(4))
        .build()
        .unwrap();
    client.get_async_connection().await.unwrap()
}

pub(super) async fn store(cluster: &RedisCluster) -> RedisStore<ClusterConnection> {
    RedisStore::new(config(), connection(cluster).await).await.unwrap()
}

/// The contract's names have none of these: a brace would end a hash tag, or begin one.
#[tokio::test]
async fn names_are_spread_over_the_masters_and_braces_in_them_change_nothing() {
    let store = store(shared()).await;
    let unlike = some_name();
    let names = ["{a}", "a}b", "{", "}", "{}", "{a}{b}", "a{", "}{", "%7d", "{%7d", "é{\0}"];
    let names: Vec<_> = (0..20)
        .map(|n| LeaseName::new(format!("{unlike}{n}")).unwrap())
        .chain(names.iter().map(|name| LeaseName::new(format!("{name}{unlike}")).unwrap()))
        .chain(names.iter().map(|name| LeaseName::new(format!("{unlike}{name}")).unwrap()))
        .collect();
    let mut owners = Vec::new();
    for name in &names {
        let owner = terms();
        let token = granted(&store, name, &owner).await;
        owners.push((name, owner, token));
    }
    for (name, owner, token) in owners {
        assert!(is_held(&store, name).await, "{name:?}");
        let renewed = store.renew(name, owner.nonce).await.unwrap();
        assert!(matches!(renewed, RenewReply::Renewed { .. }));
        assert_eq!(store.observe(name, None).await.unwrap().token, Some(token));
        assert!(store.release(name, owner.nonce).await.unwrap());
        assert!(granted(&store, name, &terms()).await > token);
    }
    for node in shared().nodes() {
        let records: u64 = say(node, &["DBSIZE"]).await;
        assert!(records > 0, "each has some");
    }
}

/// So that a script may fence data of that tag, and a program may look at both at once.
#[tokio::test]
async fn a_lease_and_the_fence_of_its_name_are_in_one_slot_and_the_fence_works_there() {
    let (name, cluster) = (some_name(), shared());
    let slot = async |key: String| -> u64 {
        say(&cluster.nodes()[0], &["CLUSTER", "KEYSLOT", &key]).await
    };
    let [mark, value] = ["fence", "value"].map(|what| format!("{{{name}}}:{what}"));
    assert_eq!(slot(key(&name)).await, slot(mark.clone()).await);
    let (store, owner, taker) = (store(cluster).await, terms(), terms());
    let first = granted(&store, &name, &owner).await;
    assert!(store.release(&name, owner.nonce).await.unwrap());
    let second = granted(&store, &name, &taker).await;
    let write = fence_script("return redis.call('INCRBY', KEYS[2], ARGV[3])");
    let mut connection = connection(cluster).await;
    let mut write = async |token| {
        let script = Script::new(&write);
        let mut call = script.key(&mark);
        call.key(&value).arg(&fence_args(token)).arg(5);
        let written = call.invoke_async::<i64>(&mut connection).await;
        written.map_err(|error| fenced(&error, token).unwrap_or_else(|| panic!("{error:?}")))
    };
    assert_eq!(write(first).await, Ok(5));
    assert_eq!(write(second).await, Ok(10));
    let stale = FencedReason::Stale { presented: first, highest: second };
    assert_eq!(write(first).await.unwrap_err().reason, stale);
    assert_eq!(write(second).await, Ok(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_down_takes_its_own_names_with_it_and_no_others() {
    let cluster = RedisCluster::start();
    for node in cluster.nodes() {
        // Otherwise a cluster that has lost a slot answers nothing.
        say::<()>(node, &["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let limit = Duration::from_secs(2);
    let short = config().call_limit(limit);
    let store = RedisStore::new(short, connection(&cluster).await).await.unwrap();
    let mut owners = Vec::new();
    for _ in 0..12 {
        let (name, owner) = (some_name(), terms());
        granted(&store, &name, &owner).await;
        let on_first: u64 = say_maybe(&cluster.nodes()[0], &["EXISTS", &key(&name)]).await;
        owners.push((name, owner, on_first == 1));
    }
    assert!(owners.iter().any(|(.., first)| *first) && owners.iter().any(|(.., first)| !first));
    cluster.nodes()[0].kill();
    for (name, owner, is_gone) in &owners {
        let renewed = store.renew(name, owner.nonce).await;
        assert_eq!(renewed.is_err(), *is_gone, "{renewed:?}");
    }
    cluster.nodes()[0].restart();
    let mut replies = Vec::new();
    for _ in 0..300 {
        let renewals = owners.iter().map(|(name, owner, _)| store.renew(name, owner.nonce));
        replies = futures::future::join_all(renewals).await;
        if replies.iter().all(|reply| matches!(reply, Ok(RenewReply::Renewed { .. }))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the lease outlives a server that is killed and comes back: {replies:?}");
}

/// Nothing, where the key is another server's.
async fn say_maybe(server: &RedisServer, words: &[&str]) -> u64 {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut plain(server).await).await.unwrap_or(0)
}
