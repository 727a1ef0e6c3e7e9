//! The store in Redis, on real servers: on every connection, and against what goes wrong.

use std::time::Duration;

use redis::{
    Client, FromRedisValue,
    aio::{ConnectionManager, MultiplexedConnection},
    cluster_async::ClusterConnection,
};
use steadfast_lease::{LeaseName, RedisConfig, RedisStore, StoreErrorKind};
use steadfast_testkit::servers::{self, RedisServer};

mod cluster;
mod corrupt;
mod faults;
mod fence;
mod records;
mod wall;

/// The contract of stores on each connection.
mod contract {
    use super::*;

    mod manager {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || connect(servers::redis()).await
        }
    }

    mod cluster_of_three {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || cluster::store(cluster::shared()).await
        }
    }

    mod multiplexed {
        use super::*;

        steadfast_lease::lease_contract! {
            #[tokio::test(flavor = "multi_thread")]
            async || RedisStore::new(config(), plain(servers::redis()).await).await.unwrap()
        }
    }
}

const PREFIX: &str = "steadfast:lease:";

/// A busy machine is no broken promise.
fn config() -> RedisConfig {
    RedisConfig::new().call_limit(Duration::from_secs(20)).look_every(Duration::from_millis(50))
}

/// A store of a connection of its own.
async fn connect(server: &RedisServer) -> RedisStore {
    RedisStore::connect(config(), &server.url()).await.unwrap()
}

/// A connection beside the store.
async fn plain(server: &RedisServer) -> MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

async fn say<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut plain(server).await).await.unwrap()
}

/// A number that `INFO` tells.
async fn told(server: &RedisServer, field: &str) -> u64 {
    let info: String = say(server, &["INFO", "everything"]).await;
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

/// Where a name is kept that has nothing to encode.
fn key(name: &LeaseName) -> String {
    format!("{PREFIX}{{{name}}}")
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
async fn a_config_or_a_url_that_cannot_work_is_misconfigured() {
    let url = servers::redis().url();
    for (config, url) in [
        (RedisConfig::new().prefix("{pay}"), url.as_str()),
        (RedisConfig::new().retention(Duration::ZERO), &url),
        (RedisConfig::new(), "not a url"),
        (RedisConfig::new(), "http://localhost"),
    ] {
        let refused = RedisStore::connect(config, url).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Misconfigured, "{url}");
    }
}

/// Each connection makes a store that can be shared by tasks.
#[test]
fn every_connection_of_redis_will_do() {
    fn is_store<S: steadfast_lease::Store + Clone>() {}
    is_store::<RedisStore<ConnectionManager>>();
    is_store::<RedisStore<MultiplexedConnection>>();
    is_store::<RedisStore<ClusterConnection>>();
}
