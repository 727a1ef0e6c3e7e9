//! A holder that is stopped in its transaction, behind the fence.

use std::{thread, time::Duration};

use steadfast_chaos::process::{Child, announce_ready, exit_when_orphaned};
use steadfast_lease::{FencingToken, postgres::FenceTable};
use steadfast_store::{Sql, Statement, Value};
use steadfast_testkit::servers;
use tokio::time::{Instant, sleep, timeout};

use crate::runtime;

const MS: Duration = Duration::from_millis(1);
const TOKEN: u64 = 1_790_000_000_000_000;
/// The one account, to which each holder adds its digit.
const ACCOUNT: &str = "CREATE TABLE IF NOT EXISTS account (digits text)";

fn table(limit: Duration) -> FenceTable {
    FenceTable::new("fence_marks", limit).unwrap()
}

fn token(number: u64) -> FencingToken {
    FencingToken::try_from(TOKEN + number).unwrap()
}

async fn run(db: &mut impl Sql, text: &str, values: &[Value<'_>]) -> Option<String> {
    let row = db.run_statement(&Statement::unnamed(text), values).await.unwrap()?;
    Some(row.text(0).unwrap().to_owned())
}

async fn add(db: &mut impl Sql, digit: &str) {
    let add = "UPDATE account SET digits = digits || $1 RETURNING digits";
    run(db, add, &[Value::Text(digit)]).await.unwrap();
}

/// Passes the fence, and writes a moment later.
pub(crate) fn write(url: &str, limit_ms: &str, number: &str) {
    exit_when_orphaned();
    let table = table(limit_ms.parse::<u32>().unwrap() * MS);
    runtime().block_on(async {
        let pool = steadfast_store::connect(url).await.unwrap();
        let mut client = pool.get().await.unwrap();
        let mut tx = client.transaction().await.unwrap();
        table.pass(&mut tx, "account", token(number.parse().unwrap())).await.unwrap();
        announce_ready(1).unwrap();
        sleep(300 * MS).await;
        let add = "UPDATE account SET digits = digits || $1";
        // Its connection has gone, if it was stopped for longer than the limit.
        if tx.execute(add, &[&number]).await.is_ok() {
            let _ = tx.commit().await;
        }
        std::future::pending::<()>().await;
    });
}

/// The first is stopped right behind the fence; says how long the second waits for it, which is
/// woken after `wakes_after`, and what is in the account in the end.
fn race(limit: Duration, wakes_after: Duration) -> (Duration, String) {
    let url = servers::postgres().url();
    let runtime = runtime();
    let pool = runtime.block_on(async {
        let mut pool = steadfast_store::connect(&url).await.unwrap();
        table(limit).migrate(&mut pool).await.unwrap();
        run(&mut pool, ACCOUNT, &[]).await;
        run(&mut pool, "DELETE FROM account", &[]).await;
        run(&mut pool, "DELETE FROM fence_marks", &[]).await;
        run(&mut pool, "INSERT INTO account VALUES ('')", &[]).await;
        pool
    });
    let mut first = Child::spawn(["write", &url, &limit.as_millis().to_string(), "1"]).unwrap();
    first.pause().unwrap();
    let waker = thread::spawn(move || {
        thread::park_timeout(wakes_after);
        first.resume().unwrap();
        // Until it has done whatever it does.
        thread::park_timeout(1000 * MS);
        drop(first);
    });
    let began = runtime.block_on(async { Instant::now() });
    let waited = runtime.block_on(async {
        let mut client = pool.get().await.unwrap();
        let mut tx = client.transaction().await.unwrap();
        let table = table(limit);
        let passed = table.pass(&mut tx, "account", token(2));
        timeout(20_000 * MS, passed).await.expect("it is let through").unwrap();
        let waited = Instant::now() - began;
        add(&mut tx, "2").await;
        tx.commit().await.unwrap();
        waited
    });
    waker.join().unwrap();
    let mut db = pool.clone();
    let digits = runtime.block_on(run(&mut db, "SELECT digits FROM account", &[])).unwrap();
    (waited, digits)
}

pub(crate) fn stopped() {
    let (waited, digits) = race(600 * MS, 4000 * MS);
    println!("the successor waited for {waited:?}");
    assert!(waited < 3500 * MS, "{waited:?}");
    assert_eq!(digits, "2", "the first is not committed after all");
}

/// What the limit is for.
pub(crate) fn unlimited() {
    let (waited, digits) = race(Duration::from_secs(3600), 2500 * MS);
    println!("without the limit, for {waited:?}");
    assert!(waited >= 2400 * MS, "{waited:?}");
    assert_eq!(digits, "12");
}
