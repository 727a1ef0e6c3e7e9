//! PostgreSQL: the fence of what is kept there. Leases are kept by
//! [`PostgresStore`](crate::PostgresStore).

mod config;
mod fence;
#[cfg(feature = "tokio-postgres")]
mod listener;
pub(crate) mod store;
mod texts;

pub use self::fence::{FenceError, FenceTable, fence};
