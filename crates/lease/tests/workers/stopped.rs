//! A holder that is stopped for longer than its lease lasts, and looks at it when it wakes.

use std::{fs, thread, time::Duration};

use steadfast_chaos::process::{Child, announce_ready, exit_when_orphaned};
use steadfast_core::BootClock;
use steadfast_lease::{
    FileConfig, FileStore, HolderName, LeaseClient, LeaseClientConfig, LeaseName, Loss, Status,
};

use crate::runtime;

const MS: Duration = Duration::from_millis(1);
const TTL: Duration = Duration::from_millis(800);

async fn client(directory: &str, holder: &str) -> LeaseClient {
    let store = FileStore::open(FileConfig::new(), directory).await.unwrap();
    let config = LeaseClientConfig::new().holder(HolderName::new(holder).unwrap()).ttl(TTL);
    LeaseClient::new(config, store).unwrap()
}

fn name() -> LeaseName {
    LeaseName::new("the one").unwrap()
}

/// Holds the lease, which a thread of the runtime renews, and looks at it all the time. Writes down
/// what it saw at its first look after it had stood still for a TTL, and ever after.
pub(crate) fn hold(directory: &str, log: &str) {
    exit_when_orphaned();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let client = runtime.block_on(client(directory, "stopped"));
    let lease = runtime.block_on(client.acquire(&name(), None)).unwrap();
    announce_ready(1).unwrap();
    let clock = BootClock::system();
    let mut before = clock.now();
    loop {
        let now = clock.now();
        let is_valid = lease.is_valid();
        if now.saturating_duration_since(before) >= TTL {
            let mut looks = (0..500).map(|_| {
                thread::park_timeout(MS);
                lease.is_valid()
            });
            let is_ever_valid = is_valid || looks.any(|is_valid| is_valid);
            let is_lost = lease.status() == Status::Lost(Loss::Unanswered);
            fs::write(log, format!("{is_ever_valid} {is_lost}\n")).unwrap();
            loop {
                thread::park();
            }
        }
        before = now;
        thread::park_timeout(MS);
    }
}

pub(crate) fn stopped() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let leases = directory.path().join("leases").to_string_lossy().into_owned();
    let mut holder = Child::spawn(["hold", &leases, &log.to_string_lossy()]).unwrap();
    // It is renewed meanwhile.
    thread::park_timeout(2 * TTL);
    assert!(!log.exists(), "it has stood still by itself: the machine is too busy");
    holder.pause().unwrap();
    runtime().block_on(async {
        let client = client(&leases, "successor").await;
        let successor = client.acquire(&name(), None).await.unwrap();
        tokio::time::sleep(TTL).await;
        holder.resume().unwrap();
        for _ in 0..1000 {
            if fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n')) {
                break;
            }
            tokio::time::sleep(10 * MS).await;
        }
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text, "false true\n", "whether it was ever valid, and is lost");
        // What it has given back was its own.
        let held = client.look(&name()).await.unwrap().held.unwrap();
        assert_eq!(held.holder.as_str(), "successor");
        assert!(successor.is_valid());
    });
}
