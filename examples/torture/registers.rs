//! The registers, as workers read and write them. Each holds one number: that of its last write.

use axum::http::{Request, StatusCode};
use deadpool_postgres::Pool;
use redis::{AsyncCommands, Script, aio::ConnectionManager};
use steadfast::{
    http::FENCING_TOKEN,
    lease::{
        FenceMark,
        http::FENCING_SEQUENCE,
        postgres::{FenceError, FenceTable},
        redis::{fence_args, fence_script, fenced},
    },
    store::{connect, redis::connect as connect_redis},
};

use crate::{
    Failure,
    line::Line,
    place::{IDLE_LIMIT, key_of},
    way::Way,
};

pub(crate) enum Registers {
    /// Behind an HTTP server, with [`FenceLayer`](steadfast::lease::http::FenceLayer) in front.
    Ledger(Box<Line>),
    Redis(ConnectionManager, Box<Scripts>),
    Postgres(Pool, Box<FenceTable>),
}

/// Without a fence and with one.
pub(crate) struct Scripts {
    plain: Script,
    fenced: Script,
}

pub(crate) enum Denied {
    /// By the fence.
    Fenced,
    Failed(Failure),
}

/// Reads, or writes first where there is a third argument.
const SCRIPT: &str = "if ARGV[3] then redis.call('SET', KEYS[2], ARGV[3]) end
return redis.call('GET', KEYS[2]) or '0'";

impl Registers {
    pub(crate) async fn reach(url: &str) -> Result<Self, Failure> {
        Ok(match url.split_once(':') {
            Some(("http", _)) => {
                Self::Ledger(Line::new(url.trim_start_matches("http://").parse()?).into())
            }
            Some(("redis", _)) => {
                let (plain, fenced) = (Script::new(SCRIPT), Script::new(&fence_script(SCRIPT)));
                Self::Redis(connect_redis(url).await?, Scripts { plain, fenced }.into())
            }
            _ => {
                let table = FenceTable::new("fence_marks", IDLE_LIMIT)?;
                Self::Postgres(connect(url).await?, table.into())
            }
        })
    }

    /// What a write depends on: where reads are fenced it carries the token too.
    pub(crate) async fn read(&self, way: Way, mark: FenceMark) -> Result<u64, Denied> {
        self.run(way, mark, None).await
    }

    pub(crate) async fn write(&self, way: Way, mark: FenceMark, id: u64) -> Result<(), Denied> {
        self.run(way, mark, Some(id)).await.map(drop)
    }

    /// What is in it, past the fence: nothing is written by that.
    pub(crate) async fn peek(&self, way: Way) -> Result<u64, Failure> {
        match self {
            Self::Ledger(line) => {
                let uri = line.uri(&format!("/peek/{}", way.name()));
                let (status, text) = line.ask(Request::get(uri).body("".into())?).await?;
                text.parse().map_err(|_| format!("the ledger says {status}: {text}").into())
            }
            Self::Redis(connection, _) => {
                let id: Option<u64> = connection.clone().get(key_of(way)).await?;
                Ok(id.unwrap_or(0))
            }
            Self::Postgres(pool, _) => {
                let row = pool.get().await?.query_one(SELECT, &[&way.name()]).await?;
                Ok(row.get::<_, i64>(0).try_into()?)
            }
        }
    }

    async fn run(&self, way: Way, mark: FenceMark, id: Option<u64>) -> Result<u64, Denied> {
        let is_fenced = if id.is_some() { way.fences_writes() } else { way.fences_reads() };
        match self {
            Self::Ledger(line) => in_ledger(line, way, mark, id).await,
            Self::Redis(connection, scripts) => {
                let script = if is_fenced { &scripts.fenced } else { &scripts.plain };
                in_redis(connection.clone(), script, way, mark, id).await
            }
            Self::Postgres(pool, table) => {
                in_postgres(pool, is_fenced.then_some(&**table), way, mark, id).await
            }
        }
    }
}

/// The token goes with every call, and the server knows where it counts.
async fn in_ledger(line: &Line, way: Way, mark: FenceMark, id: Option<u64>) -> Result<u64, Denied> {
    let method = if id.is_some() { "PUT" } else { "GET" };
    let uri = line.uri(&format!("/registers/{}", way.name()));
    let request = Request::builder().method(method).uri(uri).header(FENCING_TOKEN, mark.token());
    let request = request.header(FENCING_SEQUENCE, mark.sequence().unwrap_or_default());
    let body = id.map_or_else(String::new, |id| id.to_string());
    match line.ask(request.body(body.into())?).await.map_err(Denied::Failed)? {
        (StatusCode::OK, text) => Ok(text.parse()?),
        (StatusCode::PRECONDITION_FAILED, _) => Err(Denied::Fenced),
        (status, text) => Err(Denied::Failed(format!("{status}: {text}").into())),
    }
}

async fn in_redis(
    mut connection: ConnectionManager,
    script: &Script,
    way: Way,
    mark: FenceMark,
    id: Option<u64>,
) -> Result<u64, Denied> {
    let mut call = script.prepare_invoke();
    call.key(format!("{{{}}}:fence", way.name())).key(key_of(way)).arg(&fence_args(mark));
    if let Some(id) = id {
        call.arg(id);
    }
    let answer = call.invoke_async(&mut connection).await;
    answer.map_err(|error| match fenced(&error, mark) {
        Some(_) => Denied::Fenced,
        None => error.into(),
    })
}

async fn in_postgres(
    pool: &Pool,
    fence: Option<&FenceTable>,
    way: Way,
    mark: FenceMark,
    id: Option<u64>,
) -> Result<u64, Denied> {
    let name = way.name();
    let mut client = pool.get().await?;
    let mut tx = client.transaction().await?;
    if let Some(fence) = fence {
        fence.pass(&mut tx, name, mark).await.map_err(|error| match error {
            FenceError::Fenced(_) => Denied::Fenced,
            error => error.into(),
        })?;
    }
    if let Some(id) = id {
        let id = i64::try_from(id)?;
        tx.execute("UPDATE registers SET id = $2 WHERE name = $1", &[&name, &id]).await?;
    }
    let id: i64 = tx.query_one(SELECT, &[&name]).await?.get(0);
    tx.commit().await?;
    Ok(id.try_into()?)
}

const SELECT: &str = "SELECT id FROM registers WHERE name = $1";

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Denied {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
