//! Whether a server evicts what it should keep.

use redis::Value;

use crate::StoreError;

const NEVER: &str = "noeviction";

/// By its answer to `INFO memory`; a cluster answers with one for each server.
pub(super) fn check(info: &Value) -> Result<(), StoreError> {
    let mut found = 0;
    each(info, &mut |text| {
        let policy = text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        match policy.map(str::trim) {
            Some(NEVER) => {
                found += 1;
                Ok(())
            }
            Some(policy) => Err(misconfigured(&format!(
                "its maxmemory-policy is {policy}, and must be {NEVER}: it would evict records"
            ))),
            // The address of a server.
            None => Ok(()),
        }
    })?;
    if found > 0 { Ok(()) } else { Err(misconfigured("INFO tells no maxmemory_policy")) }
}

fn misconfigured(why: &str) -> StoreError {
    StoreError::misconfigured().because(why)
}

fn each(
    value: &Value,
    visit: &mut impl FnMut(&str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match value {
        Value::BulkString(bytes) => visit(&String::from_utf8_lossy(bytes)),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => visit(text),
        Value::Array(values) => values.iter().try_for_each(|value| each(value, visit)),
        Value::Map(pairs) => pairs.iter().try_for_each(|(_, value)| each(value, visit)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreErrorKind::Misconfigured;

    fn info(policy: &str) -> Value {
        let text = format!("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n");
        Value::BulkString(text.into_bytes())
    }

    #[test]
    fn every_server_must_keep_what_it_has() {
        let node = |name: &str, policy| (Value::SimpleString(name.into()), info(policy));
        assert!(check(&info("noeviction")).is_ok());
        assert!(check(&Value::Map(vec![node("a", "noeviction"), node("b", "noeviction")])).is_ok());
        let refused = [
            info("allkeys-lru"),
            info("volatile-ttl"),
            info(""),
            Value::Map(vec![node("a", "noeviction"), node("b", "allkeys-lru")]),
            Value::Array(vec![info("noeviction"), info("volatile-lru")]),
            Value::Map(vec![]),
            Value::Nil,
            Value::BulkString(b"maxmemory:0".to_vec()),
        ];
        for value in refused {
            assert_eq!(check(&value).unwrap_err().kind(), Misconfigured, "{value:?}");
        }
    }
}
