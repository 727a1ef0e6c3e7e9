//! What the scripts answer.

use std::time::Duration;

use redis::Value;
use steadfast_store::redis::{Answer, unexpected, unlike};

use crate::{
    AcquireReply, FencingToken, HeldView, HolderName, NoTokenLeft, RenewReply, StoreError, View,
};

// As `record.lua` has them.
const GONE: i64 = 0;
const DONE: i64 = 1;
const HELD: i64 = 3;
const TAKEN: i64 = 4;
const FREE: i64 = 5;
const SPENT: i64 = 6;

pub(super) fn acquire(answer: Value) -> Result<AcquireReply, StoreError> {
    let mut answer = Answer::new(answer)?;
    Ok(match answer.number()? {
        DONE => AcquireReply::Granted { token: token(&mut answer)?, ttl: answer.micros()? },
        HELD => {
            let HeldView { left, holder } = held(&mut answer)?;
            AcquireReply::Held { left, holder }
        }
        SPENT => {
            let above = token(&mut answer)?;
            return Err(StoreError::full().because(NoTokenLeft { above }));
        }
        code => return Err(unexpected(code)),
    })
}

pub(super) fn renew(answer: Value) -> Result<RenewReply, StoreError> {
    let mut answer = Answer::new(answer)?;
    Ok(match answer.number()? {
        DONE => RenewReply::Renewed { ttl: answer.micros()? },
        TAKEN => RenewReply::Taken,
        GONE => RenewReply::Gone,
        code => return Err(unexpected(code)),
    })
}

pub(super) fn release(answer: Value) -> Result<bool, StoreError> {
    match Answer::new(answer)?.number()? {
        DONE => Ok(true),
        TAKEN | GONE => Ok(false),
        code => Err(unexpected(code)),
    }
}

pub(super) fn view(answer: Value) -> Result<View, StoreError> {
    let mut answer = Answer::new(answer)?;
    Ok(match answer.number()? {
        GONE => View::default(),
        FREE => View { token: Some(token(&mut answer)?), held: None },
        HELD => {
            let held = held(&mut answer)?;
            View { token: Some(token(&mut answer)?), held: Some(held) }
        }
        code => return Err(unexpected(code)),
    })
}

fn token(answer: &mut Answer) -> Result<FencingToken, StoreError> {
    FencingToken::try_from(answer.number()?).map_err(|_| unlike("a token"))
}

fn held(answer: &mut Answer) -> Result<HeldView, StoreError> {
    let left: Duration = answer.micros()?;
    let holder = String::from_utf8(answer.bytes()?).map_err(|_| unlike("a holder's name"))?;
    let holder = HolderName::new(holder).map_err(|_| unlike("a holder's name"))?;
    Ok(HeldView { left, holder })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::StoreErrorKind::{Corrupt, Full};

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            prop_oneof![-2_i64..9, any::<i64>()].prop_map(Value::Int),
            vec(any::<u8>(), 0..300).prop_map(Value::BulkString),
        ];
        prop_oneof![leaf.clone(), vec(leaf, 0..6).prop_map(Value::Array)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn whatever_a_server_answers_is_read_or_refused(value in values()) {
            let errors = [
                acquire(value.clone()).err(),
                renew(value.clone()).err(),
                release(value.clone()).err(),
                view(value).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!([Corrupt, Full].contains(&error.kind()), "{error:?}");
            }
        }
    }
}
