//! Real servers: up when they are asked for, and gone with the process of the tests.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use steadfast_testkit::servers::{self, EtcdCluster, EtcdServer, PostgresServer, RedisServer};

/// Set for the process that is killed.
const DOOMED: &str = "STEADFAST_DOOMED";

/// One command to a Redis, and the line that it answers; none when it does not answer in a quarter
/// of a second.
pub(crate) fn say(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    stream.write_all(command.as_bytes()).ok()?;
    stream.write_all(b"\r\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok().filter(|read| *read > 0)?;
    Some(line.trim_end().to_owned())
}

/// Whether a PostgreSQL asks a client for more, rather than leaving it without an answer: to its
/// question whether it may speak TLS it is told no.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_millis(250)))?;
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer == *b"N")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Within ten seconds.
pub(crate) fn soon(mut holds: impl FnMut() -> bool) -> bool {
    (0..1000).any(|_| {
        thread::park_timeout(Duration::from_millis(10));
        holds()
    })
}

/// Whether a server of that port is among the processes of this machine.
fn running(port: u16) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| {
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        ["redis-server", "postgres", "etcd"].iter().any(|program| line.contains(program))
            && line.contains(&port.to_string())
    })
}

#[test]
fn the_shared_redis_keeps_what_it_is_told_and_evicts_nothing() {
    let server = servers::redis();
    assert_eq!(server.port(), servers::redis().port());
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}/", server.port()));
    assert_eq!(say(server.port(), "SET shared 1").as_deref(), Some("+OK"));
    let policy = say(server.port(), "CONFIG GET maxmemory-policy");
    assert_eq!(policy.as_deref(), Some("*2"), "it may be asked");
    assert_eq!(say(server.port(), "CONFIG SET maxmemory-policy noeviction").unwrap(), "+OK");
}

#[test]
fn the_shared_postgres_is_up() {
    let server = servers::postgres();
    assert!(answers(server.port()));
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port());
    assert_eq!(server.url(), url);
}

#[test]
fn a_redis_that_is_killed_or_stopped_comes_back_with_its_data_on_its_port() {
    let server = RedisServer::start(&["--appendfsync", "always", "--maxmemory", "64mb"]);
    assert_eq!(say(server.port(), "SET kept 7").as_deref(), Some("+OK"));
    server.stop();
    assert_eq!(say(server.port(), "PING"), None, "it is stopped");
    server.resume();
    assert_eq!(say(server.port(), "PING").as_deref(), Some("+PONG"));
    server.kill();
    assert!(is_free(server.port()));
    server.kill();
    server.restart();
    assert_eq!(say(server.port(), "STRLEN kept").as_deref(), Some(":1"));
    server.stop();
    server.restart();
    assert_eq!(say(server.port(), "STRLEN kept").as_deref(), Some(":1"));
    let port = server.port();
    server.stop();
    drop(server);
    assert!(is_free(port) && !running(port));
}

#[test]
fn a_postgres_that_is_killed_or_stopped_comes_back_on_its_port() {
    let server = PostgresServer::start();
    let port = server.port();
    server.stop();
    assert!(!answers(port), "it is stopped");
    server.resume();
    assert!(answers(port));
    server.kill();
    assert!(is_free(port));
    server.restart();
    assert!(answers(port));
    server.stop();
    server.restart();
    assert!(answers(port));
    server.stop();
    drop(server);
    assert!(is_free(port) && soon(|| !running(port)));
}

/// Whether an etcd has a leader and answers reads of the whole cluster.
fn is_healthy(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
}

#[test]
fn an_etcd_that_is_killed_or_stopped_comes_back_on_its_port() {
    let server = EtcdServer::start(&["--max-txn-ops", "64"]);
    let port = server.port();
    assert_eq!(server.url(), format!("etcd://127.0.0.1:{port}"));
    assert!(is_healthy(port));
    server.stop();
    assert!(!is_healthy(port), "it is stopped");
    server.resume();
    assert!(soon(|| is_healthy(port)));
    server.kill();
    assert!(is_free(port));
    server.restart();
    assert!(is_healthy(port));
    server.stop();
    server.restart();
    assert!(is_healthy(port));
    server.stop();
    drop(server);
    assert!(is_free(port) && soon(|| !running(port)));
}

#[test]
fn a_cluster_of_three_outlives_one_of_its_nodes_and_no_more() {
    let cluster = EtcdCluster::start();
    let [one, two, three] = cluster.nodes().each_ref().map(EtcdServer::port);
    let url = format!("etcd://127.0.0.1:{one},127.0.0.1:{two},127.0.0.1:{three}");
    assert_eq!(cluster.url(), url);
    assert!([one, two, three].into_iter().all(is_healthy));
    cluster.nodes()[0].kill();
    assert!(soon(|| is_healthy(two) && is_healthy(three)));
    cluster.nodes()[1].stop();
    assert!(!is_healthy(three), "one of three is no majority");
    cluster.nodes()[1].resume();
    cluster.nodes()[0].restart();
    assert!(soon(|| [one, two, three].into_iter().all(is_healthy)));
    drop(cluster);
    assert!([one, two, three].into_iter().all(is_free));
}

#[test]
fn servers_end_with_a_process_that_is_killed_also_those_that_are_stopped() {
    let mut doomed = Command::new(env::current_exe().unwrap())
        .args(["--exact", "servers::the_process_that_is_killed", "--nocapture"])
        .env(DOOMED, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(doomed.stdout.take().unwrap()).lines();
    let servers: Vec<(u16, PathBuf)> = said
        .filter_map(|line| line.unwrap().split_once("server: ").map(|(_, rest)| rest.to_owned()))
        .map(|server| {
            let (port, directory) = server.split_once(' ').unwrap();
            (port.parse().unwrap(), directory.into())
        })
        .take(6)
        .collect();
    let are_there = |(port, directory): &(u16, PathBuf)| [running(*port), directory.exists()];
    assert!(servers.len() == 6 && servers.iter().all(|s| are_there(s) == [true; 2]), "{servers:?}");
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    let are_gone = || servers.iter().all(|server| are_there(server) == [false; 2]);
    assert!(soon(are_gone), "{servers:?}: {:?}", servers.iter().map(are_there).collect::<Vec<_>>());
}

/// Nothing, but where the test above has started it.
#[test]
fn the_process_that_is_killed() {
    if env::var_os(DOOMED).is_none() {
        return;
    }
    let (redis, postgres) = (RedisServer::start(&[]), PostgresServer::start());
    let etcd = EtcdServer::start(&[]);
    redis.stop();
    postgres.stop();
    etcd.stop();
    let say = |port: u16, directory: &Path| println!("server: {port} {}", directory.display());
    say(redis.port(), redis.directory());
    say(postgres.port(), postgres.directory());
    say(etcd.port(), etcd.directory());
    say(servers::redis().port(), servers::redis().directory());
    say(servers::postgres().port(), servers::postgres().directory());
    say(servers::etcd().port(), servers::etcd().directory());
    thread::park_timeout(Duration::from_secs(600));
}

#[test]
fn a_server_that_is_not_installed_fails_the_test_with_the_line_that_installs_it() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "servers::the_process_without_servers", "--nocapture"])
        .env(DOOMED, "")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let line = "apt-get install -y --no-install-recommends \
                redis-server postgresql pgbouncer etcd-server gcc libc6-dev";
    assert!(!output.status.success() && said.contains(line), "{said}");
}

/// Nothing, but where the test above has started it.
#[test]
fn the_process_without_servers() {
    if env::var_os(DOOMED).is_some() {
        servers::redis();
    }
}
