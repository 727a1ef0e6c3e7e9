//! What a store costs, beside the same bytes written and read by the same driver without it. The
//! two take turns, operation by operation, so that both meet the same disk and the same load; only
//! their ratio means anything.
//!
//! `stores [redis] [sqlite] [postgres] [rounds] [redis://…] [postgres://…]`
//! `stores leases [file] [redis] [postgres] [etcd] [rounds] [redis://…] [postgres://…] [etcd://…]`
//!
//! `stores lateness`
//!
//! Those of idempotency keys, or of leases; all of them unless some are named. Or how late the loss
//! of leases is told. Without a URL it starts a server of its own; with one it
//! writes keys and tables there whose names begin with `bench`.

mod directory;
mod lateness;
mod leases;
mod options;
mod pair;
mod postgres;
mod redis;
mod sqlite;

use std::{error::Error, time::Duration};

use steadfast_idempotency::{ClaimTerms, ClaimToken, Fingerprint, OnAbandoned, RecordId, Store};

use crate::{options::Options, pair::Pair};

type BoxError = Box<dyn Error + Send + Sync>;

/// A reply of a kilobyte.
const REPLY: [u8; 1024] = [b'r'; 1024];
const HOUR: Duration = Duration::from_secs(3600);
/// What a write and a replay may cost of the bare ones.
const WRITES: f64 = 1.3;
const REPLAYS: f64 = 1.6;

/// What a program would do that wants no answer: a record's bytes, written and read.
trait Bare {
    async fn insert(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError>;
    /// The reply, and another end.
    async fn update(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError>;
    async fn read(&self, id: &RecordId) -> Result<(), BoxError>;
    async fn delete(&self, id: &RecordId) -> Result<(), BoxError>;
    /// Whether a program could do it like that.
    fn is_judged(&self) -> bool {
        true
    }
}

fn main() -> Result<(), BoxError> {
    if std::env::args().nth(1).as_deref() == Some("lateness") {
        return lateness::measure();
    }
    let options = Options::read(std::env::args().skip(1))?;
    // What is compared runs on one thread, with the tasks of its connections.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<(), BoxError> {
    println!("µs at the median of {} rounds, in turns: bare, store, ratio", options.rounds);
    if options.is_of_leases {
        return Box::pin(leases::measure(options)).await;
    }
    if options.takes("redis") {
        redis::measure(options).await?;
    }
    if options.takes("sqlite") {
        sqlite::measure(options).await?;
    }
    if options.takes("postgres") {
        Box::pin(postgres::measure(options)).await?;
    }
    Ok(())
}

async fn measure(
    what: &str,
    store: &impl Store,
    bare: &impl Bare,
    rounds: usize,
) -> Result<(), BoxError> {
    let bar = |bar| bare.is_judged().then_some(bar);
    let mut claim = Pair::new("claim / insert", bar(WRITES));
    let mut complete = Pair::new("complete / update", bar(WRITES));
    let mut replay = Pair::new("replay / read", bar(REPLAYS));
    let mut look = Pair::new("look / read", None);
    let mut duplicate = Pair::new("claim of what is in flight / read", None);
    let mut release = Pair::new("claim and release / insert and delete", None);
    for _ in 0..rounds {
        let (id, terms) = (id(), terms());
        let other = ClaimTerms { token: token(), ..terms };
        claim.turn(bare.insert(&id, &terms), store.claim(&id, &terms)).await?;
        duplicate.turn(bare.read(&id), store.claim(&id, &other)).await?;
        let reply = bytes::Bytes::from_static(&REPLY);
        let completion = store.complete(&id, terms.token, reply, HOUR);
        complete.turn(bare.update(&id, &terms), completion).await?;
        replay.turn(bare.read(&id), store.claim(&id, &other)).await?;
        look.turn(bare.read(&id), store.look(&id)).await?;

        let id = crate::id();
        let insert_and_delete = async {
            bare.insert(&id, &terms).await?;
            bare.delete(&id).await
        };
        let claim_and_release = async {
            store.claim(&id, &terms).await?;
            store.release(&id, terms.token).await
        };
        release.turn(insert_and_delete, claim_and_release).await?;
    }
    println!("{what}");
    for pair in [claim, complete, replay, look, duplicate, release] {
        println!("  {pair}");
    }
    Ok(())
}

fn token() -> ClaimToken {
    ClaimToken::generate(&mut rand::rng())
}

fn id() -> RecordId {
    RecordId::new("bench", token().to_bytes()).expect("short, and not empty")
}

fn terms() -> ClaimTerms {
    ClaimTerms {
        token: token(),
        fingerprint: Fingerprint::of(["POST", "/pay"]),
        lease: HOUR,
        retention: HOUR,
        on_abandoned: OnAbandoned::Refuse,
    }
}
