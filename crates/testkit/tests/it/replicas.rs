//! Servers that follow others, take over from them, forget, or share the data.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use steadfast_testkit::servers::{PgBouncer, PostgresServer, RedisCluster, RedisServer};

use crate::{
    clocks::{ask, ask_at},
    servers::{say, soon},
};

#[test]
fn a_replica_of_a_redis_follows_it_and_loses_what_it_missed_when_it_is_promoted() {
    let master = RedisServer::start(&["--appendfsync", "always"]);
    let says = |server: &RedisServer, command: &str| say(server.port(), command).unwrap();
    assert_eq!(says(&master, "SET before 1"), "+OK");
    let replica = master.replica();
    assert_eq!(says(&replica, "EXISTS before"), ":1", "it has what there was");
    assert_eq!(says(&master, "SET while 1"), "+OK");
    assert!(soon(|| says(&replica, "EXISTS while") == ":1"), "it follows");
    assert!(says(&replica, "SET own 1").starts_with("-READONLY"));
    replica.kill();
    assert_eq!(says(&master, "SET missed 1"), "+OK");
    master.kill();
    replica.restart();
    assert!(says(&replica, "SET own 1").starts_with("-READONLY"), "it is a replica still");
    replica.promote();
    assert_eq!(says(&replica, "EXISTS before while missed"), ":2");
    assert_eq!(says(&replica, "SET own 1"), "+OK");
    // Also when the other is back.
    master.restart();
    replica.restart();
    assert_eq!(says(&replica, "EXISTS before while own"), ":3");
    assert_eq!(says(&replica, "SET own 2"), "+OK");
    assert_eq!(says(&master, "EXISTS before while missed own"), ":3");
}

#[test]
fn a_redis_that_is_restarted_empty_has_forgotten_everything() {
    let server = RedisServer::start(&["--appendfsync", "always"]);
    for _ in 0..2 {
        assert_eq!(say(server.port(), "SET kept 1").unwrap(), "+OK");
        server.restart();
        assert_eq!(say(server.port(), "DBSIZE").unwrap(), ":1");
        server.restart_empty();
        assert_eq!(say(server.port(), "DBSIZE").unwrap(), ":0");
    }
}

#[test]
fn a_replica_has_a_clock_of_its_own_if_its_master_has_one() {
    let master = RedisServer::start_with_clock(&[]);
    let replica = master.replica();
    assert_eq!(say(master.port(), "SET soon 1 EX 1800").unwrap(), "+OK");
    assert!(soon(|| say(replica.port(), "EXISTS soon").unwrap() == ":1"));
    replica.step_clock(3600);
    assert_eq!(say(replica.port(), "EXISTS soon").unwrap(), ":0");
    assert_eq!(say(master.port(), "EXISTS soon").unwrap(), ":1");
}

#[test]
fn three_masters_are_one_cluster_and_are_so_again_when_one_was_killed() {
    let cluster = RedisCluster::start();
    let [one, two, three] = cluster.nodes().each_ref().map(RedisServer::port);
    let url = |port: u16| format!("redis://127.0.0.1:{port}/");
    assert_eq!(cluster.urls(), [one, two, three].map(url));
    // The slots of these are 12,182, 866 and 10,778 of 16,384.
    let writes = || {
        let told = ["foo", "hello", "key3"].map(|key| {
            let told = [one, two, three].map(|port| say(port, &format!("SET {key} 1")));
            let taken = told.iter().flatten().filter(|told| *told == "+OK").count();
            let moved = told.iter().flatten().filter(|told| told.starts_with("-MOVED")).count();
            (taken, moved)
        });
        told == [(1, 2); 3]
    };
    assert!(writes());
    cluster.nodes()[1].kill();
    assert!(!writes());
    cluster.nodes()[1].restart();
    assert!(soon(writes));
}

#[test]
fn a_standby_of_a_postgres_follows_it_and_loses_what_it_missed_when_it_is_promoted() {
    let primary = PostgresServer::start_with_clock();
    ask(&primary, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    let standby = primary.standby();
    let count = |server: &PostgresServer| ask(server, "SELECT count(*) FROM kept");
    assert_eq!(count(&standby), "1", "it has what there was");
    ask(&primary, "INSERT INTO kept VALUES (2)");
    assert!(soon(|| count(&standby) == "2"), "it follows");
    let recovers = |server| ask(server, "SELECT pg_is_in_recovery()");
    assert_eq!(recovers(&standby), "t");
    standby.kill();
    ask(&primary, "INSERT INTO kept VALUES (3)");
    primary.kill();
    standby.restart();
    assert_eq!(recovers(&standby), "t", "it is a standby still");
    standby.promote();
    assert_eq!((recovers(&standby), count(&standby)), ("f".to_owned(), "2".to_owned()));
    ask(&standby, "INSERT INTO kept VALUES (4), (5)");
    primary.restart();
    standby.restart();
    assert_eq!((recovers(&standby), count(&standby)), ("f".to_owned(), "4".to_owned()));
    assert_eq!(count(&primary), "3");
    // Each by its own clock.
    standby.step_clock(3600);
    let time = |server| ask(server, "SELECT extract(epoch FROM clock_timestamp())::bigint");
    let times = [&primary, &standby].map(|server| time(server).parse::<i64>().unwrap());
    assert!((3500..3700).contains(&(times[1] - times[0])), "{times:?}");
}

#[test]
fn a_pooler_gives_a_client_a_connection_for_as_long_as_a_transaction() {
    let server = PostgresServer::start();
    let pooler = PgBouncer::start(&server, &["default_pool_size = 1"]);
    // One that waits for its next statement holds nothing: another is served meanwhile.
    let mut waits = Command::new("psql")
        .args(["-XAtq", &pooler.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = waits.stdin.take().unwrap();
    let mut answers = BufReader::new(waits.stdout.take().unwrap()).lines();
    let mut say = |statement: &str| {
        writeln!(words, "{statement}").unwrap();
        answers.next().unwrap().unwrap()
    };
    let session = say("SELECT pg_backend_pid();");
    assert_eq!(ask_at(&pooler.url(), "SELECT pg_backend_pid()"), session, "the same of the server");
    assert_eq!(say("BEGIN; SELECT pg_backend_pid();"), session);
    let url = pooler.url();
    let other = thread::spawn(move || ask_at(&url, "SELECT pg_backend_pid()"));
    thread::park_timeout(Duration::from_millis(300));
    assert!(!other.is_finished(), "the one connection is in a transaction");
    assert_eq!(say("COMMIT; SELECT pg_backend_pid();"), session);
    assert_eq!(other.join().unwrap(), session);
    drop(words);
    waits.wait().unwrap();
    pooler.kill();
    assert_eq!(ask(&server, "SELECT 1"), "1");
}
