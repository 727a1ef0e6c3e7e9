//! The kernel's own estimate of its clock's error.

// All but the last are pure, and tested without the feature too: so are the interleavings of the
// cache.
#[cfg_attr(
    not(any(target_os = "linux", test)),
    allow(dead_code, reason = "no other kernel gives an account")
)]
mod account;
mod cache;
mod estimate;
mod suspend;

#[cfg(feature = "kernel")]
mod bound;

#[cfg(feature = "kernel")]
pub use self::bound::KernelBound;
