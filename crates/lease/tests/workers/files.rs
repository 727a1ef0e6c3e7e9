//! Processes that compete for one lease in a file.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    thread,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast_chaos::process::{Child, announce_ready, exit_when_orphaned};
use steadfast_core::BootClock;
use steadfast_lease::{
    AcquireReply, AcquireTerms, FileConfig, FileStore, HolderName, LeaseName, Nonce, Store,
};

use crate::runtime;

const WORKERS: usize = 4;
const KILLS: usize = 250;
/// Short, so that leases expire whose holders were killed.
const TTL: Duration = Duration::from_millis(3);

/// Asks for the lease for as long as it lives, and writes down what it is granted: the token, and
/// between which moments of the machine's clock.
pub(crate) fn compete(directory: &str, log: &str) {
    exit_when_orphaned();
    let mut log = OpenOptions::new().append(true).create(true).open(log).unwrap();
    let (name, clock) = (LeaseName::new("the one").unwrap(), BootClock::system());
    runtime().block_on(async {
        let store = FileStore::open(FileConfig::new(), directory).await.unwrap();
        announce_ready(1).unwrap();
        loop {
            let nonce = Nonce::generate(&mut rand::rng());
            let holder = HolderName::new(std::process::id().to_string()).unwrap();
            let terms = AcquireTerms { nonce, holder, ttl: TTL, floor: None };
            let sent = clock.now().as_nanos();
            match store.acquire(&name, &terms).await {
                Ok(AcquireReply::Granted { token, .. }) => {
                    let line = format!("{token} {sent} {}\n", clock.now().as_nanos());
                    // At once, whatever comes between.
                    log.write_all(line.as_bytes()).unwrap();
                    if rand::rng().random() {
                        store.release(&name, nonce).await.unwrap();
                    }
                }
                Ok(_) => tokio::time::sleep(TTL / 6).await,
                // Another is killed, or only slow, with the file locked.
                Err(error) if error.executed() == steadfast_core::Executed::No => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
}

/// A grant: its token, and when it was asked for and answered.
type Grant = (u64, u64, u64);

fn grants(log: &std::path::Path) -> Vec<Grant> {
    let text = fs::read_to_string(log).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let grant = |line: &str| {
        let mut numbers = line.split(' ').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    };
    whole.lines().filter_map(grant).collect()
}

/// What was answered before another was asked for has the smaller token.
fn check(mut grants: Vec<Grant>) {
    let mut answered = grants.clone();
    answered.sort_by_key(|grant| grant.2);
    grants.sort_by_key(|grant| grant.1);
    let (mut next, mut highest) = (0, 0);
    for &(token, sent, _) in &grants {
        while next < answered.len() && answered[next].2 < sent {
            highest = highest.max(answered[next].0);
            next += 1;
        }
        assert!(token > highest, "{token} was granted after {highest}");
    }
    grants.sort_unstable();
    assert!(grants.windows(2).all(|two| two[0].0 < two[1].0), "a token was granted twice");
}

pub(crate) fn killed() {
    let directory = tempfile::tempdir().unwrap();
    let (leases, log) = (directory.path().join("leases"), directory.path().join("log"));
    let spawn = || {
        let args = ["compete".as_ref(), leases.as_os_str(), log.as_os_str()];
        Child::spawn(args).unwrap()
    };
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut workers: Vec<_> = (0..WORKERS).map(|_| spawn()).collect();
    for _ in 0..KILLS {
        thread::park_timeout(Duration::from_micros(rng.random_range(500..8500)));
        let victim = rng.random_range(0..WORKERS);
        workers[victim].kill().unwrap();
        workers[victim] = spawn();
    }
    let before = grants(&log).len();
    let is_stuck = || grants(&log).len() < before + WORKERS;
    for _ in 0..1000 {
        if !is_stuck() {
            break;
        }
        thread::park_timeout(Duration::from_millis(10));
    }
    assert!(!is_stuck(), "nothing is granted any more after {before} grants");
    drop(workers);
    let all = grants(&log);
    println!("{KILLS} times kill -9, {} grants", all.len());
    assert!(all.len() > KILLS, "{} grants", all.len());
    check(all);
}
