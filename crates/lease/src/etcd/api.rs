//! The messages of etcd's public API that leases need, by the field numbers of its
//! `etcdserverpb/rpc.proto` and `mvccpb/kv.proto`, which are the same from version 3.0 on.
//!
//! By hand rather than from the `.proto` files: those need a compiler at build time, or a derive
//! and its dependencies, for a dozen messages of few fields.

use bytes::Bytes;

use super::wire::{Malformed, Reader, Value, Writer};

pub(super) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";
pub(super) const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
pub(super) const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
pub(super) const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
pub(super) const LEASE_TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub(super) const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";

/// What a server answers with.
pub(super) trait Answer: Default {
    /// Takes in one field; those that it does not know are passed over.
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed>;

    fn parse(message: Bytes) -> Result<Self, Malformed> {
        let (mut answer, mut reader) = (Self::default(), Reader::new(message));
        while let Some((field, value)) = reader.next()? {
            answer.take(field, value)?;
        }
        Ok(answer)
    }
}

/// `RangeRequest` of one key: linearizable, as without a flag.
pub(super) fn range(key: &[u8]) -> Writer {
    Writer::default().bytes(1, key)
}

/// `PutRequest`.
pub(super) fn put(key: &[u8], value: &[u8], lease: i64) -> Writer {
    Writer::default().bytes(1, key).bytes(2, value).int(3, lease)
}

/// `DeleteRangeRequest` of one key.
pub(super) fn delete(key: &[u8]) -> Writer {
    Writer::default().bytes(1, key)
}

/// `RequestOp`.
pub(super) fn op_range(key: &[u8]) -> Writer {
    Writer::default().message(1, &range(key))
}

pub(super) fn op_put(key: &[u8], value: &[u8], lease: i64) -> Writer {
    Writer::default().message(2, &put(key, value, lease))
}

pub(super) fn op_delete(key: &[u8]) -> Writer {
    Writer::default().message(3, &delete(key))
}

// `CompareTarget`; the result that is asked for is always `EQUAL`, which is zero.
const CREATE: i64 = 1;
const MOD: i64 = 2;

/// `Compare`: the key was created at this revision; at zero, it is not there.
pub(super) fn is_created_at(key: &[u8], revision: i64) -> Writer {
    Writer::default().int(2, CREATE).bytes(3, key).int(5, revision)
}

/// `Compare`: the key was last written at this revision; at zero, it is not there.
pub(super) fn is_written_at(key: &[u8], revision: i64) -> Writer {
    Writer::default().int(2, MOD).bytes(3, key).int(6, revision)
}

/// `TxnRequest`.
pub(super) fn txn(compare: &[Writer], success: &[Writer], failure: &[Writer]) -> Writer {
    Writer::default().messages(1, compare).messages(2, success).messages(3, failure)
}

/// `LeaseGrantRequest`: the server chooses the number.
pub(super) fn lease_grant(seconds: i64) -> Writer {
    Writer::default().int(1, seconds)
}

/// `LeaseRevokeRequest`, `LeaseKeepAliveRequest` and `LeaseTimeToLiveRequest`.
pub(super) fn lease(id: i64) -> Writer {
    Writer::default().int(1, id)
}

/// `WatchRequest` with a `WatchCreateRequest` of one key, from this revision on.
pub(super) fn watch(key: &[u8], from: i64) -> Writer {
    Writer::default().message(1, &Writer::default().bytes(1, key).int(3, from))
}

/// `AuthenticateRequest`.
pub(super) fn authenticate(name: &str, password: &str) -> Writer {
    Writer::default().bytes(1, name.as_bytes()).bytes(2, password.as_bytes())
}

/// `ResponseHeader`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Of all keys, when it was answered.
    pub(super) revision: i64,
    /// The term of the cluster's leader: it grows with every election.
    pub(super) raft_term: i64,
}

impl Answer for Header {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        match field {
            3 => self.revision = value.int()?,
            4 => self.raft_term = value.int()?,
            _ => {}
        }
        Ok(())
    }
}

fn header(value: Value) -> Result<Header, Malformed> {
    Header::parse(value.bytes()?)
}

/// `KeyValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyValue {
    pub(super) key: Bytes,
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    pub(super) value: Bytes,
    pub(super) lease: i64,
}

impl Answer for KeyValue {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        match field {
            1 => self.key = value.bytes()?,
            2 => self.create_revision = value.int()?,
            3 => self.mod_revision = value.int()?,
            5 => self.value = value.bytes()?,
            6 => self.lease = value.int()?,
            _ => {}
        }
        Ok(())
    }
}

/// `RangeResponse`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) header: Header,
    pub(super) kvs: Vec<KeyValue>,
}

impl Answer for Range {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        match field {
            1 => self.header = header(value)?,
            2 => self.kvs.push(KeyValue::parse(value.bytes()?)?),
            _ => {}
        }
        Ok(())
    }
}

/// `TxnResponse`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Txn {
    pub(super) header: Header,
    pub(super) succeeded: bool,
    /// What was read, of all ranges.
    pub(super) kvs: Vec<KeyValue>,
}

impl Answer for Txn {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        match field {
            1 => self.header = header(value)?,
            2 => self.succeeded = value.int()? != 0,
            3 => self.kvs.append(&mut Op::parse(value.bytes()?)?.kvs),
            _ => {}
        }
        Ok(())
    }
}

impl Txn {
    /// What was read of this key.
    pub(super) fn of(&self, key: &[u8]) -> Option<&KeyValue> {
        self.kvs.iter().find(|kv| kv.key == key)
    }
}

/// `ResponseOp`, of which what was read is of interest.
#[derive(Debug, Default)]
struct Op {
    kvs: Vec<KeyValue>,
}

impl Answer for Op {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        if field == 1 {
            self.kvs = Range::parse(value.bytes()?)?.kvs;
        }
        Ok(())
    }
}

/// `LeaseGrantResponse` and `LeaseKeepAliveResponse`; without a TTL the lease is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) header: Header,
    pub(super) id: i64,
    pub(super) ttl: i64,
}

impl Answer for Lease {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        match field {
            1 => self.header = header(value)?,
            2 => self.id = value.int()?,
            3 => self.ttl = value.int()?,
            _ => {}
        }
        Ok(())
    }
}

/// `LeaseTimeToLiveResponse`: whole seconds, rounded down, and below zero where there is no such
/// lease.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TimeToLive {
    pub(super) left: i64,
}

impl Answer for TimeToLive {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        if field == 3 {
            self.left = value.int()?;
        }
        Ok(())
    }
}

/// `LeaseRevokeResponse`, in which nothing is of interest.
#[derive(Debug, Default)]
pub(super) struct Done;

impl Answer for Done {
    fn take(&mut self, _: u64, _: Value) -> Result<(), Malformed> {
        Ok(())
    }
}

/// `WatchResponse`: whether something has happened, or the watch has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) is_over: bool,
    pub(super) has_events: bool,
}

impl Answer for Watched {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        match field {
            4 => self.is_over = value.int()? != 0,
            11 => self.has_events = true,
            _ => {}
        }
        Ok(())
    }
}

/// `AuthenticateResponse`.
#[derive(Default)]
pub(super) struct Authenticated {
    pub(super) token: Bytes,
}

impl Answer for Authenticated {
    fn take(&mut self, field: u64, value: Value) -> Result<(), Malformed> {
        if field == 2 {
            self.token = value.bytes()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_transaction_is_read_with_what_it_has_found() {
        let kv = Writer::default().bytes(1, b"k").int(2, 7).int(3, 8).int(4, 1).bytes(5, b"v");
        let header = Writer::default().int(1, 1).int(2, -1).int(3, 9).int(4, 2);
        let range = Writer::default().message(1, &header).message(2, &kv.int(6, 5)).int(4, 1);
        let response = Writer::default()
            .message(1, &header)
            .int(2, 1)
            .message(3, &Writer::default().message(2, &Writer::default()))
            .message(3, &Writer::default().message(1, &range));
        let txn = Txn::parse(response.finish()).unwrap();
        let kv = KeyValue {
            key: "k".into(),
            create_revision: 7,
            mod_revision: 8,
            value: "v".into(),
            lease: 5,
        };
        assert_eq!(txn.header, Header { revision: 9, raft_term: 2 });
        assert_eq!((txn.succeeded, txn.of(b"k")), (true, Some(&kv)));
        assert_eq!(txn.of(b"other"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn whatever_a_server_answers_is_read_or_refused(message in vec(any::<u8>(), 0..300)) {
            let message = Bytes::from(message);
            let _ = Range::parse(message.clone());
            let _ = Txn::parse(message.clone());
            let _ = Lease::parse(message.clone());
            let _ = TimeToLive::parse(message.clone());
            let _ = Watched::parse(message);
        }
    }
}
