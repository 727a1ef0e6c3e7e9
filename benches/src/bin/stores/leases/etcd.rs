//! etcd: a grant and a transaction; a message on a stream that keeps alive. Over one channel of
//! tonic.

use std::{cell::Cell, time::Duration};

use bytes::Bytes;
use http::uri::PathAndQuery;
use steadfast_lease::{EtcdConfig, EtcdStore, Nonce};
use steadfast_testkit::servers;
use tokio::sync::{Mutex, mpsc};
use tonic::{
    Request, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint},
};

use self::wire::{Raw, Writer, number};
use super::{HOLDER, TTL};
use crate::{BoxError, options::Options};

mod wire;

pub(super) async fn measure(options: &Options) -> Result<(), BoxError> {
    let url = options.etcd.clone().unwrap_or_else(|| servers::etcd().url());
    let store = EtcdStore::connect(EtcdConfig::new().prefix("bench/"), &url).await?;
    let endpoint = Endpoint::from_shared(url.replacen("etcd:", "http:", 1))?;
    let bare = Bare::new(endpoint.tcp_nodelay(true).connect_lazy(), false);
    let rounds = options.rounds;
    // As many seconds as no lease has that was given back: nothing is to spare.
    let anew = |round| TTL + Duration::from_secs(round);
    let what = "etcd, nothing to spare";
    Box::pin(super::compare(what, store.clone(), &bare, (rounds, anew))).await?;
    Box::pin(super::compare("etcd", store.clone(), &bare, (rounds, super::always))).await?;
    let proven = Bare { reads: true, ..bare };
    let what = "etcd, bare with a read beside the renewal";
    Box::pin(super::compare(what, store, &proven, (rounds, super::always))).await
}

struct Bare {
    channel: Channel,
    /// Whether a renewal reads the key too, side by side.
    reads: bool,
    kept_alive: Mutex<Option<KeptAlive>>,
    lease: Cell<i64>,
}

struct KeptAlive {
    asks: mpsc::UnboundedSender<Bytes>,
    answers: Streaming<Bytes>,
}

const KEY: &[u8] = b"bench/bare/lease";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const TXN: &str = "/etcdserverpb.KV/Txn";
const RANGE: &str = "/etcdserverpb.KV/Range";

impl Bare {
    fn new(channel: Channel, reads: bool) -> Self {
        let (kept_alive, lease) = Default::default();
        Self { channel, reads, kept_alive, lease }
    }

    async fn call(&self, path: &'static str, message: Writer) -> Result<Bytes, BoxError> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let request = Request::new(message.finish());
        let answer = grpc.unary(request, PathAndQuery::from_static(path), Raw).await?;
        Ok(answer.into_inner())
    }

    /// `LeaseKeepAlive`, on the one stream; false if the lease is over.
    async fn keep_alive(&self, lease: i64) -> Result<bool, BoxError> {
        let message = Writer::default().int(1, lease).finish();
        let mut kept_alive = self.kept_alive.lock().await;
        let KeptAlive { asks, answers } = match &mut *kept_alive {
            Some(open) => {
                open.asks.send(message)?;
                open
            }
            none => {
                let (asks, mut asked) = mpsc::unbounded_channel();
                // Before it is opened: etcd says nothing before it has heard something.
                asks.send(message)?;
                let messages = futures::stream::poll_fn(move |cx| asked.poll_recv(cx));
                let mut grpc = Grpc::new(self.channel.clone());
                grpc.ready().await?;
                let path = PathAndQuery::from_static(KEEP_ALIVE);
                let answers = grpc.streaming(Request::new(messages), path, Raw).await?.into_inner();
                none.insert(KeptAlive { asks, answers })
            }
        };
        let _ = asks;
        let answer = answers.message().await?.ok_or("the stream has ended")?;
        Ok(number(&answer, 3).is_some_and(|ttl| ttl > 0))
    }

    /// A linearizable read of the key.
    async fn read(&self) -> Result<(), BoxError> {
        self.call(RANGE, Writer::default().bytes(1, KEY)).await?;
        Ok(())
    }
}

impl super::Bare for Bare {
    async fn acquire(&self, nonce: Nonce) -> Result<(), BoxError> {
        let seconds = i64::try_from(TTL.as_secs())?;
        let granted = self.call(GRANT, Writer::default().int(1, seconds)).await?;
        let lease = number(&granted, 2).ok_or("no lease")?;
        let value = [&nonce.to_bytes(), HOLDER.as_bytes()].concat();
        // Created at zero: it is not there.
        let is_free = Writer::default().int(2, 1).bytes(3, KEY);
        let put = Writer::default().bytes(1, KEY).bytes(2, &value).int(3, lease);
        let range = Writer::default().bytes(1, KEY);
        let txn = Writer::default()
            .message(1, &is_free)
            .message(2, &Writer::default().message(2, &put))
            .message(3, &Writer::default().message(1, &range));
        let answer = self.call(TXN, txn).await?;
        self.lease.set(lease);
        if number(&answer, 2) == Some(1) { Ok(()) } else { Err("it is held".into()) }
    }

    async fn renew(&self, _: Nonce) -> Result<(), BoxError> {
        let renewed = self.keep_alive(self.lease.get());
        let is_alive =
            if self.reads { futures::try_join!(renewed, self.read())?.0 } else { renewed.await? };
        if is_alive { Ok(()) } else { Err("it is not held".into()) }
    }

    async fn release(&self, _: Nonce) -> Result<(), BoxError> {
        self.call(REVOKE, Writer::default().int(1, self.lease.get())).await?;
        Ok(())
    }

    async fn look(&self) -> Result<(), BoxError> {
        self.read().await
    }
}
