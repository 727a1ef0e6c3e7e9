//! A store's clock that is set: what it does to leases, and that it makes no second owner.
//!
//! No test may set the clock of its machine. All times of all records are moved the other way,
//! which is the same to a store.

use std::time::Duration;

use steadfast_idempotency::{Change, ClaimReply, ClaimTerms, Store, ViewState};

use crate::rivals::{some_id, taker, terms};

const HOUR: i64 = 3600;
const LEASE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// `set` sets the clock forward by so many seconds.
async fn all_steps<S: Store>(store: S, set: impl AsyncFn(i64)) {
    let claim = async |id: &_, terms: &_| store.claim(id, terms).await.unwrap();
    let granted = |attempt: u32| ClaimReply::Claimed { attempt: attempt.try_into().unwrap() };
    let (owner, taker) = (terms(), taker());
    let owner = ClaimTerms { lease: LEASE, retention: DAY, ..owner };
    let taker = ClaimTerms { lease: LEASE, retention: DAY, ..taker };

    // Forward: the lease ends early. A duplicate is refused, or takes over and is told that it is
    // not the first; and whatever the late owner says changes nothing.
    let id = some_id();
    assert_eq!(claim(&id, &owner).await, granted(1));
    set(HOUR).await;
    assert_eq!(claim(&id, &terms()).await, ClaimReply::Abandoned);
    assert_eq!(claim(&id, &taker).await, granted(2));
    let retention = owner.retention;
    let late = [
        store.renew(&id, owner.token, LEASE, retention).await,
        store.abandon(&id, owner.token, retention).await,
        store.release(&id, owner.token).await,
        store.complete(&id, owner.token, "late".into(), retention).await,
    ];
    assert_eq!(late.map(Result::unwrap), [Change::Lost; 4]);
    let completed = store.complete(&id, taker.token, "ok".into(), DAY).await.unwrap();
    assert_eq!(completed, Change::Applied);
    assert_eq!(claim(&id, &terms()).await, ClaimReply::Done { reply: "ok".into() });
    // By more than the retention: the reply is gone, and a late retry runs.
    set(25 * HOUR).await;
    assert_eq!(claim(&id, &terms()).await, granted(1));

    // Forward where none takes over: the owner is only late.
    let id = some_id();
    assert_eq!(claim(&id, &owner).await, granted(1));
    set(HOUR).await;
    assert_eq!(store.renew(&id, owner.token, LEASE, retention).await.unwrap(), Change::Applied);
    assert!(matches!(claim(&id, &taker).await, ClaimReply::InFlight { .. }));

    // Back: the lease of an owner that has died ends late by as much, and no earlier.
    let id = some_id();
    assert_eq!(claim(&id, &owner).await, granted(1));
    set(-HOUR).await;
    match claim(&id, &taker).await {
        ClaimReply::InFlight { left } => assert!(left > Duration::from_secs(3600), "{left:?}"),
        other => panic!("{other:?}"),
    }
    let view = store.look(&id).await.unwrap().unwrap();
    assert!(matches!(view.state, ViewState::InFlight { .. }) && view.age < LEASE, "{view:?}");
    let completed = store.complete(&id, owner.token, "ok".into(), DAY).await.unwrap();
    assert_eq!(completed, Change::Applied);
    assert_eq!(claim(&id, &taker).await, ClaimReply::Done { reply: "ok".into() });
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_clock_that_is_set_moves_leases_and_makes_no_second_owner_over_sqlite() {
    let directory = crate::sqlite::Directory::new();
    let config = steadfast_idempotency::SqliteConfig::new();
    let store = crate::sqlite::open(config, &directory.file()).await;
    let set = async |seconds: i64| {
        let beside = rusqlite::Connection::open(directory.file()).unwrap();
        beside.busy_timeout(LEASE).unwrap();
        // A record that is done has the end of no lease.
        let text = "UPDATE idempotency_records SET claimed_at = claimed_at - ?1, \
                    lease_until = max(lease_until - ?1, 0), expires_at = expires_at - ?1";
        assert!(beside.execute(text, [seconds * 1_000_000]).unwrap() > 0);
    };
    all_steps(store, set).await;
}

#[cfg(all(feature = "redis", unix))]
#[tokio::test]
async fn a_clock_that_is_set_moves_leases_and_makes_no_second_owner_over_redis() {
    // Alone on a server.
    let server = steadfast_testkit::servers::RedisServer::start(&[]);
    let store = crate::redis::connect(&server).await;
    let text = "local by = ARGV[1] * 1000000
        for _, key in ipairs(redis.call('KEYS', '*')) do
            local pattern = '^(1%a %d+) (%d+) (%d+) (%d+)$'
            local start, first, lease, ends = redis.call('HGET', key, 'h'):match(pattern)
            -- A record that is done has the end of no lease.
            lease = math.max(lease - by, 0)
            local head = '%s %.0f %.0f %.0f'
            redis.call('HSET', key, 'h', head:format(start, first - by, lease, ends - by))
            redis.call('PEXPIREAT', key, string.format('%.0f', (ends - by) / 1000))
        end";
    let set = async |seconds: i64| {
        let seconds = seconds.to_string();
        crate::redis::say::<()>(&server, &["EVAL", text, "0", &seconds]).await;
    };
    all_steps(store, set).await;
}

#[cfg(all(feature = "deadpool", feature = "sqlx"))]
#[tokio::test]
async fn a_clock_that_is_set_moves_leases_and_makes_no_second_owner_over_postgresql() {
    use steadfast_store::{Sql, Statement, Value};

    // Alone in a table.
    let pool = crate::postgres::pool().await;
    let config = steadfast_idempotency::PostgresConfig::new().table("clock_steps");
    let store = crate::postgres::store(config, pool.clone()).await;
    let text = "WITH moved AS (UPDATE clock_steps SET
            claimed_at = claimed_at - $1::bigint * interval '1 second',
            lease_until = lease_until - $1::bigint * interval '1 second',
            expires_at = expires_at - $1::bigint * interval '1 second' RETURNING 1)
        SELECT count(*) FROM moved";
    let set = async |seconds: i64| {
        let (mut db, moved) = (pool.clone(), Statement::named(text));
        let row = db.run_statement(&moved, &[Value::Int(seconds)]).await.unwrap().unwrap();
        assert!(row.int(0).unwrap() > 0);
    };
    all_steps(store, set).await;
}
