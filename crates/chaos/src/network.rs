//! Links between nodes, which fall apart and heal.

use std::{net::SocketAddr, sync::Arc};

use crate::{BindError, Direction, Event, FailureMode, FaultProxy, ProxyConfig};

/// A set of links between named nodes: each a [`FaultProxy`] from one node to the server of
/// another.
///
/// A node connects to the address that [`link`](Self::link) returns in place of the server's. The
/// links, their connections and their tasks end when the network is dropped.
///
/// # Example
/// ```no_run
/// # async fn example(
/// #     server_of_c: std::net::SocketAddr,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use steadfast_chaos::Network;
///
/// let mut network = Network::new();
/// let c_as_seen_by_a = network.link("a", "c", server_of_c)?;
/// let c_as_seen_by_b = network.link("b", "c", server_of_c)?;
/// network.partition(&["a", "b"], &["c"])?;
/// // ... what a and b send, and what c answers, is on its way, and does not arrive ...
/// network.heal().await;
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Network {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    /// The node that opens connections.
    from: Arc<str>,
    to: Arc<str>,
    proxy: FaultProxy,
}

/// No link has a node, and is not itself, of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no link or node is called {name:?}")]
#[non_exhaustive]
pub struct Unknown {
    /// The name.
    pub name: Arc<str>,
}

impl Network {
    /// No links yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: Vec::new() }
    }

    /// A link from one node to the server of another at `address`, without faults. Returns where
    /// the first is to connect to: a free port of `127.0.0.1`.
    ///
    /// # Errors
    /// When no port can be opened.
    ///
    /// # Panics
    /// Outside a tokio runtime with `net` and `time`.
    pub fn link(
        &mut self,
        from: impl Into<Arc<str>>,
        to: impl Into<Arc<str>>,
        address: SocketAddr,
    ) -> Result<SocketAddr, BindError> {
        let proxy = FaultProxy::bind(ProxyConfig::new(address))?;
        let near_end = proxy.address();
        self.add(from, to, proxy);
        Ok(near_end)
    }

    /// A link that is there already.
    pub fn add(&mut self, from: impl Into<Arc<str>>, to: impl Into<Arc<str>>, proxy: FaultProxy) {
        self.links.push(Link { from: from.into(), to: to.into(), proxy });
    }

    /// The links from one node to another, as proxies: for faults of one link alone.
    pub fn proxies<'a>(&'a self, from: &str, to: &str) -> impl Iterator<Item = &'a FaultProxy> {
        let links = self.links.iter();
        links.filter(move |link| *link.from == *from && *link.to == *to).map(|link| &link.proxy)
    }

    /// Parts two sides without a word, as a network does that loses packets: all links between them
    /// are [black holes](FaultProxy::black_hole) both ways. What is sent waits until it heals. When
    /// this returns, nothing is carried between the sides any more.
    ///
    /// # Errors
    /// When a name is none of a node: then nothing is done.
    pub fn partition(
        &self,
        one: &[impl AsRef<str>],
        other: &[impl AsRef<str>],
    ) -> Result<(), Unknown> {
        self.partition_one_way(one, other)?;
        self.partition_one_way(other, one)
    }

    /// The same in one direction: what nodes of `from` send to those of `to` does not arrive,
    /// whichever of the two has opened the connection.
    ///
    /// # Errors
    /// When a name is none of a node: then nothing is done.
    pub fn partition_one_way(
        &self,
        from: &[impl AsRef<str>],
        to: &[impl AsRef<str>],
    ) -> Result<(), Unknown> {
        for (link, direction) in self.between(from, to)? {
            link.proxy.black_hole(direction);
        }
        Ok(())
    }

    /// Parts two sides aloud: all links between them are [cut](FaultProxy::cut), so their
    /// connections are reset, and new ones refused. Returns when nothing is carried between the
    /// sides any more, and no connection is left.
    ///
    /// # Errors
    /// When a name is none of a node: then nothing is done.
    ///
    /// # Cancellation
    /// The links are cut once the future was polled; dropping it only ends the wait.
    pub async fn cut(
        &self,
        one: &[impl AsRef<str>],
        other: &[impl AsRef<str>],
    ) -> Result<(), Unknown> {
        let there = self.between(one, other)?;
        let cuts: Vec<_> = there.into_iter().map(|(link, _)| link.proxy.begin_cut()).collect();
        for cut in cuts {
            cut.await;
        }
        Ok(())
    }

    /// All links are as at first. Returns when connections are accepted on each.
    ///
    /// # Cancellation
    /// Some links may not be healed.
    pub async fn heal(&self) {
        for link in &self.links {
            link.proxy.heal().await;
        }
    }

    /// Lets an event of a plan's timeline happen. Its target is a link, by the name `a->c`, or a
    /// node: all links to it. Returns false for what happens to processes and not to links.
    ///
    /// # Errors
    /// When a link or node of that name is not there.
    ///
    /// # Cancellation
    /// Some links may be as they were.
    pub async fn apply(&self, event: &Event) -> Result<bool, Unknown> {
        if matches!(event.mode, FailureMode::Paused | FailureMode::Killed) {
            return Ok(false);
        }
        let mut is_known = false;
        for link in self.links.iter().filter(|link| link.is_called(&event.target)) {
            link.proxy.apply(event.change, event.mode).await;
            is_known = true;
        }
        if is_known { Ok(true) } else { Err(Unknown { name: Arc::clone(&event.target) }) }
    }

    /// Ends all links, and returns when no connection is left.
    ///
    /// # Cancellation
    /// Those that were not ended yet end as the future, which holds them, is dropped.
    pub async fn shutdown(self) {
        for link in &self.links {
            link.proxy.shutdown().await;
        }
    }

    /// The links that carry bytes from one set of nodes to another, and in which direction.
    fn between(
        &self,
        from: &[impl AsRef<str>],
        to: &[impl AsRef<str>],
    ) -> Result<Vec<(&Link, Direction)>, Unknown> {
        let names = from.iter().map(AsRef::as_ref).chain(to.iter().map(AsRef::as_ref));
        for name in names {
            if !self.links.iter().any(|link| *link.from == *name || *link.to == *name) {
                return Err(Unknown { name: name.into() });
            }
        }
        let is_from = |node: &str| from.iter().any(|name| name.as_ref() == node);
        let is_to = |node: &str| to.iter().any(|name| name.as_ref() == node);
        let mut between = Vec::new();
        for link in &self.links {
            if is_from(&link.from) && is_to(&link.to) {
                between.push((link, Direction::Upstream));
            }
            if is_from(&link.to) && is_to(&link.from) {
                between.push((link, Direction::Downstream));
            }
        }
        Ok(between)
    }
}

impl Link {
    fn is_called(&self, name: &str) -> bool {
        let ends = name.split_once("->");
        *self.to == *name || ends.is_some_and(|ends| ends == (&*self.from, &*self.to))
    }
}
