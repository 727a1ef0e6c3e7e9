//! The account, as the processes read and write it: behind its fence, or past it.

use axum::http::{Request, StatusCode};
use deadpool_postgres::Pool;
use redis::{Script, aio::ConnectionManager};
use steadfast::{
    FencingToken,
    http::FENCING_TOKEN,
    lease::{
        postgres::{FenceError, fence},
        redis::{fence_args, fence_script, fenced},
    },
    store::{connect, redis::connect as connect_redis},
};

use crate::{Failure, act::Act, line::Line, place::key_of};

/// Where the account is, and in which act.
pub(crate) struct Account {
    act: Act,
    books: Books,
}

enum Books {
    /// With the stage, behind its server.
    Stage(Box<Line>),
    Redis(ConnectionManager, Script),
    Postgres(Pool),
}

pub(crate) enum Denied {
    /// By the fence.
    Fenced(String),
    Failed(Failure),
}

/// Reads the balance, or sets it first where there is a third argument.
const SCRIPT: &str = "if ARGV[3] then redis.call('SET', KEYS[2], ARGV[3]) end
return tonumber(redis.call('GET', KEYS[2]) or 0)";

impl Account {
    /// The account that is kept beside the leases: in the same server, or with the stage where they
    /// are in files or in etcd.
    pub(crate) async fn reach(place: &str, act: Act, line: Line) -> Result<Self, Failure> {
        let books = match place.split_once(':') {
            Some(("file" | "etcd", _)) => Books::Stage(line.into()),
            Some(("redis", _)) => {
                let script = match act {
                    Act::Unfenced => Script::new(SCRIPT),
                    Act::Fenced => Script::new(&fence_script(SCRIPT)),
                };
                Books::Redis(connect_redis(place).await?, script)
            }
            _ => Books::Postgres(connect(place).await?),
        };
        Ok(Self { act, books })
    }

    /// Behind a fence the read has the token too: what is written depends on it.
    pub(crate) async fn read(&self, token: FencingToken) -> Result<i64, Denied> {
        self.run(token, None).await
    }

    pub(crate) async fn write(&self, token: FencingToken, balance: i64) -> Result<(), Denied> {
        self.run(token, Some(balance)).await.map(drop)
    }

    async fn run(&self, token: FencingToken, balance: Option<i64>) -> Result<i64, Denied> {
        match &self.books {
            Books::Stage(line) => self.at_stage(line, token, balance).await,
            Books::Redis(connection, script) => {
                self.in_redis(connection.clone(), script, token, balance).await
            }
            Books::Postgres(pool) => self.in_postgres(pool, token, balance).await,
        }
    }

    /// `FencedClientLayer` would attach the token, and look at the lease once more: a process that
    /// is stopped behind that look is in the same case.
    async fn at_stage(
        &self,
        line: &Line,
        token: FencingToken,
        balance: Option<i64>,
    ) -> Result<i64, Denied> {
        let method = if balance.is_some() { "PUT" } else { "GET" };
        let path = format!("/{}", self.act.resource());
        let mut request = Request::builder().method(method).uri(line.uri(&path));
        if self.act == Act::Fenced {
            request = request.header(FENCING_TOKEN, token);
        }
        let body = balance.map_or_else(String::new, |balance| balance.to_string());
        match line.ask(request.body(body.into())?).await.map_err(Denied::Failed)? {
            (StatusCode::OK, text) => Ok(text.parse()?),
            (status @ StatusCode::PRECONDITION_FAILED, text) => {
                // The detail of the problem document.
                let detail = text.split('"').nth(3).unwrap_or(&text);
                Err(Denied::Fenced(format!("{}: {detail}", status.as_u16())))
            }
            (status, text) => Err(Denied::Failed(format!("{status}: {text}").into())),
        }
    }

    async fn in_redis(
        &self,
        mut connection: ConnectionManager,
        script: &Script,
        token: FencingToken,
        balance: Option<i64>,
    ) -> Result<i64, Denied> {
        let name = self.act.resource();
        let mut call = script.prepare_invoke();
        call.key(format!("{{{name}}}:fence")).key(key_of(name));
        call.arg(&fence_args(token));
        if let Some(balance) = balance {
            call.arg(balance);
        }
        let answer = call.invoke_async(&mut connection).await;
        answer.map_err(|error| match fenced(&error, token) {
            Some(fenced) => Denied::Fenced(fenced.to_string()),
            None => error.into(),
        })
    }

    async fn in_postgres(
        &self,
        pool: &Pool,
        token: FencingToken,
        balance: Option<i64>,
    ) -> Result<i64, Denied> {
        let name = self.act.resource();
        let mut client = pool.get().await?;
        let mut tx = client.transaction().await?;
        if self.act == Act::Fenced {
            fence(&mut tx, name, token).await.map_err(|error| match error {
                FenceError::Fenced(fenced) => Denied::Fenced(fenced.to_string()),
                error => error.into(),
            })?;
        }
        if let Some(balance) = balance {
            let update = "UPDATE accounts SET balance = $2 WHERE name = $1";
            tx.execute(update, &[&name, &balance]).await?;
        }
        let select = "SELECT balance FROM accounts WHERE name = $1";
        let balance = tx.query_one(select, &[&name]).await?.get(0);
        tx.commit().await?;
        Ok(balance)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Denied {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
