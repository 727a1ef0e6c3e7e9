//! What an error of SQLite means.

use rusqlite::{Error, ErrorCode};
use steadfast_core::Executed;

use crate::StoreError;

/// The error of what is rolled back with it: of anything but a commit. It names tables, columns and
/// files, and shows no values.
pub(super) fn of(error: Error) -> StoreError {
    let kind = match &error {
        Error::SqliteFailure(failure, _) => of_code(failure.code),
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..) => StoreError::corrupt(),
        _ => StoreError::misconfigured(),
    };
    kind.executed_as(Executed::No).because(error)
}

fn of_code(code: ErrorCode) -> StoreError {
    match code {
        // Another process, or another transaction of this one, writes for longer than `lock_wait`.
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::timed_out(),
        ErrorCode::DiskFull | ErrorCode::TooBig => StoreError::full(),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::corrupt(),
        ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted
        | ErrorCode::FileLockingProtocolFailed => StoreError::unavailable(Executed::No),
        // It cannot be opened or written, or has other tables.
        _ => StoreError::misconfigured(),
    }
}
