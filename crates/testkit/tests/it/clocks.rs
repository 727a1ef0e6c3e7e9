//! Wall clocks of servers that are stepped while they run.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use steadfast_testkit::servers::{PostgresServer, RedisServer};

use crate::servers::{say, soon};

const HOUR: i64 = 3600;

/// What the machine's own clock says.
#[expect(clippy::disallowed_methods, reason = "it is what the servers' are compared with")]
fn wall() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn redis_time(server: &RedisServer) -> i64 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    stream.write_all(b"TIME\r\n").unwrap();
    // An array of two strings, each behind its length.
    BufReader::new(stream).lines().nth(2).unwrap().unwrap().parse().unwrap()
}

/// The answer to a statement.
pub(crate) fn ask(server: &PostgresServer, statement: &str) -> String {
    ask_at(&server.url(), statement)
}

pub(crate) fn ask_at(url: &str, statement: &str) -> String {
    let output = Command::new("psql").args(["-XAtqc", statement, url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn postgres_time(server: &PostgresServer) -> i64 {
    ask(server, "SELECT extract(epoch FROM clock_timestamp())::bigint").parse().unwrap()
}

/// Each step counts from where the clock is. What the server is asked takes no longer than this.
fn is_off_by(offset: i64, time: impl Fn() -> i64) -> bool {
    let off = time() - wall();
    (off - offset).abs() <= 5
}

#[test]
fn a_redis_sees_its_clock_stepped_and_keys_expire_by_it() {
    let server = RedisServer::start_with_clock(&["--appendfsync", "always"]);
    let is_off = |offset| is_off_by(offset, || redis_time(&server));
    assert!(is_off(0));
    assert_eq!(say(server.port(), "SET soon 1 EX 3000").unwrap(), "+OK");
    assert_eq!(say(server.port(), "SET late 1 EX 9000").unwrap(), "+OK");
    server.step_clock(60);
    assert!(is_off(60));
    server.step_clock(HOUR);
    assert!(is_off(60 + HOUR));
    assert_eq!(say(server.port(), "EXISTS soon").unwrap(), ":0", "it has expired");
    assert_eq!(say(server.port(), "EXISTS late").unwrap(), ":1");
    server.step_clock(-2 * HOUR);
    assert!(is_off(60 - HOUR));
    server.restart();
    assert!(is_off(60 - HOUR), "it keeps its clock");
    assert_eq!(say(server.port(), "EXISTS late").unwrap(), ":1");
    // Another is not moved by it.
    assert!(is_off_by(0, || redis_time(&RedisServer::start(&[]))));
}

#[test]
fn a_postgres_sees_its_clock_stepped_in_sessions_that_are_open_too() {
    let server = PostgresServer::start_with_clock();
    let is_off = |offset| is_off_by(offset, || postgres_time(&server));
    assert!(is_off(0));
    // A session that reads the clock before the step and behind it.
    let url = server.url();
    let open = thread::spawn(move || {
        let text = "DO $$ DECLARE began timestamptz := clock_timestamp(); BEGIN
                FOR n IN 1..1000 LOOP
                    PERFORM pg_sleep(0.01);
                    EXIT WHEN clock_timestamp() > began + interval '50 min';
                END LOOP;
                RAISE NOTICE 'saw %', clock_timestamp() > began + interval '50 min';
            END $$";
        Command::new("psql").args(["-XAtqc", text, &url]).output().unwrap()
    });
    thread::park_timeout(Duration::from_millis(500));
    server.step_clock(HOUR);
    let said = open.join().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("saw t"), "{said}");
    assert!(is_off(HOUR));
    server.step_clock(-2 * HOUR);
    assert!(is_off(-HOUR));
    server.restart();
    assert!(is_off(-HOUR), "it keeps its clock");
    server.step_clock(HOUR - 60);
    assert!(soon(|| is_off(-60)));
}

/// Both slots are written in turn, and each step is seen as a whole.
#[test]
fn no_clock_is_read_that_was_not_set() {
    let server = RedisServer::start_with_clock(&[]);
    let port = server.port();
    let reads = thread::spawn(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut read = Vec::new();
        for _ in 0..5_000 {
            stream.write_all(b"TIME\r\n").unwrap();
            let time = lines.by_ref().take(5).nth(2).unwrap().unwrap().parse::<i64>().unwrap();
            // The rest of the answer.
            lines.by_ref().take(2).for_each(drop);
            read.push(time - wall());
        }
        read
    });
    let steps = [HOUR, -HOUR, 60, -60, -HOUR, HOUR];
    while !reads.is_finished() {
        steps.iter().for_each(|step| server.step_clock(*step));
    }
    let set = [0, HOUR, 60, -HOUR];
    let strange = |off: &i64| set.iter().all(|set| (off - set).abs() > 5);
    let strange: Vec<i64> = reads.join().unwrap().into_iter().filter(strange).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
#[should_panic(expected = "it was started with a clock")]
fn a_server_without_a_clock_of_its_own_is_not_stepped() {
    RedisServer::start(&[]).step_clock(60);
}

/// Set for the process that finds no compiler.
const BARE: &str = "STEADFAST_BARE";

#[test]
fn without_a_compiler_the_test_fails_with_the_line_that_installs_it() {
    // All of the programs but that one.
    let directory = tempfile();
    for program in ["redis-server", "sh", "setpriv", "env"] {
        let found = env::split_paths(&env::var_os("PATH").unwrap())
            .map(|directory| directory.join(program))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), directory.join(program)).unwrap();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "clocks::the_process_without_a_compiler", "--nocapture"])
        .env(BARE, "")
        .env("PATH", &directory)
        .output()
        .unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("cannot run cc"), "{said}");
    assert!(said.contains("apt-get install") && said.contains("gcc libc6-dev"), "{said}");
}

fn tempfile() -> std::path::PathBuf {
    let path = env::temp_dir().join(format!("steadfast-bare-{}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

/// Nothing, but where the test above has started it.
#[test]
fn the_process_without_a_compiler() {
    if env::var_os(BARE).is_some() {
        drop(RedisServer::start_with_clock(&[]));
    }
}
