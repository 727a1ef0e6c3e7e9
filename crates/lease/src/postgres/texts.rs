//! What a `Slot` does, in SQL: one statement an operation.
//!
//! All time is `clock_timestamp()`: `now()` is when a transaction began. Where a statement waits
//! for a row, PostgreSQL looks at the row's newest version and asks its conditions again, of the
//! time that it is then.
//!
//! A token is made of the clock and the last one. It is not drawn from a sequence, which a losing
//! statement would draw from too, before it has the row.
//!
//! Each statement sets what holds for it alone, so that nothing depends on a session, which a
//! pooler may change between two statements: how long it waits for a row, behind which other leases
//! wait on the same connection; and that it is on the disk when it answers, also where the database
//! is set up to lose the last moments.

use steadfast_store::{Statement, Table, settings};

use super::config::PostgresConfig;

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub(super) acquire: Statement,
    pub(super) renew: Statement,
    pub(super) release: Statement,
    pub(super) observe: Statement,
    pub(super) purge: Statement,
}

impl Texts {
    pub(super) fn new(table: &Table, config: &PostgresConfig) -> Self {
        let told = &config.is_notifying.then(|| channel(table));
        let table = &table.quoted();
        let alone = &settings(config.lock_wait);
        let with = &format!("WITH settings AS MATERIALIZED (SELECT {alone})");
        let statement = |text: String| match config.is_unnamed {
            true => Statement::unnamed(text),
            false => Statement::named(text),
        };
        Self {
            acquire: statement(acquire(table, alone)),
            renew: statement(renew(table, with)),
            release: statement(release(table, with, told)),
            observe: statement(observe(table)),
            purge: statement(purge(table)),
        }
    }
}

/// Where releases of this table are told: a channel of the database, of up to 58 bytes.
pub(super) fn channel(table: &Table) -> String {
    format!("lease:{}", table.quoted().replace('"', ""))
}

fn micros(parameter: &str) -> String {
    format!("{parameter}::bigint * interval '1 microsecond'")
}

/// Microseconds from `now` until then.
fn left(until: &str, now: &str) -> String {
    format!("(extract(epoch FROM {until} - {now}) * 1000000)::bigint")
}

/// Looks first, so that an acquisition in vain writes nothing and waits for nothing. No row:
/// another has come between the look and the write. Ask again.
///
/// `$1` name, `$2` nonce, `$3` holder, `$4` TTL, `$5` the least token above the floor. The row has
/// the token if the lease is granted; otherwise what is left of it, and its holder.
///
/// What decides and what is set then may be a microsecond apart. A grant that ends between is
/// renewed as the same, or given out anew under a token of its own: both are true of one of the
/// moments.
fn acquire(table: &str, settings: &str) -> String {
    let (ttl, left) = (micros("$4"), left("seen.expires_at", "seen.now"));
    let is_own = "r.nonce = excluded.nonce AND r.expires_at > clock_timestamp()";
    format!(
        "WITH seen AS MATERIALIZED (
            SELECT r.*, clock.now,
                r.nonce IS NULL OR r.nonce = $2 OR r.expires_at <= clock.now AS is_free
            FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock, {table} AS r
            WHERE r.name = $1
        ), chance AS MATERIALIZED (
            SELECT clock_timestamp() AS now, {settings}
            WHERE NOT EXISTS (SELECT FROM seen WHERE NOT seen.is_free)
        ), granted AS (
            INSERT INTO {table} AS r (name, token, nonce, holder, ttl, expires_at)
            SELECT $1, greatest($5::bigint, (extract(epoch FROM chance.now) * 1000000)::bigint),
                $2, $3, $4::bigint, chance.now + {ttl}
            FROM chance
            ON CONFLICT (name) DO UPDATE SET
                token = CASE WHEN {is_own} THEN r.token
                    ELSE greatest(r.token + 1, excluded.token) END,
                nonce = excluded.nonce,
                holder = excluded.holder,
                ttl = excluded.ttl,
                expires_at = CASE WHEN {is_own} THEN greatest(r.expires_at, excluded.expires_at)
                    ELSE excluded.expires_at END
            WHERE r.nonce IS NULL OR r.nonce = excluded.nonce OR r.expires_at <= clock_timestamp()
            RETURNING r.token, r.ttl
        )
        SELECT granted.token, granted.ttl, NULL::bytea FROM granted
        UNION ALL
        SELECT NULL::bigint, {left}, seen.holder FROM seen WHERE NOT seen.is_free"
    )
}

/// `$1` name, `$2` nonce. The row has the TTL if the lease is renewed, and null if another holds
/// it; there is none where it is not held.
fn renew(table: &str, with: &str) -> String {
    let ttl = micros("r.ttl");
    format!(
        "{with}, renewed AS (
            UPDATE {table} AS r SET
                expires_at = greatest(r.expires_at, clock_timestamp() + {ttl})
            FROM settings
            WHERE r.name = $1 AND r.nonce = $2 AND r.expires_at > clock_timestamp()
            RETURNING r.ttl
        )
        SELECT renewed.ttl FROM renewed
        UNION ALL
        SELECT NULL::bigint FROM {table} AS r
        WHERE r.name = $1 AND r.nonce <> $2 AND r.expires_at > clock_timestamp()"
    )
}

/// `$1` name, `$2` nonce. The row stays, for the sake of its token. What is `told` is told when the
/// release is committed, and not if it is rolled back.
fn release(table: &str, with: &str, told: &Option<String>) -> String {
    let released = format!(
        "UPDATE {table} AS r SET nonce = NULL, expires_at = clock_timestamp()
        FROM settings
        WHERE r.name = $1 AND r.nonce = $2 AND r.expires_at > clock_timestamp()"
    );
    match told {
        None => format!("{with} {released} RETURNING 1"),
        // A void is not null; and no driver reads one.
        Some(channel) => format!(
            "{with}, released AS ({released} RETURNING r.name)
            SELECT 1 FROM released
            WHERE pg_notify('{channel}', encode(released.name, 'hex')) IS NOT NULL"
        ),
    }
}

/// `$1` name. The token; and what is left of the lease, and its holder, where it is held.
fn observe(table: &str) -> String {
    let left = left("r.expires_at", "clock.now");
    format!(
        "SELECT r.token, CASE WHEN r.nonce IS NOT NULL THEN {left} END, r.holder
        FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock, {table} AS r
        WHERE r.name = $1"
    )
}

/// `$1` the retention, `$2` how many at most. What another transaction holds is left for the next
/// time, and what it has granted meanwhile is not idle any more.
fn purge(table: &str) -> String {
    let retention = micros("$1");
    format!(
        "WITH gone AS (
            DELETE FROM {table} AS r WHERE r.ctid = ANY (ARRAY (
                SELECT due.ctid FROM {table} AS due
                WHERE due.expires_at <= (SELECT clock_timestamp() - {retention})
                ORDER BY due.expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        )
        SELECT count(*) FROM gone"
    )
}
