//! A server that dies of an error, and says so: a socket that speaks as much of the protocol.

use std::error::Error;

use steadfast_core::Executed;
use steadfast_store::{
    SharedClient, Sql, SqlError, Statement, StoreError, StoreErrorKind, connect,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The URL of a server that lets everyone in, and dies at `deadly`: `E` is the execution of a
/// prepared statement, and `COMMIT` the query.
async fn server(deadly: &'static str, severity: &'static str, state: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move { serve(socket, deadly, severity, state).await });
        }
    });
    format!("postgres://app@127.0.0.1:{port}/shop?sslmode=disable")
}

async fn serve(
    mut socket: TcpStream,
    deadly: &str,
    severity: &str,
    state: &str,
) -> std::io::Result<()> {
    let length = socket.read_u32().await?;
    socket.read_exact(&mut vec![0; length as usize - 4]).await?;
    let ready = message(b'Z', b"I");
    socket.write_all(&[&message(b'R', &[0; 4])[..], &ready].concat()).await?;
    let fields = format!("S{severity}\0V{severity}\0C{state}\0Mit dies\0\0");
    let death = message(b'E', fields.as_bytes());
    loop {
        let kind = socket.read_u8().await?;
        let length = socket.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        socket.read_exact(&mut body).await?;
        let query = String::from_utf8_lossy(&body);
        let done = message(b'C', b"SELECT 0\0");
        let answer = match kind {
            b'E' if deadly == "E" => return die(socket, &death).await,
            b'Q' if query.starts_with(deadly) => return die(socket, &death).await,
            b'Q' => {
                [&done[..], &message(b'Z', if query.starts_with("BEGIN") { b"T" } else { b"I" })]
                    .concat()
            }
            b'P' => message(b'1', b""),
            b'D' if body[0] == b'S' => [message(b't', &[0, 0]), message(b'n', b"")].concat(),
            b'D' => message(b'n', b""),
            b'B' => message(b'2', b""),
            b'C' => message(b'3', b""),
            b'E' => done,
            b'S' => ready.clone(),
            _ => return Ok(()),
        };
        socket.write_all(&answer).await?;
    }
}

async fn die(mut socket: TcpStream, death: &[u8]) -> std::io::Result<()> {
    socket.write_all(death).await?;
    socket.shutdown().await?;
    // What is not read would reset the connection, and its last word with it.
    socket.read_to_end(&mut Vec::new()).await.map(drop)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn may_have_executed(answer: Result<Option<steadfast_store::Row>, SqlError>, what: &str) {
    let error = StoreError::from(answer.unwrap_err());
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(source.contains("it dies"), "{what}: {source}");
    assert_eq!(error.executed(), Executed::Maybe, "{what}: {source}");
}

/// It could not sync its log, say, and panics, in the middle of a commit that it finds there when
/// it is up again.
#[tokio::test]
async fn what_ends_a_server_or_a_connection_may_have_come_behind_the_commit() {
    for (severity, state) in
        [("PANIC", "58030"), ("PANIC", "53100"), ("PANIC", "XX000"), ("FATAL", "XX000")]
    {
        let url = server("E", severity, state).await;
        let what = format!("{severity} {state}");
        for statement in [Statement::named("SELECT 1"), Statement::unnamed("SELECT 1")] {
            let mut pool = connect(&url).await.unwrap();
            may_have_executed(pool.run_statement(&statement, &[]).await, &what);

            let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            let (client, connection) = connected.unwrap();
            tokio::spawn(connection);
            let mut client = SharedClient::new(client);
            may_have_executed(client.run_statement(&statement, &[]).await, &what);

            let sqlx = sqlx::PgPool::connect(&url).await.unwrap();
            let mut connection = sqlx.acquire().await.unwrap();
            may_have_executed(connection.run_statement(&statement, &[]).await, &what);
        }
        let url = server("COMMIT", severity, state).await;
        let mut sqlx = sqlx::PgPool::connect(&url).await.unwrap();
        let unnamed = Statement::unnamed("SELECT 1");
        may_have_executed(sqlx.run_statement(&unnamed, &[]).await, &what);
    }
}

/// An error of a statement's own has rolled it back.
#[tokio::test]
async fn a_full_disk_that_a_server_outlives_has_executed_nothing() {
    let mut pool = connect(&server("E", "ERROR", "53100").await).await.unwrap();
    let error = pool.run_statement(&Statement::named("SELECT 1"), &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.executed()), (StoreErrorKind::Full, Executed::No));
}
