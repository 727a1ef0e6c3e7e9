//! What a `Slot` does, in SQL: one statement an operation.
//!
//! All time is `clock_timestamp()`: `now()` is when a transaction began. Where a statement waits
//! for a row, PostgreSQL looks at the row's newest version and asks its conditions again, of the
//! time that it is then; a claim keeps the time at which it came, from which its owner counts the
//! lease.
//!
//! A statement that the store runs by itself sets what holds for it alone, so that nothing depends
//! on a session, which a pooler may change between two statements. It waits for a row no longer
//! than `lock_wait`; and what it has done is on the disk when it answers, also where the database
//! is set up to lose the last moments: a claim that is forgotten is a second run. One in a caller's
//! transaction sets nothing.

use steadfast_store::{Statement, Table, settings};

use super::PostgresConfig;

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub(super) claim: Statement,
    pub(super) claim_in: Statement,
    pub(super) renew: Statement,
    pub(super) complete: Statement,
    pub(super) complete_in: Statement,
    pub(super) release: Statement,
    pub(super) abandon: Statement,
    pub(super) look: Statement,
    pub(super) forget: Statement,
    pub(super) purge: Statement,
    pub(super) census: Statement,
}

/// The last attempt that is counted.
const MOST_ATTEMPTS: u32 = u32::MAX;

impl Texts {
    pub(super) fn new(table: &Table, config: &PostgresConfig) -> Self {
        let table = &table.quoted();
        let alone = &settings(config.lock_wait);
        let with = &format!("WITH settings AS MATERIALIZED (SELECT {alone}) ");
        let statement = |text: String| match config.is_unnamed {
            true => Statement::unnamed(text),
            false => Statement::named(text),
        };
        Self {
            claim: statement(claim(table, &format!(", {alone}"))),
            claim_in: statement(claim(table, "")),
            renew: statement(format!("{with}{}", renew(table))),
            complete: statement(format!("{with}{}", complete(table))),
            complete_in: statement(complete_in(table)),
            release: statement(release(table, with)),
            abandon: statement(format!("{with}{}", abandon(table))),
            look: statement(look(table)),
            forget: statement(format!(
                "{with}DELETE FROM {table} AS r USING settings WHERE r.id = $1
                 RETURNING r.expires_at > clock_timestamp()"
            )),
            purge: statement(purge(table)),
            census: statement(census(table)),
        }
    }
}

fn micros(parameter: &str) -> String {
    format!("{parameter}::bigint * interval '1 microsecond'")
}

/// Looks first, so that a duplicate writes nothing and waits for nothing. No row: the key was not
/// to be had after all, because another has come between the look and the write. Claim again.
///
/// `$1` name, `$2` fingerprint, `$3` token, `$4` lease, `$5` lease and retention, `$6` 1: take
/// over. The row has the attempt if the key is the caller's; otherwise what stands in its way.
fn claim(table: &str, settings: &str) -> String {
    // Whether the key can be had at `now`, by the rules of `Slot::claim`. A count that no claim has
    // written is left to be looked at.
    let is_free = |now: &str| {
        format!(
            "(r.expires_at <= {now} OR r.fingerprint = $2
             AND r.attempt BETWEEN 1 AND {MOST_ATTEMPTS}
             AND (r.state = 0 AND r.token = $3
             OR r.state IN (0, 1) AND r.token <> $3
             AND $6::bigint = 1 AND r.lease_until <= {now}))"
        )
    };
    let (lease, all) = (micros("$4"), micros("$5"));
    let left = left("seen.lease_until", "seen.now");
    let (free_at_look, free_at_write) = (is_free("clock.now"), is_free("excluded.claimed_at"));
    format!(
        "WITH seen AS MATERIALIZED (
            SELECT r.*, clock.now, {free_at_look} AS is_free
            FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock, {table} AS r
            WHERE r.id = $1
        ), chance AS MATERIALIZED (
            SELECT clock_timestamp() AS now{settings}
            WHERE NOT EXISTS (SELECT FROM seen WHERE NOT seen.is_free)
        ), claimed AS (
            INSERT INTO {table} AS r (
                id, fingerprint, token, attempt, state, claimed_at, lease_until, expires_at
            )
            SELECT $1, $2, $3, 1, 0, chance.now, chance.now + {lease}, chance.now + {all}
            FROM chance
            ON CONFLICT (id) DO UPDATE SET
                fingerprint = excluded.fingerprint,
                token = excluded.token,
                state = 0,
                reply = NULL,
                attempt = CASE
                    WHEN r.expires_at <= excluded.claimed_at THEN 1
                    WHEN r.token = excluded.token THEN r.attempt
                    ELSE least(r.attempt + 1, {MOST_ATTEMPTS}) END,
                claimed_at = CASE
                    WHEN r.expires_at <= excluded.claimed_at THEN excluded.claimed_at
                    ELSE r.claimed_at END,
                lease_until = CASE
                    WHEN r.expires_at <= excluded.claimed_at THEN excluded.lease_until
                    WHEN r.token = excluded.token THEN greatest(r.lease_until, excluded.lease_until)
                    ELSE excluded.lease_until END,
                expires_at = CASE
                    WHEN r.expires_at <= excluded.claimed_at THEN excluded.expires_at
                    ELSE greatest(r.expires_at, excluded.expires_at) END
            WHERE {free_at_write}
            RETURNING r.attempt
        )
        SELECT claimed.attempt, NULL::bytea, NULL::bytea, NULL::smallint, NULL::bigint, NULL::bytea
        FROM claimed
        UNION ALL
        SELECT seen.attempt, seen.fingerprint, seen.token, seen.state, {left}, seen.reply
        FROM seen WHERE NOT seen.is_free"
    )
}

/// Microseconds from `now` until then.
fn left(until: &str, now: &str) -> String {
    format!("(date_part('epoch', {until} - {now}) * 1000000)::bigint")
}

/// `$1` name, `$2` token, `$3` lease, `$4` lease and retention.
fn renew(table: &str) -> String {
    let (lease, all) = (micros("$3"), micros("$4"));
    format!(
        "UPDATE {table} AS r SET
            lease_until = greatest(r.lease_until, clock_timestamp() + {lease}),
            expires_at = greatest(r.expires_at, clock_timestamp() + {all})
        FROM settings
        WHERE r.id = $1 AND r.token = $2 AND r.state = 0
        AND r.expires_at > clock_timestamp()
        RETURNING 1"
    )
}

/// `$1` name, `$2` token, `$3` reply, `$4` retention. A second completion leaves the first as it
/// is.
fn complete(table: &str) -> String {
    let retention = micros("$4");
    format!(
        "UPDATE {table} AS r SET
            state = 2,
            reply = CASE r.state WHEN 2 THEN r.reply ELSE $3 END,
            expires_at = CASE r.state
                WHEN 2 THEN r.expires_at ELSE clock_timestamp() + {retention} END
        FROM settings
        WHERE r.id = $1 AND r.token = $2 AND r.expires_at > clock_timestamp()
        RETURNING 1"
    )
}

/// The same in a transaction, where a second completion is refused: it may come with a second
/// effect, of an operation that has taken a commit for failed.
fn complete_in(table: &str) -> String {
    let retention = micros("$4");
    format!(
        "UPDATE {table} AS r SET
            state = 2, reply = $3, expires_at = clock_timestamp() + {retention}
        WHERE r.id = $1 AND r.token = $2 AND r.state IN (0, 1)
        AND r.expires_at > clock_timestamp()
        RETURNING 1"
    )
}

/// `$1` name, `$2` token. Locks the row before it decides: an owner's transaction may be under way,
/// and its end says what there is to release. No row: nothing to free.
fn release(table: &str, with_settings: &str) -> String {
    format!(
        "{with_settings}, held AS MATERIALIZED (
            SELECT r.attempt, r.token = $2 AND r.state < 2 AS is_own
            FROM {table} AS r, settings
            WHERE r.id = $1 AND r.expires_at > clock_timestamp()
            FOR UPDATE OF r
        ), freed AS (
            DELETE FROM {table} AS r USING held
            WHERE r.id = $1 AND held.is_own AND held.attempt = 1
        ), fallen_back AS (
            UPDATE {table} AS r SET
                state = 1, lease_until = least(r.lease_until, clock_timestamp())
            FROM held
            WHERE r.id = $1 AND held.is_own AND held.attempt > 1
        )
        SELECT held.is_own FROM held"
    )
}

/// `$1` name, `$2` token, `$3` retention.
fn abandon(table: &str) -> String {
    let retention = micros("$3");
    format!(
        "UPDATE {table} AS r SET
            state = 1,
            expires_at = CASE r.state
                WHEN 0 THEN greatest(r.expires_at, clock_timestamp() + {retention})
                ELSE r.expires_at END
        FROM settings
        WHERE r.id = $1 AND r.token = $2 AND r.state < 2
        AND r.expires_at > clock_timestamp()
        RETURNING 1"
    )
}

/// `$1` name. As a claim's answer, with the record's age and what is left of it.
fn look(table: &str) -> String {
    let (lease, age, rest) = (
        left("r.lease_until", "clock.now"),
        left("clock.now", "r.claimed_at"),
        left("r.expires_at", "clock.now"),
    );
    format!(
        "SELECT r.attempt, r.fingerprint, r.token, r.state, {lease}, r.reply, {age}, {rest}
        FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock, {table} AS r
        WHERE r.id = $1 AND r.expires_at > clock.now"
    )
}

/// `$1` how many at most. What another transaction holds is left for the next time, and what it has
/// claimed meanwhile has not expired any more. The time stands in a subquery, so that it is asked
/// once and the index is used; the rows are found again by their places and not by their names, for
/// which a planner that does not know `$1` would read the whole table.
fn purge(table: &str) -> String {
    format!(
        "WITH gone AS (
            DELETE FROM {table} AS r WHERE r.ctid = ANY (ARRAY (
                SELECT due.ctid FROM {table} AS due
                WHERE due.expires_at <= (SELECT clock_timestamp())
                ORDER BY due.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        )
        SELECT count(*) FROM gone"
    )
}

/// Counts by the index of what is not done.
fn census(table: &str) -> String {
    let age = left("clock.now", "r.claimed_at");
    let is_held = "r.state = 0 AND r.lease_until > clock.now";
    format!(
        "SELECT
            count(*) FILTER (WHERE {is_held}),
            count(*) FILTER (WHERE NOT ({is_held})),
            max({age}) FILTER (WHERE {is_held})
        FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock, {table} AS r
        WHERE r.state < 2 AND r.expires_at > clock.now"
    )
}
