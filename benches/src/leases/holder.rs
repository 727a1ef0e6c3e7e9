//! What a holder asks its lease before each step of its work.

use std::{hint::black_box, sync::Arc, time::Duration};

use steadfast_core::BootClock;
use steadfast_lease::{
    Lease, LeaseClient, LeaseClientConfig, LeaseName, LeaseRequest, MemoryConfig, MemoryStore,
    Status,
};

use super::{BOOT_CLOCK, row};
use crate::{
    row::{Family, Row},
    runtime::block_on,
};

pub(super) fn rows() -> Vec<Row> {
    let clock = BootClock::system();
    let read = move |_| {
        black_box(clock.now());
        true
    };
    let ask = |name, ask: fn(&Lease) -> bool| {
        let lease = lease();
        row(Family::Ours, name, move |_| ask(black_box(&lease))).over(BOOT_CLOCK)
    };
    vec![
        row(Family::Reference, BOOT_CLOCK, read).over(BOOT_CLOCK),
        ask("Lease::is_valid", Lease::is_valid),
        ask("Lease::remaining", |lease| !lease.remaining().is_zero()),
        ask("Lease::ensure", |lease| lease.ensure(Duration::from_secs(1)).is_ok()),
        ask("Lease::status", |lease| lease.status() == Status::Granted),
    ]
}

/// Longer than any program here takes: nothing renews it, for no runtime goes on.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// A lease that is held to the end.
pub(crate) fn lease() -> Arc<Lease> {
    let store = MemoryStore::new(MemoryConfig::new()).expect("the defaults are valid");
    let config = LeaseClientConfig::new().ttl(TTL);
    let client = LeaseClient::new(config, store).expect("the config is valid");
    let name = LeaseName::new("bench").expect("short, and not empty");
    let request = LeaseRequest::new(name).by_hand();
    let lease = block_on(client.try_acquire(request)).expect("the store has no other");
    Arc::new(lease)
}
