//! Leases: what it takes to acquire and to renew one, beside the same work written by hand with the
//! same driver: as many round trips, and as much of it on the disk.
//!
//! Both sides are on one thread. Ours is what a program calls, [`LeaseClient`] and [`Lease`], and
//! once more the store under it.

mod etcd;
mod file;
mod postgres;
mod redis;

use std::{sync::Arc, time::Duration};

use steadfast_lease::{
    AcquireReply, AcquireTerms, HolderName, Lease, LeaseClient, LeaseClientConfig, LeaseName,
    LeaseRequest, Nonce, RenewReply, Store,
};

use crate::{BoxError, options::Options, pair::Pair};

/// What an acquisition and a renewal may cost of the bare ones.
const MOST: f64 = 1.1;
const TTL: Duration = Duration::from_secs(60);
const HOLDER: &str = "10.0.0.7:8080";

/// One lease of one name, as a program would write it for itself: nothing is asked of what the
/// server answers, but whether it is granted.
trait Bare {
    /// Of what is not held.
    async fn acquire(&self, nonce: Nonce) -> Result<(), BoxError>;
    /// Of what is held under this nonce.
    async fn renew(&self, nonce: Nonce) -> Result<(), BoxError>;
    async fn release(&self, nonce: Nonce) -> Result<(), BoxError>;
    /// Reads who holds it: the least that an acquisition in vain can do.
    async fn look(&self) -> Result<(), BoxError>;
}

pub(crate) async fn measure(options: &Options) -> Result<(), BoxError> {
    if options.takes("file") {
        file::measure(options).await?;
    }
    if options.takes("redis") {
        redis::measure(options).await?;
    }
    if options.takes("postgres") {
        postgres::measure(options).await?;
    }
    if options.takes("etcd") {
        etcd::measure(options).await?;
    }
    Ok(())
}

async fn compare(
    what: &str,
    store: impl Store + Clone,
    bare: &impl Bare,
    (rounds, ttl_of): (usize, impl Fn(u64) -> Duration),
) -> Result<(), BoxError> {
    let bar = Some(MOST);
    let mut acquire = Pair::new("LeaseClient::try_acquire / acquire", bar);
    let mut renew = Pair::new("Lease::renew / renew", bar);
    let mut release = Pair::new("Lease::release / release", None);
    let mut refused = Pair::new("try_acquire of what is held / read", None);
    let mut store_acquires = Pair::new("the store alone: acquire", None);
    let mut store_renews = Pair::new("the store alone: renew", None);
    let (client, other) = (client(store.clone())?, client(store.clone())?);
    let (name, unnamed) = (LeaseName::new("bench/lease")?, LeaseName::new("bench/store")?);
    for round in 0..rounds as u64 {
        let ttl = ttl_of(round);
        let request = || LeaseRequest::new(name.clone()).by_hand().ttl(ttl);
        let nonce = Nonce::generate(&mut rand::rng());
        let mut held: Option<Lease> = None;
        let acquired = async {
            held = Some(client.try_acquire(request()).await?);
            Ok::<_, BoxError>(())
        };
        acquire.turn(bare.acquire(nonce), acquired).await?;
        let lease = held.ok_or("not granted")?;
        let renewed = async { Ok::<_, BoxError>(lease.renew().await??) };
        renew.turn(bare.renew(nonce), renewed).await?;
        let in_vain = async {
            match other.try_acquire(request()).await {
                Err(steadfast_lease::AcquireError::Held { .. }) => Ok(()),
                _ => Err(BoxError::from("granted twice")),
            }
        };
        refused.turn(bare.look(), in_vain).await?;
        release.turn(bare.release(nonce), lease.release()).await?;

        let terms = terms(nonce, ttl)?;
        store_acquires.turn(bare.acquire(nonce), granted(&store, &unnamed, &terms)).await?;
        store_renews.turn(bare.renew(nonce), renewed_by(&store, &unnamed, nonce)).await?;
        bare.release(nonce).await?;
        store.release(&unnamed, nonce).await?;
    }
    println!("{what}");
    for pair in [acquire, renew, release, refused, store_acquires, store_renews] {
        println!("  {pair}");
    }
    Ok(())
}

const fn always(_: u64) -> Duration {
    TTL
}

fn client(store: impl Store) -> Result<Arc<LeaseClient>, BoxError> {
    let config = LeaseClientConfig::new().ttl(TTL).holder(HolderName::new(HOLDER)?);
    Ok(Arc::new(LeaseClient::new(config, store)?))
}

fn terms(nonce: Nonce, ttl: Duration) -> Result<AcquireTerms, BoxError> {
    Ok(AcquireTerms { nonce, holder: HolderName::new(HOLDER)?, ttl, floor: None })
}

async fn granted(
    store: &impl Store,
    name: &LeaseName,
    terms: &AcquireTerms,
) -> Result<(), BoxError> {
    match store.acquire(name, terms).await? {
        AcquireReply::Granted { .. } => Ok(()),
        _ => Err("it is held".into()),
    }
}

async fn renewed_by(store: &impl Store, name: &LeaseName, nonce: Nonce) -> Result<(), BoxError> {
    match store.renew(name, nonce).await? {
        RenewReply::Renewed { .. } => Ok(()),
        _ => Err("it is not held".into()),
    }
}
