//! Several processes on one file, and processes that are killed.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use rusqlite::{Connection, TransactionBehavior::Immediate};
use steadfast_idempotency::{
    AsBytes, Change, Claim, ClaimReply, Idempotency, IdempotencyConfig, RecordId, SqliteConfig,
    SqliteStore, Store,
};

use super::{Directory, claimed, open};
use crate::rivals::{Failed, LONG, print, taker, terms};

/// The file, for a process that works on it.
const FILE: &str = "STEADFAST_SQLITE_FILE";
/// Which process it is.
const NUMBER: &str = "STEADFAST_SQLITE_NUMBER";

const KEYS: u32 = 200;

fn key(n: u32) -> RecordId {
    RecordId::new("processes", n.to_be_bytes()).unwrap()
}

/// Starts a test of this executable on the file.
fn start(test: &str, file: &Path, number: u32) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FILE, file)
        .env(NUMBER, number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The file of the process, if it was started by another test.
fn given() -> Option<(PathBuf, u32)> {
    let number = env::var(NUMBER).ok()?.parse().ok()?;
    Some((env::var_os(FILE)?.into(), number))
}

/// The lines of a process that begin so, and go on with numbers.
fn said(child: &mut Child, word: &str) -> impl Iterator<Item = Vec<u32>> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = format!("{word} ");
    lines.map_while(Result::ok).filter_map(move |line| {
        let (_, numbers) = line.split_once(&word)?;
        Some(numbers.split(' ').map(|number| number.parse().unwrap()).collect())
    })
}

/// They are started at once, make the file and the table, and race for the keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_run_each_of_two_hundred_keys_once() {
    let directory = Directory::new();
    let racers: Vec<_> = (0..8)
        .map(|n| start("sqlite::processes::a_process_that_races", &directory.file(), n))
        .collect();
    let mut runs = BTreeMap::new();
    for mut racer in racers {
        for ran in said(&mut racer, "ran") {
            *runs.entry(ran[0]).or_insert(0) += 1;
        }
        assert!(racer.wait().unwrap().success());
    }
    assert_eq!(runs.len(), KEYS as usize);
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    let store = open(SqliteConfig::new(), &directory.file()).await;
    for n in 0..KEYS {
        let found = store.claim(&key(n), &taker()).await.unwrap();
        assert!(matches!(found, ClaimReply::Done { .. }), "{n}: {found:?}");
    }
}

/// Nothing, but where the test above has started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_races() {
    let Some((file, number)) = given() else { return };
    let store = open(SqliteConfig::new(), &file).await;
    let config = IdempotencyConfig::new().wait(Duration::from_secs(60));
    let process = Idempotency::new(config, store).unwrap();
    let calls = (0..KEYS).map(|n| {
        // Each begins somewhere else, so that they meet at some keys and not at all.
        let (n, process) = ((n + number * 10) % KEYS, process.clone());
        tokio::spawn(async move {
            let operation = move |_: Claim| async move {
                println!("ran {n}");
                Ok::<_, Failed>(Bytes::from(n.to_string()))
            };
            let reply = process.run(key(n), print(), AsBytes, operation).await.unwrap();
            assert_eq!(reply, n.to_string());
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

/// What it had said it had done is there, and the file is sound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_in_the_middle_keeps_all_that_it_was_acknowledged() {
    let directory = Directory::new();
    let mut acknowledged = 0;
    for round in 0..10 {
        let mut doomed =
            start("sqlite::processes::a_process_that_is_killed", &directory.file(), round);
        let mut done = said(&mut doomed, "done");
        let mut seen: Vec<_> = done.by_ref().take(20 + 7 * round as usize).collect();
        doomed.kill().unwrap();
        doomed.wait().unwrap();
        seen.extend(done.filter(|done| done.len() == 2));
        let store = open(SqliteConfig::new(), &directory.file()).await;
        for (place, done) in seen.iter().enumerate() {
            let reply = Bytes::from(done[1].to_string());
            let found = store.claim(&key(done[1]), &taker()).await.unwrap();
            assert_eq!((done[0], found), (round, ClaimReply::Done { reply }), "{place}");
            acknowledged += 1;
        }
        // Keys that it had claimed are in flight, and all others free.
        let next = seen.last().unwrap()[1] + 2;
        assert_eq!(store.claim(&key(next), &terms()).await.unwrap(), claimed(1));
        let db = Connection::open(directory.file()).unwrap();
        let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
    assert!(acknowledged > 400);
}

/// Nothing, but where the test above has started it.
#[tokio::test]
async fn a_process_that_is_killed() {
    let Some((file, round)) = given() else { return };
    let store = open(SqliteConfig::new(), &file).await;
    for n in round * 100_000.. {
        let (id, terms) = (key(n), terms());
        assert_eq!(store.claim(&id, &terms).await.unwrap(), claimed(1));
        let reply = Bytes::from(n.to_string());
        let change = store.complete(&id, terms.token, reply, LONG).await.unwrap();
        assert_eq!(change, Change::Applied);
        println!("done {round} {n}");
    }
}

/// Effect and record in one transaction, killed anywhere, with a lease that is short: the next
/// process takes over, and each payment is made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_of_processes_that_are_killed_are_made_once_each() {
    let directory = Directory::new();
    let db = Connection::open(directory.file()).unwrap();
    db.execute_batch("CREATE TABLE payments (key INTEGER NOT NULL)").unwrap();
    for round in 0..12_u64 {
        let test = "sqlite::processes::a_process_that_pays_and_is_killed";
        let mut doomed = start(test, &directory.file(), 0);
        let mut paid = said(&mut doomed, "paid");
        // At another place each time, between two words of its own.
        paid.nth(round as usize * 3);
        tokio::time::sleep(Duration::from_micros(round * 137)).await;
        doomed.kill().unwrap();
        doomed.wait().unwrap();
    }
    pay_all(&directory.file()).await;
    let count = |what: &str| -> i64 {
        db.query_row(&format!("SELECT {what} FROM payments"), [], |row| row.get(0)).unwrap()
    };
    let counts = (count("count(*)"), count("count(DISTINCT key)"));
    assert_eq!(counts, (i64::from(KEYS), i64::from(KEYS)));
}

/// Nothing, but where the test above has started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_pays_and_is_killed() {
    if let Some((file, _)) = given() {
        pay_all(&file).await;
    }
}

/// Four payments at a time, until each has its reply.
async fn pay_all(file: &Path) {
    let store = open(SqliteConfig::new(), file).await;
    let config = IdempotencyConfig::new()
        .transactional()
        .lease(Duration::from_millis(200))
        .store_limit(Duration::from_millis(200))
        .wait(Duration::from_secs(20));
    let process = Idempotency::new(config, store.clone()).unwrap();
    let workers = (0..4).map(|worker| {
        let (process, store, file) = (process.clone(), store.clone(), file.to_owned());
        tokio::spawn(async move {
            for n in (0..KEYS).filter(|n| n % 4 == worker) {
                let reply = pay(&process, &store, &file, n).await;
                assert_eq!(reply, n.to_string());
                println!("paid {n}");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

async fn pay(process: &Idempotency, store: &SqliteStore, file: &Path, n: u32) -> Bytes {
    loop {
        let (store, file) = (store.clone(), file.to_owned());
        let operation = move |claim: Claim| async move {
            let paid = tokio::task::spawn_blocking(move || {
                let mut db = Connection::open(&file).unwrap();
                db.busy_timeout(Duration::from_secs(20)).unwrap();
                let tx = db.transaction_with_behavior(Immediate).unwrap();
                tx.execute("INSERT INTO payments VALUES (?1)", [n]).unwrap();
                let reply = store.complete_claim(&tx, &claim, n.to_string().into())?;
                tx.commit().unwrap();
                Ok::<_, steadfast_idempotency::CompleteError>(reply)
            });
            paid.await.unwrap().map_err(|error| Failed::Refused(Box::new(error)))
        };
        // A claim that was lost, or a key that a killed process still holds: again.
        if let Ok(reply) = process.run(key(n), print(), AsBytes, operation).await {
            return reply;
        }
    }
}
