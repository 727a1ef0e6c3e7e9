//! Statements on each driver, on a real PostgreSQL.

use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Pool;
use steadfast_core::Executed;
use steadfast_store::{
    Cell, Row, SharedClient, Sql, Statement, StoreError, StoreErrorKind, Value, connect,
};
use steadfast_testkit::servers;

mod panic;
mod tls;

/// How a statement is made of its text.
type Way = fn(&str) -> Statement;
const WAYS: [Way; 2] = [|text| Statement::named(text), |text| Statement::unnamed(text)];

/// A test for each driver and each way of its, prepared and unnamed.
macro_rules! on_each_way {
    ($test:ident) => {
        mod $test {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn on_each_way() {
                for named in WAYS {
                    super::$test(pool().await, named).await;
                    super::$test(pool().await.get().await.unwrap(), named).await;
                    let mut object = pool().await.get().await.unwrap();
                    super::$test(object.transaction().await.unwrap(), named).await;
                    super::$test(shared().await, named).await;
                    let mut client = client().await;
                    super::$test(client.transaction().await.unwrap(), named).await;
                    super::$test(&mut client.transaction().await.unwrap(), named).await;
                    super::$test(sqlx_pool().await, named).await;
                    super::$test(sqlx_pool().await.begin().await.unwrap(), named).await;
                    let mut connection = sqlx_pool().await.acquire().await.unwrap();
                    super::$test(&mut *connection, named).await;
                }
            }
        }
    };
}

on_each_way!(values_come_back_as_they_went);
on_each_way!(the_first_row_is_the_answer);
on_each_way!(what_no_cell_has_is_a_misconfigured_store);

async fn values_come_back_as_they_went<S: Sql>(mut db: S, named: Way) {
    let every: Vec<u8> = (0..=255).collect();
    let text = named("SELECT $1::bytea, $2::bigint, $3::text, $4::text, $5::bigint, $6::bytea");
    for (bytes, int, word) in
        [(&b""[..], 0, ""), (&every, i64::MIN, "héllo 'quoted' \\ $1"), (b"\0", i64::MAX, "x")]
    {
        let values = [
            Value::Bytes(bytes),
            Value::Int(int),
            Value::Text(word),
            Value::Null,
            Value::Null,
            Value::Null,
        ];
        // Twice: the second time it is prepared.
        for _ in 0..2 {
            let row = db.run_statement(&text, &values).await.unwrap();
            let expected = [
                Cell::Bytes(Bytes::copy_from_slice(bytes)),
                Cell::Int(int),
                Cell::Text(word.into()),
                Cell::Null,
                Cell::Null,
                Cell::Null,
            ];
            assert_eq!(row, Some(Row::new(expected)));
        }
    }
    let text = named("SELECT true, false, 1::smallint, -2::integer, 'a'::varchar, 'b'::name");
    let row = db.run_statement(&text, &[]).await.unwrap();
    let words = ["a", "b"].map(|word| Cell::Text(word.into()));
    assert_eq!(row, Some(Row::new([1, 0, 1, -2].map(Cell::Int).into_iter().chain(words))));
}

async fn the_first_row_is_the_answer<S: Sql>(mut db: S, named: Way) {
    let many = named("SELECT n FROM generate_series(5, 5000) AS n");
    let row = db.run_statement(&many, &[]).await.unwrap();
    assert_eq!(row, Some(Row::new([Cell::Int(5)])));
    let none = named("SELECT 1 WHERE $1::bigint = 2");
    assert_eq!(db.run_statement(&none, &[Value::Int(1)]).await.unwrap(), None);
    let nothing = named("DO $$ BEGIN PERFORM 1; END $$");
    assert_eq!(db.run_statement(&nothing, &[]).await.unwrap(), None);
}

async fn what_no_cell_has_is_a_misconfigured_store<S: Sql>(mut db: S, named: Way) {
    let float = named("SELECT 1, 0.5::double precision");
    let error = db.run_statement(&float, &[]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    // And the next is answered.
    let one = named("SELECT 1");
    assert!(db.run_statement(&one, &[]).await.unwrap().is_some());
}

/// What a failed statement has rolled back is its own transaction, or its caller's.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_reports_is_an_error_by_its_sqlstate_on_each_driver() {
    async fn fails<S: Sql>(mut db: S, text: &str, named: Way) {
        let divided = named(text);
        for _ in 0..2 {
            let error = db.run_statement(&divided, &[Value::Int(0)]).await.unwrap_err();
            let error = match error.state() {
                // Of a transaction that has failed.
                Some("25P02") => continue,
                Some("22012") => StoreError::from(error),
                other => panic!("{other:?}: {error:?}"),
            };
            assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Corrupt, Executed::No));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "SQLSTATE 22012: division by zero");
        }
    }
    let text = "SELECT 1 / $1::bigint";
    for named in WAYS {
        fails(pool().await, text, named).await;
        fails(shared().await, text, named).await;
        fails(sqlx_pool().await, text, named).await;
        fails(client().await.transaction().await.unwrap(), text, named).await;
        fails(sqlx_pool().await.begin().await.unwrap(), text, named).await;
    }
    let mut shared = shared().await;
    let missing = Statement::named("SELECT * FROM nowhere");
    let error = shared.run_statement(&missing, &[]).await.unwrap_err();
    assert_eq!(error.state(), Some("42P01"), "as it is prepared");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_has_not_committed_is_not_there() {
    let mut pool = pool().await;
    let run = async |db: &mut Pool, text: &str| {
        let row = db.run_statement(&Statement::unnamed(text), &[]).await.unwrap();
        row.map(|row| row.int(0).unwrap())
    };
    run(&mut pool, "CREATE TABLE rows (n bigint)").await;
    let insert = Statement::named("INSERT INTO rows VALUES (1)");
    let mut object = pool.get().await.unwrap();
    let mut tx = object.transaction().await.unwrap();
    tx.run_statement(&insert, &[]).await.unwrap();
    assert_eq!(run(&mut pool, "SELECT count(*) FROM rows").await, Some(0));
    tx.commit().await.unwrap();
    assert_eq!(run(&mut pool, "SELECT count(*) FROM rows").await, Some(1));
    let mut tx = sqlx_pool().await.begin().await.unwrap();
    tx.run_statement(&insert, &[]).await.unwrap();
    drop(tx);
    assert_eq!(run(&mut pool, "SELECT count(*) FROM rows").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_share_a_client_prepare_a_text_once_or_twice_and_all_are_answered() {
    let shared = shared().await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let mut client = shared.clone();
            tokio::spawn(async move {
                let text = Statement::named(format!("SELECT $1::bigint + {}", n % 4));
                let row = client.run_statement(&text, &[Value::Int(n)]).await.unwrap().unwrap();
                assert_eq!(row.int(0).unwrap(), n + n % 4);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // And a program that makes up texts does not fill the server's memory.
    let mut client = shared.clone();
    for n in 0..400 {
        let text = Statement::named(format!("SELECT {n}"));
        assert!(client.run_statement(&text, &[]).await.unwrap().is_some());
    }
    let count = Statement::unnamed("SELECT count(*) FROM pg_prepared_statements");
    let row = client.run_statement(&count, &[]).await.unwrap().unwrap();
    assert!(row.int(0).unwrap() <= 256);
    assert_eq!(format!("{client:?}"), "SharedClient { is_closed: false, .. }");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_nothing_is_executed() {
    let one = Statement::named("SELECT 1");
    let limit = Duration::from_millis(50);
    let is_away = |error: StoreError| {
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::No));
    };

    let has_timed_out = |error: StoreError| {
        assert_eq!((error.kind(), error.executed()), (StoreErrorKind::TimedOut, Executed::No));
    };

    let pool = pool().await;
    pool.resize(1);
    let held = pool.get().await.unwrap();
    let patience = deadpool_postgres::Timeouts { wait: Some(limit), ..pool.timeouts() };
    let busy = deadpool_postgres::Pool::builder(manager()).max_size(1).timeouts(patience);
    let mut busy = busy.runtime(deadpool_postgres::Runtime::Tokio1).build().unwrap();
    let taken = busy.get().await.unwrap();
    has_timed_out(busy.run_statement(&one, &[]).await.unwrap_err().into());
    drop(taken);
    assert!(busy.run_statement(&one, &[]).await.unwrap().is_some());
    pool.close();
    is_away(pool.clone().run_statement(&one, &[]).await.unwrap_err().into());
    drop(held);

    let options = sqlx::postgres::PgPoolOptions::new().max_connections(1).acquire_timeout(limit);
    for text in [one.clone(), Statement::unnamed("SELECT 1")] {
        let pool = options.clone().connect(&servers::postgres().url()).await.unwrap();
        let held = pool.acquire().await.unwrap();
        has_timed_out(pool.clone().run_statement(&text, &[]).await.unwrap_err().into());
        drop(held);
        pool.close().await;
        is_away(pool.clone().run_statement(&text, &[]).await.unwrap_err().into());
    }

    let mut object = connect(&servers::postgres().url()).await.unwrap().get().await.unwrap();
    let end = Statement::unnamed("SELECT pg_terminate_backend(pg_backend_pid())");
    let error = object.run_statement(&end, &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Unavailable, Executed::Maybe));
    while !object.is_closed() {
        tokio::task::yield_now().await;
    }
    is_away(object.run_statement(&one, &[]).await.unwrap_err().into());
}

async fn pool() -> Pool {
    connect(&servers::postgres().url()).await.unwrap()
}

fn manager() -> deadpool_postgres::Manager {
    let config = servers::postgres().url().parse().unwrap();
    deadpool_postgres::Manager::new(config, tokio_postgres::NoTls)
}

async fn client() -> tokio_postgres::Client {
    let url = servers::postgres().url();
    let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

async fn shared() -> SharedClient {
    SharedClient::new(client().await)
}

async fn sqlx_pool() -> sqlx::PgPool {
    sqlx::PgPool::connect(&servers::postgres().url()).await.unwrap()
}
