//! How late the holders of leases learn that a store which hangs has cost them their leases: from
//! the deadline until the task that waits for the loss runs, in real time.
//!
//! How late the machine itself is at that moment is told by a thread that sleeps until the first
//! deadline and does nothing else.
//!
//! The leases begin together and end together. A store in memory that hangs has no load of its own,
//! and a server of Redis that stands still has its clients' connections behind it.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use steadfast_core::BootClock;
use steadfast_lease::{
    AcquireReply, AcquireTerms, Lease, LeaseClient, LeaseClientConfig, LeaseName, Loss,
    MemoryConfig, MemoryStore, Nonce, RedisConfig, RedisStore, RenewReply, Store, StoreError, View,
};
use steadfast_testkit::servers::RedisServer;
use tokio::runtime::{Builder, Runtime};

use crate::BoxError;

const TTL: Duration = Duration::from_secs(2);
const MANY: usize = 1000;
/// How late the last of them may learn it.
const BARS: [(usize, Duration); 2] =
    [(1, Duration::from_millis(5)), (MANY, Duration::from_millis(20))];
const ROUNDS: usize = 5;

pub(crate) fn measure() -> Result<(), BoxError> {
    println!(
        "ms after the deadline, {ROUNDS} rounds: median, worst, worst of a thread that sleeps"
    );
    for threads in [1, 2] {
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        for (leases, most) in BARS {
            let what = format!("{leases} of a store that hangs, {threads} threads");
            judge(&what, &rounds(&runtime, leases, Stands::new)?, most);
        }
        for (leases, most) in BARS {
            let what = format!("{leases} of a Redis that stands still, {threads} threads");
            judge(&what, &rounds(&runtime, leases, Stopped::new)?, most);
        }
    }
    Ok(())
}

/// Something that leases can be had of, until it hangs.
trait Hangs {
    type Store: Store;
    fn store(&self) -> impl Future<Output = Result<Self::Store, BoxError>>;
    fn hang(&self, hangs: bool);
}

struct Late {
    holders: Vec<Duration>,
    machine: Vec<Duration>,
}

fn rounds<H: Hangs>(
    runtime: &Runtime,
    leases: usize,
    new: impl Fn() -> H,
) -> Result<Late, BoxError> {
    let mut late = Late { holders: Vec::new(), machine: Vec::new() };
    for _ in 0..ROUNDS {
        runtime.block_on(round(&new(), leases, &mut late))?;
    }
    late.holders.sort_unstable();
    late.machine.sort_unstable();
    Ok(late)
}

async fn round(server: &impl Hangs, leases: usize, late: &mut Late) -> Result<(), BoxError> {
    let config = LeaseClientConfig::new().ttl(TTL);
    let client = LeaseClient::new(config, server.store().await?)?;
    let names = (0..leases).map(|lease| LeaseName::new(format!("bench/{lease}")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let asking = names.into_iter().map(|name| client.try_acquire(name));
    let held: Vec<Lease> = futures::future::try_join_all(asking).await?;
    // All have been granted, and none was renewed.
    server.hang(true);
    let first = held.iter().map(Lease::remaining).min().unwrap_or_default();
    let machine = thread::spawn(move || oversleep(first));
    let waiting: Vec<_> = held.into_iter().map(|lease| tokio::spawn(wait(lease))).collect();
    for waits in waiting {
        late.holders.push(waits.await??);
    }
    server.hang(false);
    late.machine.push(machine.join().map_err(|_| "the thread that sleeps")?);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures what sleeping is worth")]
fn oversleep(span: Duration) -> Duration {
    let clock = BootClock::system();
    let until = clock.now().saturating_add(span);
    thread::sleep(span);
    clock.now().saturating_duration_since(until)
}

async fn wait(lease: Lease) -> Result<Duration, BoxError> {
    let clock = BootClock::system();
    let deadline = clock.now().saturating_add(lease.remaining());
    let loss = lease.lost().await;
    let late = clock.now().saturating_duration_since(deadline);
    if loss == Some(Loss::Unanswered) && !lease.is_valid() {
        Ok(late)
    } else {
        Err(format!("{loss:?} is no loss by a store that hangs").into())
    }
}

fn judge(what: &str, late: &Late, most: Duration) {
    let millis = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    let Late { holders, machine } = late;
    let (median, worst) = (holders.get(holders.len() / 2), holders.last());
    let judged = if worst <= Some(&most) { "met" } else { "NOT met" };
    let most = most.as_millis();
    let (median, worst, machine) = (millis(median), millis(worst), millis(machine.last()));
    println!("  {what:48} {median:6.2} {worst:6.2} {machine:6.2}  at most {most} ms: {judged}");
}

/// In memory, and its renewals hang.
#[derive(Clone)]
struct Stands {
    store: MemoryStore,
    hangs: Arc<AtomicBool>,
}

impl Stands {
    fn new() -> Self {
        let store = MemoryStore::new(MemoryConfig::new()).expect("the defaults are valid");
        Self { store, hangs: Arc::default() }
    }

    async fn answer<T>(&self, answer: impl Future<Output = T>) -> T {
        if self.hangs.load(Ordering::Relaxed) {
            return pending().await;
        }
        answer.await
    }
}

impl Hangs for Stands {
    type Store = Self;

    async fn store(&self) -> Result<Self, BoxError> {
        Ok(self.clone())
    }

    fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }
}

impl Store for Stands {
    async fn acquire(
        &self,
        name: &LeaseName,
        terms: &AcquireTerms,
    ) -> Result<AcquireReply, StoreError> {
        self.answer(self.store.acquire(name, terms)).await
    }

    async fn renew(&self, name: &LeaseName, nonce: Nonce) -> Result<RenewReply, StoreError> {
        self.answer(self.store.renew(name, nonce)).await
    }

    async fn release(&self, name: &LeaseName, nonce: Nonce) -> Result<bool, StoreError> {
        self.answer(self.store.release(name, nonce)).await
    }

    async fn observe(&self, name: &LeaseName, seen: Option<&View>) -> Result<View, StoreError> {
        self.answer(self.store.observe(name, seen)).await
    }
}

struct Stopped(RedisServer);

impl Stopped {
    fn new() -> Self {
        Self(RedisServer::start(&[]))
    }
}

impl Hangs for Stopped {
    type Store = RedisStore;

    async fn store(&self) -> Result<RedisStore, BoxError> {
        Ok(RedisStore::connect(RedisConfig::new(), &self.0.url()).await?)
    }

    fn hang(&self, hangs: bool) {
        if hangs {
            self.0.stop();
        } else {
            self.0.resume();
        }
    }
}
