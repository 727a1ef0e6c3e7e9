#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
#[cfg(feature = "tokio")]
mod reap;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "tokio")]
mod within;

pub use crate::error::{StoreError, StoreErrorKind};
#[cfg(feature = "tokio-postgres")]
pub use crate::sql::SharedClient;
#[cfg(feature = "sql")]
pub use crate::sql::{
    Cell, InTransaction, Row, Sql, SqlError, Statement, Table, Value, run_repeatedly, settings,
};
#[cfg(feature = "deadpool")]
pub use crate::sql::{connect, connect_with};
#[cfg(feature = "tokio")]
pub use crate::{reap::reap, within::within};
