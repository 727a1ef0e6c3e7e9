//! The kernel's own estimate of its clock's error.

// Both are pure, and tested without the feature too: so are the interleavings of the cache.
#[cfg(any(target_os = "linux", test))]
mod account;
#[cfg(feature = "kernel")]
mod bound;
mod cache;

#[cfg(feature = "kernel")]
pub use self::bound::KernelBound;
