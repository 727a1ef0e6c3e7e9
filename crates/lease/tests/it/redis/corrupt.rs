//! Keys that hold what is no record.

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use steadfast_core::Executed;
use steadfast_lease::{Store, StoreError};

use super::*;
use crate::servers::{granted, some_name, terms};

struct Case {
    store: RedisStore,
    beside: MultiplexedConnection,
}

impl Case {
    async fn new() -> Self {
        let server = servers::redis();
        Self { store: connect(server).await, beside: plain(server).await }
    }

    async fn say(&mut self, words: &[&[u8]]) {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async::<redis::Value>(&mut self.beside).await.unwrap();
    }

    /// A lease that is held, and its key.
    async fn held(&self) -> (LeaseName, String) {
        let name = some_name();
        granted(&self.store, &name, &terms()).await;
        let key = key(&name);
        (name, key)
    }

    async fn errors(&self, name: &LeaseName) -> Vec<StoreError> {
        let other = terms();
        let errors = [
            self.store.acquire(name, &other).await.err(),
            self.store.renew(name, other.nonce).await.err(),
            self.store.release(name, other.nonce).await.err(),
            self.store.observe(name, None).await.err(),
        ];
        errors.into_iter().flatten().collect()
    }

    async fn assert_corrupt(&mut self, name: &LeaseName, what: &str) {
        let errors = self.errors(name).await;
        assert_eq!(errors.len(), 4, "{what}: {errors:?}");
        for error in errors {
            let found = (error.kind(), error.executed());
            assert_eq!(found, (StoreErrorKind::Corrupt, Executed::No), "{what}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_record_with_a_part_that_is_wrong_or_missing_is_corrupt_to_every_operation() {
    let mut case = Case::new().await;
    let (ends, wide) = ("8000000000000000", "9".repeat(400));
    let heads = [
        String::new(),
        "garbage".into(),
        format!("1 7 {ends}"),
        format!("1 7 {ends} 1 "),
        format!(" 1 7 {ends} 1"),
        format!("1 7 {ends} 1 1"),
        format!("1 -7 {ends} 1"),
        format!("1 7.5 {ends} 1"),
        format!("1 0x10 {ends} 1"),
        format!("1 9007199254740992 {ends} 1"),
        "1 7 9007199254740992 1".into(),
        format!("1 7 {ends} 2251799813685249"),
        format!("1 7 {wide} 1"),
        "1 7 never 1".into(),
        // Of a later layout.
        format!("2 7 {ends} 1"),
    ];
    for head in heads {
        let (name, key) = case.held().await;
        case.say(&[b"HSET", key.as_bytes(), b"h", head.as_bytes()]).await;
        case.assert_corrupt(&name, &head).await;
    }
    for (field, value) in [(b"n", vec![7; 15]), (b"n", vec![7; 17]), (b"o", vec![b'x'; 256])] {
        let (name, key) = case.held().await;
        case.say(&[b"HSET", key.as_bytes(), field, &value]).await;
        case.assert_corrupt(&name, "a field of another length").await;
    }
    for field in [b"h", b"n", b"o"] {
        let (name, key) = case.held().await;
        case.say(&[b"HDEL", key.as_bytes(), field]).await;
        case.assert_corrupt(&name, "a field that is missing").await;
    }
}

/// Bytes that are no text are told by those operations that show the holder.
#[tokio::test]
async fn a_holder_that_is_no_text_is_corrupt_to_those_that_would_show_it() {
    let mut case = Case::new().await;
    let (name, key) = case.held().await;
    case.say(&[b"HSET", key.as_bytes(), b"o", b"\xff"]).await;
    let errors = case.errors(&name).await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|error| error.kind() == StoreErrorKind::Corrupt));
}

#[tokio::test]
async fn a_key_that_is_another_programs_is_left_alone() {
    let mut case = Case::new().await;
    let others: [&[&[u8]]; 4] = [
        &[b"SET", b"text"],
        &[b"RPUSH", b"item"],
        &[b"SADD", b"member"],
        &[b"HSET", b"field", b"value"],
    ];
    for other in others {
        let name = some_name();
        let key = key(&name);
        case.say(&[&[other[0], key.as_bytes()], &other[1..]].concat()).await;
        case.assert_corrupt(&name, "another's").await;
        let kept: i64 = say(servers::redis(), &["EXISTS", &key]).await;
        assert_eq!(kept, 1);
    }
}

/// Whatever bytes stand where, an operation says what it finds, or that it is no record.
#[tokio::test]
async fn whatever_is_written_into_a_record_is_read_or_refused() {
    let mut case = Case::new().await;
    let mut rng = SmallRng::seed_from_u64(14);
    let (mut corrupt, mut sound) = (0, 0);
    for _ in 0..300 {
        let (name, key) = case.held().await;
        for _ in 0..rng.random_range(1..3) {
            let field = [b"hnox"[rng.random_range(0..4)]];
            let mut number = |most: u64| rng.random_range(0..most);
            let head = format!("1 {} {} {}", number(1 << 54), number(1 << 54), number(1 << 52));
            let value = match rng.random_range(0..3) {
                0 => {
                    let mut bytes = vec![0; rng.random_range(0..300)];
                    rng.fill_bytes(&mut bytes);
                    bytes
                }
                1 => vec![7; 16],
                _ => head.into_bytes(),
            };
            case.say(&[b"HSET", key.as_bytes(), &field, &value]).await;
        }
        for error in case.errors(&name).await {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
            corrupt += 1;
        }
        sound += u32::from(case.store.observe(&name, None).await.is_ok());
    }
    assert!(corrupt > 100 && sound > 30, "{corrupt} {sound}: both are reached");
}
