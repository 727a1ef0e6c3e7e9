//! What a proxy stands in front of, and its bounds.

use std::net::{Ipv4Addr, SocketAddr};

use steadfast_core::ConfigError;

/// 64 KiB: larger ones moved no more over loopback, smaller ones cost a system call more often.
const BUFFER: usize = 64 * 1024;
/// 1 MiB: a delay of 100 ms still lets 10 MiB/s pass.
const WINDOW: usize = 1024 * 1024;
/// As many as a test is likely to have files open for, at two a connection.
const CONNECTIONS: usize = 10_000;
/// The largest of the three numbers: half of what a semaphore of tokio counts on 32 bits.
const MOST: usize = 1 << 28;

/// A proxy's server, its address and its bounds.
#[derive(Clone, Debug)]
#[must_use]
pub struct ProxyConfig {
    pub(super) upstream: SocketAddr,
    pub(super) listen: SocketAddr,
    pub(super) seed: u64,
    pub(super) buffer: usize,
    pub(super) window: usize,
    pub(super) connections: usize,
}

impl ProxyConfig {
    /// A proxy to the server at `upstream`, on a free port of `127.0.0.1`.
    pub const fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            listen: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            seed: 0,
            buffer: BUFFER,
            window: WINDOW,
            connections: CONNECTIONS,
        }
    }

    /// Where clients connect to. With port 0, the default, the system picks a free one.
    pub const fn listen(self, address: SocketAddr) -> Self {
        Self { listen: address, ..self }
    }

    /// What the jitter of delays is drawn from; 0 by default. The same seed draws the same jitter
    /// for the same chunk of the same connection, but how a stream falls into chunks is the
    /// system's choice.
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// How many bytes one read takes, at least 1; 64 KiB by default. One such buffer is held for
    /// each direction of a connection while bytes are in it.
    pub const fn buffer(self, bytes: usize) -> Self {
        Self { buffer: bytes, ..self }
    }

    /// How many bytes more can be on their way in one direction of a connection while there is a
    /// [delay](crate::FaultProxy::delay), at least 1; 1 MiB by default. A delayed connection
    /// carries at most so many bytes in each delay, as any connection does by its window.
    pub const fn window(self, bytes: usize) -> Self {
        Self { window: bytes, ..self }
    }

    /// How many connections are carried at once, at least 1; 10,000 by default. Further ones wait
    /// in the backlog of the system, unaccepted, until one ends.
    pub const fn connections(self, most: usize) -> Self {
        Self { connections: most, ..self }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let sizes =
            [("buffer", self.buffer), ("window", self.window), ("connections", self.connections)];
        sizes.into_iter().try_for_each(|(field, value)| {
            let holds = (1..=MOST).contains(&value);
            ConfigError::require(holds, field, value, "from 1 to 2^28")
        })
    }
}
