//! A TCP proxy whose link can fail.

use std::{
    fmt, io,
    net::SocketAddr,
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_core::ConfigError;
use tokio::sync::watch;

use crate::{Change, Delay, Direction, FailureMode};

mod accept;
mod carry;
mod config;
mod counters;
mod end;
mod line;
mod pacer;
mod port;
mod pump;
mod settings;
mod watch_settings;

use self::{
    accept::Acceptor,
    counters::Counters,
    pacer::Pacer,
    port::Port,
    settings::{Settings, Way},
};
pub use self::{config::ProxyConfig, counters::ProxySnapshot, end::End};

/// A TCP proxy on loopback in front of a real server, whose link can fail in the ways links do.
///
/// Clients connect to its [`address`](Self::address). What they send is passed on byte for byte, in
/// order, with the end of each stream (a half-closed connection stays half open) and with resets,
/// until the link is told to fail. A change holds for the connections there are and wakes those
/// that wait. Each change is made under a lock that every write holds: when the method returns,
/// nothing is passed on any more that the link of before would have passed on.
///
/// Clones share the proxy. It ends with the last of them: its port, its connections, its tasks.
///
/// # What it cannot do
/// It is a program and no cable, so the system acknowledges what it has not passed on yet:
///
/// - A client connects before the proxy has reached the server. If that refuses, the client sees a
///   reset and no refusal. Only a [`cut`](Self::cut) link refuses.
/// - In a [black hole](Self::black_hole) writes succeed until the buffers of the system are full,
///   and a connection can be opened. Neither end ever sees a time-out of its retransmissions.
/// - A delay holds for bytes, and for the end of a stream or its reset. The handshake takes none,
///   nor does a reset by [`cut`](Self::cut).
/// - It reads no more of a stream that has ended. An end that has half-closed, and is reset later,
///   is known to be gone only when something is sent to it.
///
/// # Panics
/// [`bind`](Self::bind) and the futures of the methods panic outside a tokio runtime with `net` and
/// `time`.
///
/// # Example
/// ```
/// use steadfast_chaos::{FaultProxy, ProxyConfig};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = FaultProxy::bind(ProxyConfig::new(server.local_addr()?))?;
/// TcpStream::connect(proxy.address()).await?;
/// proxy.cut().await;
/// assert!(TcpStream::connect(proxy.address()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FaultProxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    upstream: SocketAddr,
    settings: watch::Sender<Settings>,
    seen: watch::Receiver<u64>,
    counters: Arc<Counters>,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A number is outside the range its setter names.
    #[error("no proxy of such a configuration")]
    Config(#[from] ConfigError),
    /// Its port cannot be opened.
    #[error("a proxy has no port")]
    Io(#[from] io::Error),
}

impl FaultProxy {
    /// Opens its port, and passes on what comes: a link without faults.
    ///
    /// # Errors
    /// When a number is outside the range its setter names, or the port cannot be opened.
    pub fn bind(config: ProxyConfig) -> Result<Self, BindError> {
        config.check()?;
        let (port, listener) = Port::open(config.listen)?;
        let (address, upstream) = (port.address(), config.upstream);
        let settings = watch::Sender::new(Settings::default());
        let counters = Arc::new(Counters::default());
        let acceptor = Acceptor::new(config, (port, listener), &settings, Arc::clone(&counters));
        let seen = acceptor.seen();
        tokio::spawn(acceptor.run());
        Ok(Self { shared: Arc::new(Shared { address, upstream, settings, seen, counters }) })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The server behind it.
    #[must_use]
    pub fn upstream(&self) -> SocketAddr {
        self.shared.upstream
    }

    /// From now on bytes of this direction arrive so much later, in order, and without a lower
    /// rate: further bytes are sent meanwhile, up to the [window](ProxyConfig::window).
    ///
    /// It holds for bytes that are on their way too: a delay of zero lets them arrive now. Jitter
    /// is drawn for each chunk; a chunk that takes longer holds up the ones after it, as TCP does.
    pub fn delay(&self, direction: Direction, delay: Delay) {
        self.way(direction, |way| way.delay = delay);
    }

    /// From now on at most so many bytes leave in this direction in a second, over all connections
    /// together, which take turns. `None`, as at first, sets no limit.
    ///
    /// In a pause up to 20 ms are saved up. A delay begins after that.
    pub fn limit(&self, direction: Direction, bytes_per_second: impl Into<Option<NonZeroU64>>) {
        let pacer = bytes_per_second.into().map(|rate| Arc::new(Mutex::new(Pacer::new(rate))));
        self.way(direction, |way| way.pacer = pacer);
    }

    /// From now on nothing arrives in this direction, and neither end is told.
    ///
    /// The link reads no more, so writers stall once the buffers of the system are full. What was
    /// sent is late and not lost: after [`end_black_hole`](Self::end_black_hole) it arrives, as
    /// TCP's retransmissions do, also when the sender has given up since. The end of a stream, a
    /// reset and a refusal of the server are held just so. With no way to the server, connections
    /// of clients are accepted and reach it afterwards.
    ///
    /// The other direction goes on. Real TCP would stall there too before long, for want of
    /// acknowledgements.
    pub fn black_hole(&self, direction: Direction) {
        self.way(direction, |way| way.is_black_hole = true);
    }

    /// From now on this direction is no black hole.
    pub fn end_black_hole(&self, direction: Direction) {
        self.way(direction, |way| way.is_black_hole = false);
    }

    /// From now on each connection is reset, at both ends, as soon as it has passed on so many
    /// bytes in this direction, counted from its beginning. `None`, as at first, sets no bound.
    ///
    /// The receiver gets so many bytes and then the reset; fewer if it reads so slowly that its
    /// system has not taken them: a reset overtakes those.
    pub fn reset_after(&self, direction: Direction, bytes: impl Into<Option<u64>>) {
        let bytes = bytes.into();
        self.way(direction, |way| way.reset_after = bytes);
    }

    /// From now on the server seems to accept each connection so much later. Clients connect, and
    /// what they send waits. Connections that wait already do so for the new time.
    pub fn slow_accept(&self, takes: Duration) {
        self.change(|settings| settings.slow_accept = takes);
    }

    /// The connections there are have lost this end without a word, as when its machine loses
    /// power: half-open, in the words of RFC 9293, section 3.5.1.
    ///
    /// The end that is left hears nothing, and is reset as soon as it sends something, by the
    /// machine that has come up again and knows of no connection. One that has half-closed sends
    /// nothing. For a machine that stays down, make a [black hole](Self::black_hole) of the way
    /// there. The connection of the end that is gone is
    /// reset, in case its process only plays dead. Later connections are as the link is.
    pub fn half_open(&self, gone: End) {
        self.change(|settings| settings.lose(gone));
    }

    /// Resets all connections at both ends, and refuses new ones. Returns when none is left and the
    /// port refuses.
    ///
    /// On Linux the port is kept meanwhile; elsewhere another process could take it.
    ///
    /// # Cancellation
    /// The link is cut once the future was polled; dropping it only ends the wait.
    pub async fn cut(&self) {
        self.begin_cut().await;
    }

    /// As at first: no fault is left. Returns when connections are accepted.
    ///
    /// What happened stays so: connections that were cut or half-open are that still.
    ///
    /// # Cancellation
    /// The link is healed once the future was polled; dropping it only ends the wait.
    pub async fn heal(&self) {
        let version = self.change(Settings::heal);
        self.seen(version).await;
    }

    /// Lets a failure of a plan's timeline begin or end on this link; a direction of `None` is
    /// both. The end of one ends what methods or other failures have set in the same place. Returns
    /// false if no link fails in this mode, but a process does.
    ///
    /// # Cancellation
    /// As of [`cut`](Self::cut).
    pub async fn apply(&self, change: Change, mode: FailureMode) -> bool {
        let begins = change == Change::Begin;
        let ways = [Direction::Upstream, Direction::Downstream]
            .into_iter()
            .filter(|way| mode.direction().is_none_or(|direction| direction == *way));
        match mode {
            FailureMode::Cut if begins => self.cut().await,
            FailureMode::Cut => self.mend().await,
            FailureMode::BlackHole { .. } if begins => ways.for_each(|way| self.black_hole(way)),
            FailureMode::BlackHole { .. } => ways.for_each(|way| self.end_black_hole(way)),
            FailureMode::Delayed { delay, .. } => {
                let delay = if begins { delay } else { Delay::of(Duration::ZERO) };
                ways.for_each(|way| self.delay(way, delay));
            }
            FailureMode::Limited { bytes_per_second, .. } => {
                ways.for_each(|way| self.limit(way, begins.then_some(bytes_per_second)));
            }
            FailureMode::Paused | FailureMode::Killed => return false,
        }
        true
    }

    /// Ends the proxy for all its handles: closes its port and its connections, and returns when
    /// none is left.
    ///
    /// # Cancellation
    /// The proxy ends once the future was polled; dropping it only ends the wait.
    pub async fn shutdown(&self) {
        self.shared.end();
        self.shared.settings.closed().await;
    }

    /// What it has done up to now.
    #[must_use]
    pub fn snapshot(&self) -> ProxySnapshot {
        self.shared.counters.snapshot()
    }

    /// Cuts the link; the future returns when that is done.
    pub(crate) fn begin_cut(&self) -> impl Future<Output = ()> + use<'_> {
        let mut ending = Vec::new();
        let version = self.change(|settings| ending = settings.cut());
        async move {
            self.seen(version).await;
            for alive in ending {
                alive.closed().await;
            }
        }
    }

    /// Accepts connections again, and leaves the other faults.
    async fn mend(&self) {
        let version = self.change(|settings| settings.is_cut = false);
        self.seen(version).await;
    }

    fn way(&self, direction: Direction, change: impl FnOnce(&mut Way)) {
        self.change(|settings| change(settings.way_mut(direction)));
    }

    /// Returns the version of the changed settings.
    fn change(&self, change: impl FnOnce(&mut Settings)) -> u64 {
        self.shared.change(change)
    }

    /// Until the port is as these settings say.
    async fn seen(&self, version: u64) {
        // It fails when the proxy has ended, and then the port is closed.
        let _ = self.shared.seen.clone().wait_for(|seen| *seen >= version).await;
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy")
            .field("address", &self.shared.address)
            .field("upstream", &self.shared.upstream)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Settings)) -> u64 {
        let mut version = 0;
        self.settings.send_modify(|settings| {
            change(settings);
            settings.version += 1;
            version = settings.version;
        });
        version
    }

    fn end(&self) {
        self.change(|settings| settings.is_over = true);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end();
    }
}
