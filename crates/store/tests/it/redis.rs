//! Scripts against a real Redis: over each connection, and through each way to fail.

use std::{error::Error, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Value,
    aio::{ConnectionManager, MultiplexedConnection},
    cluster::ClusterClientBuilder,
    cmd,
};
use steadfast_core::Executed::{self, Maybe, No};
use steadfast_store::{
    StoreError,
    StoreErrorKind::{self, Corrupt, Full, Misconfigured, TimedOut, Unavailable},
    redis::{Connection, Script, Scripts, connect},
};
use steadfast_testkit::servers::{self, RedisServer};

fn add() -> Script {
    Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])")
}

async fn scripts(server: &RedisServer) -> Scripts<ConnectionManager> {
    Scripts::new(connect(&server.url()).await.unwrap())
}

/// A connection for what has nothing to do with scripts.
async fn plain(server: &RedisServer) -> MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn say(server: &RedisServer, words: &[&str]) -> Value {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut plain(server).await).await.unwrap()
}

async fn run<C: Connection>(scripts: &Scripts<C>, key: &str) -> Result<Value, StoreError> {
    scripts.run(&add(), &[key.as_bytes()], &[b"2"]).await
}

#[track_caller]
fn is(result: Result<Value, StoreError>, kind: StoreErrorKind, executed: Executed) {
    let error = result.unwrap_err();
    let found = (error.kind(), error.executed());
    assert_eq!(found, (kind, executed), "{error}: {:?}", error.source().map(ToString::to_string));
}

/// How often a command was called.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let info: String =
        cmd("INFO").arg("commandstats").query_async(&mut plain(server).await).await.unwrap();
    let start = format!("cmdstat_{command}:calls=");
    let calls = info.lines().find_map(|line| line.strip_prefix(&start)?.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn a_script_is_sent_once_and_then_by_its_hash_also_after_a_flush_and_a_restart() {
    let server = RedisServer::start(&["--appendfsync", "always"]);
    let scripts = scripts(&server).await;
    for n in 1..=3 {
        assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(2 * n));
    }
    assert_eq!((calls(&server, "eval").await, calls(&server, "evalsha").await), (1, 3));
    say(&server, &["SCRIPT", "FLUSH"]).await;
    assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(8));
    server.restart();
    // What is lost with the connection is told, and the next call has a new one.
    while run(&scripts, "other").await.is_err() {}
    assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(10));
}

#[tokio::test]
async fn keys_and_arguments_are_bytes() {
    let scripts = scripts(servers::redis()).await;
    let echo = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
    let every: Vec<u8> = (0..=255).collect();
    let reply = scripts.run(&echo, &[&every], &[b"", b"\r\n$-1\r\n"]).await.unwrap();
    let bytes = [&every[..], b"", b"\r\n$-1\r\n"].map(|part| Value::BulkString(part.to_vec()));
    assert_eq!(reply, Value::Array(bytes.into()));
}

#[tokio::test]
async fn a_connection_that_is_refused_has_run_nothing_and_one_that_is_dropped_may_have() {
    let server = RedisServer::start(&[]);
    let scripts = scripts(&server).await;
    assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(2));
    server.stop();
    let call = tokio::spawn({
        let scripts = scripts.clone();
        async move { run(&scripts, "n").await }
    });
    // It is on its way, and is not answered.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!call.is_finished());
    server.kill();
    is(call.await.unwrap(), Unavailable, Maybe);
    for _ in 0..3 {
        is(run(&scripts, "n").await, Unavailable, No);
    }
    assert_eq!(connect(&server.url()).await.unwrap_err().executed(), No);
    server.restart();
    let mut tries = 0;
    while let Err(error) = run(&scripts, "other").await {
        // The attempt that a refusal has begun.
        tries += 1;
        assert!(tries < 3, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_stands_still_has_timed_out() {
    let server = RedisServer::start(&[]);
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(SHORT));
    let client = Client::open(server.url()).unwrap();
    let connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let scripts = Scripts::new(connection);
    assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(2));
    server.stop();
    is(run(&scripts, "n").await, TimedOut, Maybe);
    server.resume();
    assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(6), "it ran after all");
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_server_without_room_says_so_and_still_answers_what_writes_nothing() {
    let server = RedisServer::start(&["--maxmemory", "3mb"]);
    let scripts = scripts(&server).await;
    run(&scripts, "n").await.unwrap();
    let fill = Script::new("return redis.call('SET', KEYS[1], string.rep('x', 500000))");
    let mut refused = 0;
    for n in 0..8_u8 {
        let filled = scripts.run(&fill, &[&[n]], &[]).await;
        if filled.is_err() {
            refused += 1;
            is(filled, Full, No);
        }
    }
    assert!(refused > 2);
    is(run(&scripts, "n").await, Full, No);
    let read = Script::new("return redis.call('GET', KEYS[1])");
    let reply = scripts.run(&read, &[b"n"], &[]).await.unwrap();
    assert_eq!(reply, Value::BulkString(b"2".to_vec()));
}

#[tokio::test]
async fn only_a_server_that_never_evicts_will_do() {
    let kept = RedisServer::start(&[]);
    scripts(&kept).await.check_eviction().await.unwrap();
    for policy in ["allkeys-lru", "volatile-ttl", "volatile-random"] {
        say(&kept, &["CONFIG", "SET", "maxmemory-policy", policy]).await;
        let error = scripts(&kept).await.check_eviction().await.unwrap_err();
        assert_eq!(error.kind(), Misconfigured);
        let why = error.source().unwrap().to_string();
        assert!(why.contains(policy) && why.contains("noeviction"), "{why}");
    }
}

#[tokio::test]
async fn what_forbids_a_call_is_a_matter_of_set_up() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let url = |user: &str| format!("redis://{user}@127.0.0.1:{}/", server.port());
    let scripts = Scripts::new(connect(&url(":right")).await.unwrap());
    run(&scripts, "n").await.unwrap();
    let mistakes =
        [url(":wrong"), url("who:wrong"), server.url(), "redis:/".to_owned(), "http://a/".into()];
    for mistake in &mistakes {
        let Ok(connection) = connect(mistake).await else {
            let error = connect(mistake).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert_eq!((error.kind(), error.executed()), (Misconfigured, No), "{shown}");
            assert!(!shown.contains("wrong"), "{shown}");
            continue;
        };
        // Without a password the connection is made, and no call is answered.
        is(run(&Scripts::new(connection), "n").await, Misconfigured, No);
    }
    let mut root = Client::open(url(":right")).unwrap();
    let users = [("scripts", "+evalsha +eval ~mine*"), ("none", "+@all -@scripting ~*")];
    for (user, rules) in users {
        let mut acl = cmd("ACL");
        acl.arg("SETUSER").arg(user).arg("on").arg(">pass");
        for rule in rules.split(' ') {
            acl.arg(rule);
        }
        acl.exec(&mut root).unwrap();
        let scripts = Scripts::new(connect(&url(&format!("{user}:pass"))).await.unwrap());
        is(run(&scripts, "theirs").await, Misconfigured, No);
    }
    let scripts = Scripts::new(connect(&url("scripts:pass")).await.unwrap());
    let error = scripts.check_eviction().await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (Misconfigured, No));
}

#[tokio::test]
async fn what_a_server_is_not_able_to_do_now_it_has_not_done() {
    let server = RedisServer::start(&[]);
    let scripts = scripts(&server).await;
    run(&scripts, "n").await.unwrap();
    say(&server, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    is(run(&scripts, "n").await, Unavailable, No);
    say(&server, &["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    say(&server, &["SET", "text", "seven"]).await;
    say(&server, &["REPLICAOF", "127.0.0.1", &server.port().to_string()]).await;
    is(run(&scripts, "n").await, Unavailable, No);
    say(&server, &["REPLICAOF", "NO", "ONE"]).await;
    while run(&scripts, "other").await.is_err() {}
    assert_eq!(run(&scripts, "n").await.unwrap(), Value::Int(4));
}

#[tokio::test]
async fn a_connection_to_a_master_that_became_a_replica_is_made_anew() {
    let server = RedisServer::start(&[]);
    let mut connection = connect(&server.url()).await.unwrap();
    let scripts = Scripts::new(connection.clone());
    let mut who = cmd("CLIENT");
    who.arg("ID");
    let before: i64 = who.query_async(&mut connection).await.unwrap();
    say(&server, &["REPLICAOF", "127.0.0.1", &server.port().to_string()]).await;
    is(run(&scripts, "n").await, Unavailable, No);
    // As after a failover behind one name: the next connection may lead to another server.
    say(&server, &["REPLICAOF", "NO", "ONE"]).await;
    while run(&scripts, "n").await.is_err() {}
    let after: i64 = who.query_async(&mut connection).await.unwrap();
    assert_ne!(before, after);
}

#[tokio::test]
async fn what_a_script_meets_and_does_not_expect_is_told_apart_from_set_up() {
    let server = RedisServer::start(&[]);
    let scripts = scripts(&server).await;
    say(&server, &["LPUSH", "list", "a"]).await;
    is(run(&scripts, "list").await, Corrupt, No);
    let bad = Script::new("return nonsense(");
    is(scripts.run(&bad, &[b"n"], &[]).await, Misconfigured, No);
    let fails = Script::new("redis.call('SET', KEYS[1], 1) return #nil");
    is(scripts.run(&fails, &[b"n"], &[]).await, Misconfigured, Maybe);
}

#[tokio::test]
async fn a_server_of_a_cluster_wants_a_connection_to_the_cluster() {
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    let alone = scripts(&server).await;
    is(run(&alone, "n").await, Unavailable, No);
    say(&server, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    while run(&alone, "n").await.is_err() {}
    let two = alone.run(&add(), &[b"n", b"of another slot"], &[b"2"]).await;
    is(two, Misconfigured, No);

    let builder = ClusterClientBuilder::new([server.url()]).retries(2);
    let cluster = builder.build().unwrap().get_async_connection().await.unwrap();
    let cluster = Scripts::new(cluster);
    cluster.check_eviction().await.unwrap();
    say(&server, &["SCRIPT", "FLUSH"]).await;
    run(&cluster, "n").await.unwrap();
    // It tries again by itself, so that what it says last tells nothing of what it did first.
    server.kill();
    is(run(&cluster, "n").await, Unavailable, Maybe);
}
