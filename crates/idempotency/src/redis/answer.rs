//! What the scripts answer.

use std::{num::NonZeroU32, time::Duration};

use redis::Value;
use steadfast_store::redis::{Answer, unexpected, unlike};

use crate::{Change, ClaimReply, Fingerprint, StoreError, View, ViewState};

// As `record.lua` and `claim.lua` have them.
const LOST: i64 = 0;
const APPLIED: i64 = 1;
const CLAIMED: i64 = 3;
const HELD: i64 = 4;
const REPLY: i64 = 5;
const ABANDONED: i64 = 6;
const MISMATCH: i64 = 7;

pub(super) fn claim(answer: Value) -> Result<ClaimReply, StoreError> {
    let mut answer = Answer::new(answer)?;
    Ok(match answer.number()? {
        CLAIMED => ClaimReply::Claimed { attempt: attempt(&mut answer)? },
        HELD => ClaimReply::InFlight { left: answer.micros()? },
        REPLY => ClaimReply::Done { reply: answer.bytes()?.into() },
        ABANDONED => ClaimReply::Abandoned,
        MISMATCH => ClaimReply::Mismatch,
        code => return Err(unexpected(code)),
    })
}

pub(super) fn change(answer: Value) -> Result<Change, StoreError> {
    match Answer::new(answer)?.number()? {
        APPLIED => Ok(Change::Applied),
        LOST => Ok(Change::Lost),
        code => Err(unexpected(code)),
    }
}

pub(super) fn look(answer: Value) -> Result<Option<View>, StoreError> {
    let mut answer = Answer::new(answer)?;
    match answer.number()? {
        APPLIED => {}
        LOST => return Ok(None),
        code => return Err(unexpected(code)),
    }
    let attempt = attempt(&mut answer)?;
    let fingerprint = answer.bytes()?.try_into().map_err(|_| unlike("a fingerprint"))?;
    let (age, expires_in) = (answer.micros()?, answer.micros()?);
    let state = match &answer.bytes()?[..] {
        b"d" => ViewState::Done { reply: answer.bytes()?.into() },
        b"i" => match answer.micros()? {
            Duration::ZERO => ViewState::Abandoned,
            left => ViewState::InFlight { left },
        },
        b"a" => ViewState::Abandoned,
        _ => return Err(unlike("a state")),
    };
    let fingerprint = Fingerprint::from_bytes(fingerprint);
    Ok(Some(View { state, attempt, fingerprint, age, expires_in }))
}

fn attempt(answer: &mut Answer) -> Result<NonZeroU32, StoreError> {
    let attempt = u32::try_from(answer.number()?).ok().and_then(NonZeroU32::new);
    attempt.ok_or_else(|| unlike("an attempt"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            prop_oneof![-2_i64..9, any::<i64>()].prop_map(Value::Int),
            prop_oneof![Just(b"d".to_vec()), Just(b"i".to_vec()), vec(any::<u8>(), 0..40)]
                .prop_map(Value::BulkString),
            vec(any::<u8>(), 32).prop_map(Value::BulkString),
        ];
        prop_oneof![leaf.clone(), vec(leaf, 0..9).prop_map(Value::Array)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn whatever_a_server_answers_is_read_or_refused(value in values()) {
            let shown = [
                claim(value.clone()).err(), change(value.clone()).err(), look(value).err(),
            ];
            for error in shown.into_iter().flatten() {
                prop_assert_eq!(error.kind(), crate::StoreErrorKind::Corrupt);
            }
        }
    }
}
