//! PostgreSQL: the fence of what is kept there. Leases are kept by
//! [`PostgresStore`](crate::PostgresStore).

use steadfast_store::SqlError;

mod config;
mod fence;
pub(crate) mod store;
mod texts;

pub use self::fence::{FenceError, FenceTable, fence};

/// SQLSTATEs of what the server has rolled back for the sake of others.
const ROLLED_BACK: [&str; 2] = ["40001", "40P01"];

fn is_rolled_back(error: &SqlError) -> bool {
    error.state().is_some_and(|state| ROLLED_BACK.contains(&state))
}
