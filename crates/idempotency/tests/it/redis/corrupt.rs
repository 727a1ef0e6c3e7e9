//! What is found under a record's key and is no record.

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use redis::{Cmd, aio::MultiplexedConnection};
use steadfast_core::Executed;
use steadfast_idempotency::{
    Change, ClaimReply, RecordId, RedisConfig, RedisStore, Store, StoreError, StoreErrorKind,
};
use steadfast_testkit::servers::{self, RedisServer};

use super::plain;
use crate::rivals::{LONG, some_id, taker, terms};

/// A store that is alone under its prefix, and the connection beside it.
struct Case {
    store: RedisStore<MultiplexedConnection>,
    connection: MultiplexedConnection,
    prefix: String,
}

impl Case {
    async fn new(server: &RedisServer) -> Self {
        let connection = plain(server).await;
        let prefix = format!("corrupt {:x}:", rand::random_range(0..u64::MAX));
        let config = RedisConfig::new().prefix(prefix.as_str());
        let store = RedisStore::new(config, connection.clone()).await.unwrap();
        Self { store, connection, prefix }
    }

    /// The one key there is.
    async fn key(&mut self) -> Vec<u8> {
        let mut keys = Cmd::new();
        keys.arg("KEYS").arg(format!("{}*", self.prefix));
        let keys: Vec<Vec<u8>> = keys.query_async(&mut self.connection).await.unwrap();
        let [key] = keys.try_into().unwrap();
        key
    }

    async fn say(&mut self, command: &[&[u8]]) {
        let mut words = Cmd::new();
        words.arg(command);
        words.exec_async(&mut self.connection).await.unwrap();
    }

    /// A record in flight or done, and its key.
    async fn record(&mut self, is_done: bool) -> (RecordId, Vec<u8>) {
        let (id, terms) = (some_id(), terms());
        self.store.claim(&id, &terms).await.unwrap();
        if is_done {
            let changed = self.store.complete(&id, terms.token, "ok".into(), LONG).await.unwrap();
            assert_eq!(changed, Change::Applied);
        }
        let key = self.key().await;
        (id, key)
    }

    /// Of every operation but the one that heals.
    async fn errors(&self, id: &RecordId) -> Vec<StoreError> {
        let (store, other) = (&self.store, terms().token);
        let errors = [
            store.claim(id, &terms()).await.err(),
            store.claim(id, &taker()).await.err(),
            store.renew(id, other, LONG, LONG).await.err(),
            store.complete(id, other, "long".repeat(99).into(), LONG).await.err(),
            store.complete(id, other, "short".into(), LONG).await.err(),
            store.release(id, other).await.err(),
            store.abandon(id, other, LONG).await.err(),
            store.look(id).await.err(),
        ];
        errors.into_iter().flatten().collect()
    }

    async fn assert_corrupt(&self, id: &RecordId) {
        let errors = self.errors(id).await;
        assert_eq!(errors.len(), 8, "{errors:?}");
        for error in errors {
            let found = (error.kind(), error.executed());
            assert_eq!(found, (StoreErrorKind::Corrupt, Executed::No), "{error:?}");
        }
        // Nothing heals it but an operator's word.
        assert!(self.store.forget(id).await.unwrap());
        assert!(!self.store.forget(id).await.unwrap());
        assert!(matches!(self.store.claim(id, &terms()).await, Ok(ClaimReply::Claimed { .. })));
        assert!(self.store.forget(id).await.unwrap());
    }
}

#[tokio::test]
async fn a_record_with_a_part_that_is_wrong_or_missing_is_corrupt_to_every_operation() {
    let mut case = Case::new(servers::redis()).await;
    let long = [b'1'; 17];
    let wrong: [(&str, &[&[u8]]); 7] = [
        ("s", &[b"", b"i", b"2i", b"1x", b"1i "]),
        ("f", &[b"", b"short", &[7; 33]]),
        ("t", &[b"", &[7; 15], &[7; 17]]),
        ("a", &[b"", b"0", b"-1", b"1.5", b"4294967296", b"0x10", b"nan", b"1e3"]),
        ("c", &[b"", b"inf", b"12:00", &long]),
        ("l", &[b"", b"-5", b"9007199254740992", &long]),
        ("e", &[b"", b"never", b"1 ", b" 1", &long]),
    ];
    for (part, values) in wrong {
        for is_done in [false, true] {
            for value in values {
                let (id, key) = case.record(is_done).await;
                case.say(&[b"HSET", &key, part.as_bytes(), value]).await;
                case.assert_corrupt(&id).await;
            }
            let (id, key) = case.record(is_done).await;
            case.say(&[b"HDEL", &key, part.as_bytes()]).await;
            case.assert_corrupt(&id).await;
        }
    }
    let (id, key) = case.record(true).await;
    case.say(&[b"HDEL", &key, b"r"]).await;
    case.assert_corrupt(&id).await;
}

#[tokio::test]
async fn a_record_of_a_later_layout_is_not_read() {
    let mut case = Case::new(servers::redis()).await;
    for later in [&b"2i"[..], b"2d", b"10i"] {
        let (id, key) = case.record(true).await;
        case.say(&[b"HSET", &key, b"s", later]).await;
        case.assert_corrupt(&id).await;
    }
}

#[tokio::test]
async fn a_key_that_is_another_programs_is_left_alone() {
    let mut case = Case::new(servers::redis()).await;
    let others: [&[&[u8]]; 4] = [
        &[b"SET", b"text"],
        &[b"RPUSH", b"item"],
        &[b"SADD", b"member"],
        &[b"HSET", b"field", b"value"],
    ];
    for other in others {
        let (id, key) = case.record(false).await;
        case.say(&[b"DEL", &key]).await;
        case.say(&[&[other[0], &key], &other[1..]].concat()).await;
        case.assert_corrupt(&id).await;
    }
}

/// Whatever bytes stand where, an operation says what it finds, or that it is no record.
#[tokio::test]
async fn whatever_is_written_into_a_record_is_read_or_refused() {
    let mut case = Case::new(servers::redis()).await;
    let mut rng = SmallRng::seed_from_u64(13);
    let (mut corrupt, mut sound) = (0, 0);
    for _ in 0..400 {
        let (id, key) = case.record(rng.random()).await;
        for _ in 0..rng.random_range(1..3) {
            let field = [b"sftaclerx"[rng.random_range(0..9)]];
            let value: Vec<u8> = match rng.random_range(0..3) {
                0 => (0..rng.random_range(0..40)).map(|_| rng.random()).collect(),
                1 => rng.random_range(0..1_u64 << 53).to_string().into_bytes(),
                _ => [b"1i", b"1a", b"1d"][rng.random_range(0..3)].to_vec(),
            };
            case.say(&[b"HSET", &key, &field, &value]).await;
        }
        for error in case.errors(&id).await {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
            corrupt += 1;
        }
        sound += u32::from(case.store.look(&id).await.is_ok());
        case.say(&[b"DEL", &key]).await;
    }
    assert!(corrupt > 400 && sound > 40, "{corrupt} {sound}: both are reached");
}
