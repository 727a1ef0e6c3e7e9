//! One round trip each: what goes over the wire is watched, and turns are counted.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use steadfast_idempotency::{Change, ClaimReply, ClaimTerms, Store};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::rivals::{LONG, some_id, taker, terms};

/// Passes on what comes, and counts how often the client speaks after the server has.
struct Wire {
    address: SocketAddr,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct Turns {
    count: AtomicUsize,
    is_clients: AtomicBool,
}

impl Wire {
    async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, turns) = (listener.local_addr().unwrap(), Arc::<Turns>::default());
        let seen = Arc::clone(&turns);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(upstream).await.unwrap();
                for socket in [&client, &server] {
                    socket.set_nodelay(true).unwrap();
                }
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, true, Arc::clone(&seen)));
                tokio::spawn(pass(from_server, to_client, false, Arc::clone(&seen)));
            }
        });
        Self { address, turns }
    }

    /// How many turns a call takes.
    async fn turns<T>(&self, call: impl Future<Output = T>) -> (usize, T) {
        let before = self.turns.count.load(Ordering::SeqCst);
        let answer = call.await;
        (self.turns.count.load(Ordering::SeqCst) - before, answer)
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    is_client: bool,
    turns: Arc<Turns>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut bytes).await {
        let was_clients = turns.is_clients.swap(is_client, Ordering::SeqCst);
        if is_client && !was_clients {
            turns.count.fetch_add(1, Ordering::SeqCst);
        }
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}

/// The first time a statement may be prepared and a script be sent. Then each operation is one.
async fn all_are_one<S: Store>(wire: &Wire, store: &S) {
    for is_first in [true, false] {
        let (done, freed) = (some_id(), some_id());
        let (owner, other) = (terms(), taker());
        let reply = bytes::Bytes::from(vec![7; 1024]);
        let applied = Change::Applied;
        let one = |what: &str, turns: usize| {
            assert!(turns >= 1, "{what}: the wire is watched");
            assert!(is_first || turns == 1, "{what}: {turns} round trips");
        };
        let (turns, granted) = wire.turns(store.claim(&done, &owner)).await;
        one("claim", turns);
        assert!(matches!(granted.unwrap(), ClaimReply::Claimed { .. }));
        let (turns, held) = wire.turns(store.claim(&done, &other)).await;
        one("claim of what is in flight", turns);
        assert!(matches!(held.unwrap(), ClaimReply::InFlight { .. }));
        let (turns, renewed) = wire.turns(store.renew(&done, owner.token, LONG, LONG)).await;
        one("renew", turns);
        assert_eq!(renewed.unwrap(), applied);
        let (turns, completed) =
            wire.turns(store.complete(&done, owner.token, reply.clone(), LONG)).await;
        one("complete", turns);
        assert_eq!(completed.unwrap(), applied);
        let (turns, replayed) = wire.turns(store.claim(&done, &other)).await;
        one("replay", turns);
        assert_eq!(replayed.unwrap(), ClaimReply::Done { reply });
        let (turns, view) = wire.turns(store.look(&done)).await;
        one("look", turns);
        assert!(view.unwrap().is_some());
        let (turns, forgotten) = wire.turns(store.forget(&done)).await;
        one("forget", turns);
        assert!(forgotten.unwrap());
        for is_free in [false, true] {
            let owner = ClaimTerms { token: terms().token, ..owner };
            let claimed = store.claim(&freed, &owner).await.unwrap();
            assert!(matches!(claimed, ClaimReply::Claimed { .. }));
            let (turns, said) = if is_free {
                wire.turns(store.release(&freed, owner.token)).await
            } else {
                wire.turns(store.abandon(&freed, owner.token, LONG)).await
            };
            one(if is_free { "release" } else { "abandon" }, turns);
            assert_eq!(said.unwrap(), applied);
            store.forget(&freed).await.unwrap();
        }
    }
}

#[cfg(all(feature = "redis", unix))]
#[tokio::test]
async fn each_operation_is_one_round_trip_over_redis() {
    use steadfast_idempotency::{RedisConfig, RedisStore};

    let server = steadfast_testkit::servers::redis();
    let wire = Wire::to(([127, 0, 0, 1], server.port()).into()).await;
    let url = format!("redis://{}/", wire.address);
    all_are_one(&wire, &RedisStore::connect(RedisConfig::new(), &url).await.unwrap()).await;
}

#[cfg(all(feature = "deadpool", feature = "sqlx"))]
#[tokio::test]
async fn each_operation_is_one_round_trip_over_postgresql_named_or_not() {
    use steadfast_idempotency::PostgresConfig;

    let server = steadfast_testkit::servers::postgres();
    let wire = Wire::to(([127, 0, 0, 1], server.port()).into()).await;
    let port = format!(":{}", server.port());
    let url = server.url().replace(&port, &format!(":{}", wire.address.port()));
    for config in [PostgresConfig::new(), PostgresConfig::new().unnamed_statements()] {
        let pool = steadfast_store::connect(&url).await.unwrap();
        Box::pin(all_are_one(&wire, &crate::postgres::store(config, pool).await)).await;
    }
}
