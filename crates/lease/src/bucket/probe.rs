//! Whether a bucket does what leases stand on.

use object_store::{UpdateVersion, path::Path};
use rand::RngExt;
use steadfast_core::Executed;

use super::objects::{Objects, Written};
use crate::StoreError;

/// The object that is written to find out. Any number of processes may do so at once, and it stays.
const PROBE: &str = "conditional-writes";
const LONGEST: usize = 64;

/// Makes sure that the store says of nothing that it is not there, and compares before it writes:
/// some that speak the protocol of S3 pass over the condition, and write.
pub(super) async fn check(objects: &Objects) -> Result<(), StoreError> {
    let absent = objects.beside(&format!("absent-{:032x}", rand::rng().random::<u128>()));
    // Where listing is not allowed, S3 denies what is not there.
    if objects.read(&absent, LONGEST).await?.is_some() {
        return Err(StoreError::misconfigured().because("the bucket finds what was never written"));
    }
    let probe = objects.beside(PROBE);
    // Made by this process, by another, or there already: but not twice by this one.
    let made = twice(objects, &probe, None).await?;
    let found = objects.read(&probe, LONGEST).await?.ok_or_else(|| match made {
        // Another process is about to.
        0 => StoreError::unavailable(Executed::No),
        _ => StoreError::misconfigured().because("the bucket does not find what is there"),
    })?;
    // Replaced by this process, or by another: after that this version is there no more.
    twice(objects, &probe, Some(found.version)).await?;
    Ok(())
}

/// Writes on the same condition twice, and says how often that was done: twice it cannot be.
async fn twice(
    objects: &Objects,
    path: &Path,
    replaced: Option<UpdateVersion>,
) -> Result<u32, StoreError> {
    let mut done = 0;
    for _ in 0..2 {
        // Another each time, for an ETag may be a hash.
        let content = format!("{:032x}\n", rand::rng().random::<u128>()).into_bytes();
        let written = objects.write(path, replaced.clone(), content).await?;
        done += u32::from(matches!(written, Written::Done(_)));
    }
    if done > 1 {
        let why = "the bucket writes whatever the condition is";
        return Err(StoreError::misconfigured().because(why));
    }
    Ok(done)
}
