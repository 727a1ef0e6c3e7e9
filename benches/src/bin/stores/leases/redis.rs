//! Redis: a script that looks at the clock and the record, and writes the record.

use std::time::Duration;

use redis::{Cmd, Value, aio::ConnectionManager};
use steadfast_lease::{Nonce, RedisConfig, RedisStore};
use steadfast_store::redis::connect;
use steadfast_testkit::servers;

use super::{HOLDER, TTL};
use crate::{BoxError, options::Options};

pub(super) async fn measure(options: &Options) -> Result<(), BoxError> {
    let url = options.redis.clone().unwrap_or_else(|| servers::redis().url());
    let connection = connect(&url).await?;
    let config = RedisConfig::new().prefix("bench:lease:");
    let store = RedisStore::new(config, connection.clone()).await?;
    let bare = Bare::new(connection).await?;
    super::compare("Redis", store, &bare, (options.rounds, super::always)).await
}

/// By the digests of its scripts, over the same connection.
struct Bare {
    connection: ConnectionManager,
    acquire: String,
    renew: String,
    release: String,
}

const KEY: &str = "bench:bare:{lease}";
const RETENTION: Duration = Duration::from_secs(7 * 86_400);

const ACQUIRE: &str = "
    local t = redis.call('TIME')
    local now = t[1] * 1000000 + t[2]
    local r = redis.call('HMGET', KEYS[1], 'token', 'ends')
    if r[2] and tonumber(r[2]) > now then return 0 end
    local token = math.max((tonumber(r[1]) or 0) + 1, now)
    local ends = now + ARGV[3]
    redis.call('HSET', KEYS[1], 'token', string.format('%.0f', token),
        'ends', string.format('%.0f', ends), 'ttl', ARGV[3], 'nonce', ARGV[1], 'holder', ARGV[2])
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', (ends + ARGV[4]) / 1000))
    return token";

const RENEW: &str = "
    local t = redis.call('TIME')
    local now = t[1] * 1000000 + t[2]
    local r = redis.call('HMGET', KEYS[1], 'nonce', 'ends', 'ttl')
    if r[1] ~= ARGV[1] or tonumber(r[2]) <= now then return 0 end
    local ends = now + r[3]
    redis.call('HSET', KEYS[1], 'ends', string.format('%.0f', ends))
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', (ends + ARGV[2]) / 1000))
    return 1";

const RELEASE: &str = "
    if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then return 0 end
    redis.call('HSET', KEYS[1], 'ends', '0')
    return 1";

impl Bare {
    async fn new(mut connection: ConnectionManager) -> Result<Self, BoxError> {
        let mut digests = Vec::new();
        for script in [ACQUIRE, RENEW, RELEASE] {
            let mut load = Cmd::new();
            load.arg("SCRIPT").arg("LOAD").arg(script);
            digests.push(load.query_async(&mut connection).await?);
        }
        let [acquire, renew, release] = digests.try_into().map_err(|_| "three scripts")?;
        Ok(Self { connection, acquire, renew, release })
    }

    async fn run(&self, digest: &str, args: &[&[u8]]) -> Result<(), BoxError> {
        let mut run = Cmd::new();
        run.arg("EVALSHA").arg(digest).arg(1).arg(KEY);
        for arg in args {
            run.arg(*arg);
        }
        let answer: i64 = run.query_async(&mut self.connection.clone()).await?;
        if answer > 0 { Ok(()) } else { Err("refused".into()) }
    }
}

fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

impl super::Bare for Bare {
    async fn acquire(&self, nonce: Nonce) -> Result<(), BoxError> {
        let (nonce, ttl, retention) = (nonce.to_bytes(), micros(TTL), micros(RETENTION));
        let args = [&nonce, HOLDER.as_bytes(), ttl.as_bytes(), retention.as_bytes()];
        self.run(&self.acquire, &args).await
    }

    async fn renew(&self, nonce: Nonce) -> Result<(), BoxError> {
        let (nonce, retention) = (nonce.to_bytes(), micros(RETENTION));
        self.run(&self.renew, &[&nonce, retention.as_bytes()]).await
    }

    async fn release(&self, nonce: Nonce) -> Result<(), BoxError> {
        self.run(&self.release, &[&nonce.to_bytes()]).await
    }

    async fn look(&self) -> Result<(), BoxError> {
        let mut look = Cmd::new();
        look.arg("HMGET").arg(KEY).arg("ends").arg("holder");
        let found: Value = look.query_async(&mut self.connection.clone()).await?;
        drop(found);
        Ok(())
    }
}
