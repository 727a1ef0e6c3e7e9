//! The store in Redis, on real servers: on every connection, and against what goes wrong.

use redis::{
    Client, FromRedisValue,
    aio::{ConnectionManager, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};
use steadfast_idempotency::{RedisConfig, RedisStore, StoreErrorKind};
use steadfast_testkit::servers::{self, RedisServer};

mod cluster;
mod corrupt;
mod failover;
mod faults;
mod full;

use crate::rivals::run_once_each;

/// The contract of stores on each connection.
mod contract {
    use super::*;

    mod manager {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || connect(servers::redis()).await
        }
    }

    mod multiplexed {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || RedisStore::new(RedisConfig::new(), plain(servers::redis()).await).await.unwrap()
        }
    }

    mod cluster_of_two {
        use super::*;

        steadfast_idempotency::store_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || cluster::store(cluster::shared().await).await
        }
    }
}

/// A store of a connection of its own.
pub(crate) async fn connect(server: &RedisServer) -> RedisStore {
    RedisStore::connect(RedisConfig::new(), &server.url()).await.unwrap()
}

/// A connection beside the store.
async fn plain(server: &RedisServer) -> MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

pub(crate) async fn say<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut plain(server).await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_in_two_hundred_rounds_run_once_each() {
    run_once_each(connect(servers::redis()).await).await;
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_it_is_not_asked() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisStore::connect(RedisConfig::new(), &server.url()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
    let unchecked = RedisStore::unchecked(RedisConfig::new(), plain(&server).await).unwrap();
    let refused = unchecked.check_eviction().await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
    say::<()>(&server, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    unchecked.check_eviction().await.unwrap();
}

#[tokio::test]
async fn a_prefix_that_would_choose_the_slot_is_refused() {
    let config = RedisConfig::new().prefix("{pay}");
    let refused = RedisStore::connect(config, &servers::redis().url()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Misconfigured);
}

/// Each connection makes a store that can be shared by tasks.
#[test]
fn every_connection_of_redis_will_do() {
    fn is_store<S: steadfast_idempotency::Store + Clone>() {}
    is_store::<RedisStore<ConnectionManager>>();
    is_store::<RedisStore<MultiplexedConnection>>();
    is_store::<RedisStore<ClusterConnection>>();
    let _: fn(Vec<String>) -> _ = |nodes: Vec<String>| ClusterClient::new(nodes);
}
