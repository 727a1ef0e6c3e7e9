//! The fence of what is kept in Redis.

use redis::{Script, ScriptInvocation};
use steadfast_lease::{
    FenceMark, Fenced, FencedReason, FencingToken,
    redis::{fence_args, fence_script, fenced},
};

use super::*;
use crate::servers::{some_name, token};

const NOW: u64 = 1_790_000_000_000_000;

fn at(number: u64) -> FencingToken {
    token(NOW + number)
}

/// A register that is read and written.
struct Register {
    connection: MultiplexedConnection,
    mark: String,
    value: String,
    read: Script,
    write: Script,
}

impl Register {
    async fn new() -> Self {
        let name = some_name();
        Self {
            connection: plain(servers::redis()).await,
            mark: format!("{{{name}}}:fence"),
            value: format!("{{{name}}}:value"),
            read: Script::new(&fence_script("return redis.call('GET', KEYS[2])")),
            write: Script::new(&fence_script("return redis.call('SET', KEYS[2], ARGV[3])")),
        }
    }

    async fn run<T: FromRedisValue>(
        &self,
        mut call: ScriptInvocation<'_>,
        mark: FenceMark,
    ) -> Result<T, Fenced> {
        call.key(&self.mark).key(&self.value);
        let answer = call.invoke_async(&mut self.connection.clone()).await;
        answer.map_err(|error| fenced(&error, mark).unwrap_or_else(|| panic!("{error:?}")))
    }

    async fn read(&self, mark: impl Into<FenceMark>) -> Result<Option<String>, Fenced> {
        let mark: FenceMark = mark.into();
        let mut call = self.read.prepare_invoke();
        call.arg(&fence_args(mark));
        self.run(call, mark).await
    }

    async fn write(&self, mark: impl Into<FenceMark>, value: &str) -> Result<(), Fenced> {
        let mark: FenceMark = mark.into();
        let mut call = self.write.prepare_invoke();
        call.arg(&fence_args(mark)).arg(value);
        self.run(call, mark).await
    }
}

#[tokio::test]
async fn a_stale_script_has_done_nothing_and_is_told_the_highest_token() {
    let register = Register::new().await;
    register.write(at(5), "five").await.unwrap();
    register.write(at(7), "seven").await.unwrap();
    let stale = register.write(at(6), "six").await.unwrap_err();
    assert_eq!(stale.reason, FencedReason::Stale { presented: at(6), highest: at(7) });
    assert_eq!(register.read(at(6)).await.unwrap_err().highest(), Some(at(7)));
    assert_eq!(register.read(at(7)).await.unwrap().as_deref(), Some("seven"));
}

/// The predecessor's late write would land between the successor's read and its write.
#[tokio::test]
async fn a_read_raises_the_mark_so_that_no_older_write_lands_behind_it() {
    let register = Register::new().await;
    register.write(at(1), "one").await.unwrap();
    assert_eq!(register.read(at(2)).await.unwrap().as_deref(), Some("one"));
    assert!(register.write(at(1), "late").await.is_err());
    register.write(at(2), "two").await.unwrap();
    assert_eq!(register.read(at(2)).await.unwrap().as_deref(), Some("two"));
}

#[tokio::test]
async fn every_sequence_of_marks_is_judged_by_the_rule_of_all_fences() {
    let mut seed = 11_u64;
    let mut next = move |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    for _ in 0..20 {
        let (register, mut highest) = (Register::new().await, None);
        for _ in 0..14 {
            // Also of 1 and of 12 digits, and numbers of 1 and 2.
            let number = [next(3), 900_000_000_000 + next(3), NOW + next(3)][next(3) as usize];
            let mark = FenceMark::new(token(number));
            let mark = if next(2) == 0 { mark } else { mark.numbered(8 + next(4)) };
            let expected = mark.check(highest, || FencingToken::MAX).map_err(|error| error.reason);
            let found = register.read(mark).await.map(drop).map_err(|error| error.reason);
            assert_eq!(found, expected, "{mark:?} {highest:?}");
            if found.is_ok() {
                highest = Some(mark);
            }
        }
    }
}

/// Doubles would take these for equal.
#[tokio::test]
async fn tokens_beyond_doubles_are_told_apart() {
    let register = Register::new().await;
    let [low, high] = [(1 << 53), (1 << 53) + 1].map(|number: u64| number.to_string());
    // As a mark that was written when the clock was there.
    say::<()>(servers::redis(), &["SET", &register.mark, &high]).await;
    let stale = register.read(low.parse::<FencingToken>().unwrap()).await.unwrap_err();
    assert_eq!(stale.highest(), Some(high.parse().unwrap()));
    register.read(high.parse::<FencingToken>().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_token_far_ahead_and_one_that_is_none_are_refused() {
    let register = Register::new().await;
    let ahead = register.read(FencingToken::MAX).await.unwrap_err();
    assert!(matches!(ahead.reason, FencedReason::TooFarAhead { .. }), "{ahead:?}");
    for wrong in ["", "-1", "1.5", "0x1", "007", " 1", "9".repeat(21).as_str(), "1 2"] {
        for args in [[wrong, ""], ["5", wrong]] {
            if args == ["5", ""] {
                continue;
            }
            let mut call = register.read.prepare_invoke();
            call.arg(&args);
            let refused = register.run::<redis::Value>(call, at(1).into()).await.unwrap_err();
            assert_eq!(refused.reason, FencedReason::Malformed, "{args:?}");
        }
    }
    register.read(at(1)).await.unwrap();
}

#[tokio::test]
async fn a_mark_that_is_none_lets_nothing_pass() {
    let register = Register::new().await;
    say::<()>(servers::redis(), &["SET", &register.mark, "garbage"]).await;
    let mut call = register.write.prepare_invoke();
    call.arg(&fence_args(at(1))).arg("one").key(&register.mark).key(&register.value);
    let error = call.invoke_async::<()>(&mut register.connection.clone()).await.unwrap_err();
    assert_eq!((error.code(), fenced(&error, at(1))), (Some("FENCECORRUPT"), None));
    let kept: Option<String> = say(servers::redis(), &["GET", &register.value]).await;
    assert_eq!(kept, None);
}
