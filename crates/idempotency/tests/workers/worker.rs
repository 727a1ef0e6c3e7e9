//! A process that pays.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast_chaos::process::{announce_ready, exit_when_orphaned};
use steadfast_core::Error;
use steadfast_idempotency::{
    AsBytes, Claim, Fingerprint, Idempotency, IdempotencyConfig, OnAbandoned, RecordId,
};
use steadfast_store::{Sql, Statement, Value};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::ledger::{Ledger, runtime};

pub(crate) type Failed = Error<io::Error>;

pub(crate) const LEASE: Duration = Duration::from_millis(300);

/// Where a worker stands in its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Start,
    Claimed,
    Effect,
    Completion,
    Commit,
    /// The caller has its reply.
    Done,
}

pub(crate) const STEPS: [Step; 5] =
    [Step::Start, Step::Claimed, Step::Effect, Step::Completion, Step::Commit];

/// What a worker does at its step, once it has said that it is there.
#[derive(Clone, Copy)]
struct Halt {
    at: Step,
    waits: bool,
}

fn config() -> IdempotencyConfig {
    IdempotencyConfig::new().lease(LEASE).store_limit(LEASE).transactional()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failed {
    Error::Service(io::Error::other(error))
}

fn id(payment: &[u8]) -> RecordId {
    RecordId::new("payer", payment).unwrap()
}

/// One payment, tried until it is done.
pub(crate) fn pay(url: &str, payment: &str, step: &str, then: &str) {
    exit_when_orphaned();
    let at = [&STEPS[..], &[Step::Done]].concat();
    let at = at.into_iter().find(|at| format!("{at:?}") == step).unwrap();
    let halt = Halt { at, waits: then == "wait" };
    let payment: Arc<[u8]> = payment.as_bytes().into();
    runtime().block_on(async {
        let ledger = Ledger::open(url).await;
        let handle = Idempotency::new(config(), ledger.store()).unwrap();
        reach(&ledger, &payment, halt, Step::Start).await;
        let reply = loop {
            let (of, at) = (Arc::clone(&payment), ledger.clone());
            let operation = move |claim: Claim| async move { book(&claim, &at, &of, halt).await };
            let print = Fingerprint::of(["pay"]);
            match handle.run(id(&payment), print, AsBytes, operation).await {
                Ok(reply) => break reply,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        let said = Statement::named("INSERT INTO said VALUES ($1, $2)");
        let reply = String::from_utf8(reply.to_vec()).unwrap();
        let values = [Value::Bytes(&payment), Value::Text(&reply)];
        ledger.0.clone().run_statement(&said, &values).await.unwrap();
        reach(&ledger, &payment, halt, Step::Done).await;
    });
}

async fn book(claim: &Claim, ledger: &Ledger, payment: &[u8], halt: Halt) -> Result<Bytes, Failed> {
    reach(ledger, payment, halt, Step::Claimed).await;
    let mut client = ledger.0.get().await.map_err(failed)?;
    let mut tx = client.transaction().await.map_err(failed)?;
    charge(&mut tx, payment).await?;
    reach(ledger, payment, halt, Step::Effect).await;
    let reply = claim.complete(&mut tx, receipt(claim)).await?;
    reach(ledger, payment, halt, Step::Completion).await;
    tx.commit().await.map_err(failed)?;
    reach(ledger, payment, halt, Step::Commit).await;
    Ok(reply)
}

async fn charge<T: Sql>(tx: &mut T, payment: &[u8]) -> Result<(), Failed> {
    let charge = Statement::named("INSERT INTO ledger VALUES ($1)");
    tx.run_statement(&charge, &[Value::Bytes(payment)]).await.map_err(failed)?;
    Ok(())
}

/// Another for each process and attempt: that of a zombie is told from that of its taker.
fn receipt(claim: &Claim) -> Bytes {
    format!("receipt of process {}, run {}", std::process::id(), claim.attempt()).into()
}

/// Halts where it is to, and says that it is there.
async fn reach(ledger: &Ledger, payment: &[u8], halt: Halt, step: Step) {
    if step != halt.at {
        return;
    }
    announce_ready(1).unwrap();
    if !halt.waits {
        pending::<()>().await;
    }
    let text = "SELECT count(*) FROM go_on WHERE payment = $1";
    while ledger.number(text, payment).await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
}

/// A server of payments: a line with the payment, and a line with the receipt or why there is none.
/// Operations fail, panic and are slow now and then. With a seed of 0 the operation is not
/// transactional, which a test must see.
pub(crate) fn serve(url: &str, seed: u64) {
    exit_when_orphaned();
    // Panics are a part of it.
    std::panic::set_hook(Box::new(|_| {}));
    runtime().block_on(async {
        let ledger = Ledger::open(url).await;
        let config = match seed {
            0 => IdempotencyConfig::new()
                .lease(LEASE)
                .store_limit(LEASE)
                .on_abandoned(OnAbandoned::Takeover),
            _ => config(),
        };
        let handle = Idempotency::new(config, ledger.store()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        announce_ready(listener.local_addr().unwrap().port()).unwrap();
        let (seeds, is_fenced) = (Arc::new(AtomicU64::new(seed)), seed > 0);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (handle, ledger, seeds) = (handle.clone(), ledger.clone(), Arc::clone(&seeds));
            // A client that is gone is no affair of the server's.
            tokio::spawn(async move { answer(stream, handle, ledger, &seeds, is_fenced).await });
        }
    });
}

async fn answer(
    stream: TcpStream,
    handle: Idempotency,
    ledger: Ledger,
    seeds: &AtomicU64,
    is_fenced: bool,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(payment) = lines.next_line().await? {
        let payment: Arc<[u8]> = payment.as_bytes().into();
        let seed = seeds.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let (of, at, handle) = (Arc::clone(&payment), ledger.clone(), handle.clone());
        let paid = tokio::spawn(async move {
            let operation = move |claim: Claim| async move {
                match is_fenced {
                    true => book_badly(&claim, &at, &of, SmallRng::seed_from_u64(seed)).await,
                    false => book_apart(&claim, &at, &of).await,
                }
            };
            handle.run(id(&payment), Fingerprint::of(["pay"]), AsBytes, operation).await
        });
        let mut line = match paid.await {
            Ok(Ok(reply)) => [b"ok ", &reply[..]].concat(),
            Ok(Err(error)) => format!("no {error}").into_bytes(),
            Err(_) => b"no panic".to_vec(),
        };
        line.push(b'\n');
        write.write_all(&line).await?;
    }
    Ok(())
}

/// The same with the mishaps of a program.
async fn book_badly(
    claim: &Claim,
    ledger: &Ledger,
    payment: &[u8],
    mut rng: SmallRng,
) -> Result<Bytes, Failed> {
    let mishap = rng.random_range(0..100);
    let slow = rng.random_range(Duration::ZERO..LEASE * 2);
    let mut client = ledger.0.get().await.map_err(failed)?;
    let mut tx = client.transaction().await.map_err(failed)?;
    charge(&mut tx, payment).await?;
    match mishap {
        0 => return Err(failed(io::Error::other("changed its mind"))),
        1 => sleep(slow).await,
        _ => {}
    }
    let reply = claim.complete(&mut tx, receipt(claim)).await?;
    match mishap {
        2 => return Err(failed(io::Error::other("changed its mind late"))),
        3 => panic!("before the commit"),
        4 => sleep(slow).await,
        // The commit may be on its way.
        5 => {
            let _ = tokio::time::timeout(slow / 1000, tx.commit()).await;
            return Err(failed(io::Error::other("has not waited for its commit")));
        }
        _ => {}
    }
    tx.commit().await.map_err(failed)?;
    if mishap == 6 {
        panic!("after the commit");
    }
    Ok(reply)
}

/// Effect and reply apart: what is to be seen as double where a process dies between them.
async fn book_apart(claim: &Claim, ledger: &Ledger, payment: &[u8]) -> Result<Bytes, Failed> {
    charge(&mut ledger.0.clone(), payment).await?;
    sleep(LEASE / 10).await;
    Ok(receipt(claim))
}
