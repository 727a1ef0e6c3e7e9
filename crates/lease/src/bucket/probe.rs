//! Whether a bucket does what leases stand on.

use rand::RngExt;

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
    // Made by this process, or there already; so this cannot succeed twice.
    objects.write(&probe, None, content()).await?;
    if let Written::Done(_) = objects.write(&probe, None, content()).await? {
        return Err(ignores_conditions());
    }
    let found = objects.read(&probe, LONGEST).await?.ok_or_else(|| {
        StoreError::misconfigured().because("the bucket does not find what is there")
    })?;
    // Replaced by this process, or by another: after that this version is there no more.
    objects.write(&probe, Some(found.version.clone()), content()).await?;
    if let Written::Done(_) = objects.write(&probe, Some(found.version), content()).await? {
        return Err(ignores_conditions());
    }
    Ok(())
}

fn ignores_conditions() -> StoreError {
    StoreError::misconfigured().because("the bucket writes whatever the condition is")
}

/// Another each time, for an ETag may be a hash.
fn content() -> Vec<u8> {
    format!("{:032x}\n", rand::rng().random::<u128>()).into_bytes()
}
