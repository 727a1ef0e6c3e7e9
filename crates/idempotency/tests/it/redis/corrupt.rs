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

/// Heads that no record in this state has.
fn heads(state: &str) -> Vec<Vec<u8>> {
    let (long, future) = ("1".repeat(17), "1900000000000000000");
    let wrong = [
        String::new(),
        format!("1{state}"),
        format!("1{state} 1 1 1"),
        format!("1{state} 1 1 1 9000000000000000 "),
        format!(" 1{state} 1 1 1 9000000000000000"),
        format!("1{state} 1 1 1 9000000000000000 7"),
        format!("1x 1 1 {future} 9000000000000000"),
        format!("1{state} 0 1 {future} 9000000000000000"),
        format!("1{state} -1 1 {future} 9000000000000000"),
        format!("1{state} 1.5 1 {future} 9000000000000000"),
        format!("1{state} 0x10 1 {future} 9000000000000000"),
        format!("1{state} 4294967296 1 {future} 9000000000000000"),
        format!("1{state} 1 inf {future} 9000000000000000"),
        format!("1{state} 1 {long} {future} 9000000000000000"),
        format!("1{state} 1 1 9007199254740992 9000000000000000"),
        format!("1{state} 1 1 {long} 9000000000000000"),
        format!("1{state} 1 1 {future} never"),
        format!("1{state} 1 1 {future} {long}"),
        format!("1{state} 1 1 {future} {}", "9".repeat(400)),
        // Of a later layout.
        format!("2{state} 1 1 {future} 9000000000000000"),
        format!("11{state} 1 1 {future} 9000000000000000"),
    ];
    wrong.map(String::into_bytes).into()
}

#[tokio::test]
async fn a_record_with_a_part_that_is_wrong_or_missing_is_corrupt_to_every_operation() {
    let mut case = Case::new(servers::redis()).await;
    for (is_done, state) in [(false, "i"), (false, "a"), (true, "d")] {
        let wrong = [
            (b"h", heads(state)),
            (b"f", vec![vec![], b"short".into(), vec![7; 33]]),
            (b"t", vec![vec![], vec![7; 15], vec![7; 17]]),
        ];
        for (part, values) in wrong {
            for value in values {
                let (id, key) = case.record(is_done).await;
                case.say(&[b"HSET", &key, part, &value]).await;
                case.assert_corrupt(&id).await;
            }
            let (id, key) = case.record(is_done).await;
            case.say(&[b"HDEL", &key, part]).await;
            case.assert_corrupt(&id).await;
        }
    }
}

/// Only a claim and a look read the reply.
#[tokio::test]
async fn a_record_that_is_done_and_has_no_reply_is_corrupt() {
    let mut case = Case::new(servers::redis()).await;
    let (id, key) = case.record(true).await;
    case.say(&[b"HDEL", &key, b"r"]).await;
    for found in [case.store.claim(&id, &terms()).await.err(), case.store.look(&id).await.err()] {
        assert_eq!(found.map(|error| error.kind()), Some(StoreErrorKind::Corrupt));
    }
    assert!(case.store.forget(&id).await.unwrap());
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
            let field = [b"hftrx"[rng.random_range(0..5)]];
            let mut number = |most: u64| rng.random_range(0..most);
            let state = ["i", "a", "d"][number(3) as usize];
            let [first, lease] = [(); 2].map(|()| number(1 << 54));
            let head = format!("1{state} {} {first} {lease} {}", number(1 << 33), number(1 << 54));
            let value = match rng.random_range(0..3) {
                0 => (0..rng.random_range(0..40)).map(|_| rng.random()).collect(),
                1 => vec![7; [16, 32][rng.random_range(0..2)]],
                _ => head.into_bytes(),
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
