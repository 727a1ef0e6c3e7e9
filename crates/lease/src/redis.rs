//! Redis: the fence of what is kept there. Leases are kept by [`RedisStore`](crate::RedisStore).

mod answer;
mod config;
mod fence;
pub(crate) mod store;

pub use self::fence::{FENCE, fence_args, fence_script, fenced};
