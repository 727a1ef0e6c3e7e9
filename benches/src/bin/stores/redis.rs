//! Redis: one script of `HSET` and `PEXPIRE`, and a bare `HGET`.

use redis::{Cmd, aio::ConnectionManager};
use steadfast_idempotency::{ClaimTerms, RecordId, RedisConfig, RedisStore};
use steadfast_store::redis::{Script, Scripts, connect};
use steadfast_testkit::servers;

use crate::{BoxError, HOUR, REPLY, options::Options};

pub(crate) async fn measure(options: &Options) -> Result<(), BoxError> {
    let url = options.redis.clone().unwrap_or_else(|| servers::redis().url());
    let connection = connect(&url).await?;
    let config = RedisConfig::new().prefix("bench:record:");
    let store = RedisStore::new(config, connection.clone()).await?;
    let bare = Bare::new(connection);
    crate::measure("Redis", &store, &bare, options.rounds).await
}

/// Over the same connection and by the same runner of scripts.
struct Bare {
    scripts: Scripts<ConnectionManager>,
    connection: ConnectionManager,
    insert: Script,
    update: Script,
}

impl Bare {
    fn new(connection: ConnectionManager) -> Self {
        Self {
            scripts: Scripts::new(connection.clone()),
            connection,
            insert: Script::new(
                "redis.call('HSET', KEYS[1], 'h', ARGV[1], 'f', ARGV[2], 't', ARGV[3])
                 redis.call('PEXPIRE', KEYS[1], ARGV[4])
                 return 1",
            ),
            update: Script::new(
                "redis.call('HSET', KEYS[1], 'h', ARGV[1], 'r', ARGV[2])
                 redis.call('PEXPIRE', KEYS[1], ARGV[3])
                 return 1",
            ),
        }
    }
}

/// As long as a record's key.
fn key(id: &RecordId) -> Vec<u8> {
    let digits = id.as_bytes().iter().flat_map(|byte| format!("{byte:02x}").into_bytes());
    b"bench:bare:".iter().copied().chain(digits.cycle().take(66)).collect()
}

/// As long as that of a record.
const HEAD: &[u8] = b"1i 1 1790000000000000 1790003600000000 1790007200000000";

impl crate::Bare for Bare {
    async fn insert(&self, id: &RecordId, terms: &ClaimTerms) -> Result<(), BoxError> {
        let (print, token) = (terms.fingerprint.to_bytes(), terms.token.to_bytes());
        let millis = (HOUR + HOUR).as_millis().to_string();
        let args = [HEAD, &print, &token, millis.as_bytes()];
        self.scripts.run(&self.insert, &[&key(id)], &args).await?;
        Ok(())
    }

    async fn update(&self, id: &RecordId, _: &ClaimTerms) -> Result<(), BoxError> {
        let millis = HOUR.as_millis().to_string();
        let args = [HEAD, &REPLY, millis.as_bytes()];
        self.scripts.run(&self.update, &[&key(id)], &args).await?;
        Ok(())
    }

    async fn read(&self, id: &RecordId) -> Result<(), BoxError> {
        let mut read = Cmd::new();
        read.arg("HGET").arg(key(id)).arg("r");
        let reply: Option<Vec<u8>> = read.query_async(&mut self.connection.clone()).await?;
        drop(reply);
        Ok(())
    }

    async fn delete(&self, id: &RecordId) -> Result<(), BoxError> {
        let mut delete = Cmd::new();
        delete.arg("DEL").arg(key(id));
        delete.query_async::<()>(&mut self.connection.clone()).await?;
        Ok(())
    }
}
