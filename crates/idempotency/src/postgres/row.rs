//! A row of the table as a record.

use std::{num::NonZeroU32, time::Duration};

use steadfast_store::{Row, StoreError};

use crate::{ClaimToken, Fingerprint, Record, State};

/// The instant of the look: long enough after the beginning of time for the oldest record.
pub(super) const NOW: Duration = Duration::from_secs(1 << 40);

/// When a record began and will end, from the instant of the look in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) age: i64,
    pub(super) rest: i64,
}

/// The record in the columns `attempt`, `fingerprint`, `token`, `state`, what is left of the lease,
/// and `reply`, as if it were looked at at [`NOW`].
///
/// # Errors
/// [`Corrupt`](crate::StoreErrorKind::Corrupt) when the row is one that this store has not written.
pub(super) fn record(row: &Row, span: Span) -> Result<Record, StoreError> {
    let corrupt = |what| StoreError::corrupt().because(format!("a record has no right {what}"));
    let fingerprint = row.bytes(1)?[..].try_into().map_err(|_| corrupt("fingerprint"))?;
    let token = row.bytes(2)?[..].try_into().map_err(|_| corrupt("token"))?;
    let lease_until = since(row.int(4)?);
    let state = match row.int(3)? {
        0 => State::InFlight { lease_until },
        1 => State::Abandoned { lease_until },
        2 => State::Done { reply: row.bytes(5)? },
        _ => return Err(corrupt("state")),
    };
    Ok(Record {
        fingerprint: Fingerprint::from_bytes(fingerprint),
        token: ClaimToken::from_bytes(token),
        attempt: attempt(row)?,
        claimed_at: since(span.age.saturating_neg()),
        expires_at: since(span.rest),
        state,
    })
}

/// The count in the first column.
///
/// # Errors
/// [`Corrupt`](crate::StoreErrorKind::Corrupt) when it is no count.
pub(super) fn attempt(row: &Row) -> Result<NonZeroU32, StoreError> {
    let attempt = u32::try_from(row.int(0)?).ok().and_then(NonZeroU32::new);
    attempt.ok_or_else(|| StoreError::corrupt().because("a record has no right attempt"))
}

/// So many microseconds from [`NOW`].
fn since(micros: i64) -> Duration {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { NOW.saturating_sub(distance) } else { NOW.saturating_add(distance) }
}
