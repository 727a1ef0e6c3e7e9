//! Many payments over workers that are killed and stopped at random, and a way to the server that
//! fails.

use std::{
    collections::HashMap,
    env,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast_chaos::{FaultProxy, ProxyConfig, process::Child};
use steadfast_store::{Sql, Statement};
use steadfast_testkit::servers::PostgresServer;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    ledger::{Ledger, runtime},
    worker::LEASE,
};

/// How many payments are made at least: so many by default, or as this variable says. They go on
/// until something of each kind has happened to them.
const PAYMENTS: usize = 1000;
const VARIABLE: &str = "STEADFAST_PAYMENTS";
const WORKERS: usize = 4;
const CLIENTS: usize = 32;
/// A client that hears nothing for so long asks again, elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);

/// What has happened meanwhile.
#[derive(Debug, Default)]
struct Mishaps {
    kills: AtomicUsize,
    stops: AtomicUsize,
    cuts: AtomicUsize,
    is_over: AtomicBool,
}

impl Mishaps {
    fn count(&self) -> [usize; 3] {
        [&self.kills, &self.stops, &self.cuts].map(|mishaps| mishaps.load(Ordering::Relaxed))
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// What the payments have come to.
#[derive(Debug, Default)]
struct Sum {
    booked: i64,
    tries: usize,
    /// Kills, stops, and cuts of the way.
    mishaps: [usize; 3],
    /// Payments that were booked more than once.
    double: i64,
    /// Payments that were acknowledged and not booked.
    lost: i64,
    /// Payments for which two clients were given two receipts.
    contradicted: usize,
}

/// No payment twice, none lost, and one receipt for each.
pub(crate) fn transactional() {
    let payments = env::var(VARIABLE).map_or(PAYMENTS, |payments| payments.parse().unwrap());
    let sum = soak(payments, true);
    println!("{sum:?}");
    assert_eq!((sum.double, sum.lost, sum.contradicted), (0, 0, 0), "{sum:?}");
}

/// The same kills where effect and reply are apart: the test can fail.
pub(crate) fn seen() {
    let sum = (0..10).map(|_| soak(PAYMENTS / 2, false)).find(|sum| sum.double > 0);
    assert!(sum.is_some(), "no payment was booked twice");
}

fn soak(payments: usize, is_fenced: bool) -> Sum {
    let server = PostgresServer::start();
    let runtime = runtime();
    let ledger = runtime.block_on(Ledger::open(&server.url()));
    runtime.block_on(ledger.set_up());
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = runtime.block_on(async { FaultProxy::bind(ProxyConfig::new(upstream)).unwrap() });
    let url = format!("postgres://postgres@{}/postgres", proxy.address());

    let mishaps = Arc::<Mishaps>::default();
    let workers: Vec<_> =
        (0..WORKERS).map(|n| Worker::start(&url, n, is_fenced, &mishaps)).collect();
    let addresses: Vec<_> = workers.iter().map(|worker| Arc::clone(&worker.address)).collect();
    let cutting = runtime.spawn(cut_now_and_then(proxy.clone(), Arc::clone(&mishaps)));
    let (next, receipts) = (Arc::default(), Arc::<Mutex<HashMap<_, _>>>::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let client = Client {
                rng: SmallRng::seed_from_u64(n as u64),
                addresses: addresses.clone(),
                connections: HashMap::new(),
                tries: 0,
                contradicted: 0,
                mishaps: Arc::clone(&mishaps),
            };
            runtime.spawn(client.pay_all(payments, Arc::clone(&next), Arc::clone(&receipts)))
        })
        .collect();
    let mut sum = Sum::default();
    for client in clients {
        let (tries, contradicted) = runtime.block_on(client).unwrap();
        sum.tries += tries;
        sum.contradicted += contradicted;
    }
    mishaps.is_over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.thread.join().unwrap();
    }
    runtime.block_on(cutting).unwrap();
    sum.mishaps = mishaps.count();
    let acknowledged = receipts.lock().unwrap().len();
    let number = |text: &'static str| {
        let row = runtime.block_on(ledger.0.clone().run_statement(&Statement::named(text), &[]));
        row.unwrap().unwrap().int(0).unwrap()
    };
    sum.double = number(
        "SELECT count(*) FROM (
            SELECT FROM ledger GROUP BY payment HAVING count(*) > 1
        ) AS double",
    );
    sum.booked = number("SELECT count(DISTINCT payment) FROM ledger");
    sum.lost = i64::try_from(acknowledged).unwrap() - sum.booked;
    sum
}

/// A worker that is killed or stopped every so often, and started again.
struct Worker {
    address: Arc<Mutex<SocketAddr>>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(url: &str, n: usize, is_fenced: bool, mishaps: &Arc<Mishaps>) -> Self {
        let (url, mishaps) = (url.to_owned(), Arc::clone(mishaps));
        let mut rng = SmallRng::seed_from_u64(1000 + n as u64);
        let spawn = move |rng: &mut SmallRng| loop {
            let seed = if is_fenced { rng.random_range(1..u64::MAX) } else { 0 };
            // One that meets a cut as it starts ends.
            if let Ok(child) = Child::spawn(["serve", &url, &seed.to_string()]) {
                return child;
            }
        };
        let mut child = spawn(&mut rng);
        let address = Arc::new(Mutex::new(child.address()));
        let theirs = Arc::clone(&address);
        let thread = thread::spawn(move || {
            while !mishaps.is_over() {
                thread::park_timeout(rng.random_range(LEASE / 2..LEASE * 5));
                if rng.random_range(0..3) > 0 {
                    child.kill().unwrap();
                    mishaps.kills.fetch_add(1, Ordering::Relaxed);
                    child = spawn(&mut rng);
                    *theirs.lock().unwrap() = child.address();
                } else if child.pause().is_ok() {
                    mishaps.stops.fetch_add(1, Ordering::Relaxed);
                    thread::park_timeout(rng.random_range(LEASE..LEASE * 3));
                    child.resume().unwrap();
                }
            }
        });
        Self { address, thread }
    }
}

async fn cut_now_and_then(proxy: FaultProxy, mishaps: Arc<Mishaps>) {
    let mut rng = SmallRng::seed_from_u64(7);
    while !mishaps.is_over() {
        sleep(rng.random_range(LEASE * 2..LEASE * 8)).await;
        proxy.cut().await;
        mishaps.cuts.fetch_add(1, Ordering::Relaxed);
        proxy.heal().await;
    }
}

/// Makes payments until none is left, each until it has a receipt.
struct Client {
    rng: SmallRng,
    addresses: Vec<Arc<Mutex<SocketAddr>>>,
    connections: HashMap<SocketAddr, BufReader<TcpStream>>,
    tries: usize,
    contradicted: usize,
    mishaps: Arc<Mishaps>,
}

impl Client {
    async fn pay_all(
        mut self,
        payments: usize,
        next: Arc<AtomicUsize>,
        receipts: Arc<Mutex<HashMap<usize, String>>>,
    ) -> (usize, usize) {
        loop {
            let payment = next.fetch_add(1, Ordering::Relaxed);
            if payment >= payments && !self.mishaps.count().contains(&0) {
                return (self.tries, self.contradicted);
            }
            self.pay(payment, &receipts).await;
            // Some clients do not believe it, and some ask again for what another has paid.
            if self.rng.random_range(0..5) == 0 {
                self.pay(payment, &receipts).await;
            }
            if payment > 0 && self.rng.random_range(0..5) == 0 {
                let other = payment - self.rng.random_range(0..payment.min(CLIENTS)) - 1;
                self.pay(other, &receipts).await;
            }
        }
    }

    async fn pay(&mut self, payment: usize, receipts: &Mutex<HashMap<usize, String>>) {
        let receipt = loop {
            self.tries += 1;
            let worker = self.rng.random_range(0..self.addresses.len());
            let address = *self.addresses[worker].lock().unwrap();
            match timeout(PATIENCE, self.ask(address, payment)).await {
                Ok(Some(receipt)) => break receipt,
                // What it may yet answer is another question's.
                Err(_) => drop(self.connections.remove(&address)),
                Ok(None) => {}
            }
            sleep(Duration::from_millis(self.rng.random_range(1..20))).await;
        };
        let mut receipts = receipts.lock().unwrap();
        let known = receipts.entry(payment).or_insert_with(|| receipt.clone());
        if *known != receipt {
            self.contradicted += 1;
        }
    }

    async fn ask(&mut self, address: SocketAddr, payment: usize) -> Option<String> {
        let mut connection = match self.connections.remove(&address) {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(address).await.ok()?),
        };
        connection.write_all(format!("payment {payment}\n").as_bytes()).await.ok()?;
        let mut line = String::new();
        let read = connection.read_line(&mut line).await.ok()?;
        if read == 0 {
            return None;
        }
        self.connections.insert(address, connection);
        line.strip_prefix("ok ").map(|receipt| receipt.trim_end().to_owned())
    }
}
