//! Two ends and a proxy between them.

use std::{io, net::SocketAddr, time::Duration};

use steadfast_chaos::{FaultProxy, ProxyConfig};
use steadfast_testkit::loopback;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A machine that does something else for so long is broken. No test passes by this going by.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// What has not arrived after this was not under way: 100 times what loopback takes.
pub(crate) const LONG: Duration = Duration::from_millis(100);

/// A server behind a link.
pub(crate) struct Rig {
    pub(crate) proxy: FaultProxy,
    server: TcpListener,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(configure: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Self {
        let (server, address) = listener();
        let proxy = FaultProxy::bind(configure(ProxyConfig::new(address))).expect("a free port");
        Self { proxy, server }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address()).await.expect("a proxy that listens")
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        let accepted = timeout(FOREVER, self.server.accept()).await;
        accepted.expect("a connection is under way").expect("a server that listens").0
    }

    /// A connection, as client and server have it.
    pub(crate) async fn pair(&self) -> (TcpStream, TcpStream) {
        (self.connect().await, self.accept().await)
    }

    /// Whether no connection reaches the server for a while.
    pub(crate) async fn hears_nothing(&self) -> bool {
        timeout(LONG, self.server.accept()).await.is_err()
    }
}

pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let (listener, address) = loopback().expect("a free port");
    (TcpListener::from_std(listener).expect("a runtime"), address)
}

pub(crate) async fn send(to: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    to.write_all(bytes.as_ref()).await.expect("a peer that reads");
}

/// The next bytes, as many as these.
pub(crate) async fn receive(from: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut received = vec![0; bytes];
    let read = timeout(FOREVER, from.read_exact(&mut received)).await;
    read.expect("the bytes are under way").expect("a peer that writes");
    received
}

/// All that comes, and how it ends.
pub(crate) async fn drain(from: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut received = Vec::new();
    let ended = timeout(FOREVER, from.read_to_end(&mut received)).await.expect("it ends");
    (received, ended.map(|_| ()))
}

pub(crate) async fn is_reset(stream: &mut TcpStream) -> bool {
    let (_, ended) = drain(stream).await;
    ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// Whether nothing comes for a while, and no end.
pub(crate) async fn is_silent(stream: &TcpStream) -> bool {
    timeout(LONG, stream.peek(&mut [0])).await.is_err()
}

/// Until it is so.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(FOREVER, waiting).await.expect("it comes to be so");
}

/// Bytes that are all different from their neighbours, far and near.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
