//! A port that can be closed without being lost.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// As many as the standard library lets wait.
const BACKLOG: u32 = 1024;

/// A port of this process, listening or not.
#[derive(Debug)]
pub(super) struct Port {
    address: SocketAddr,
    /// A bound socket that does not listen. While the port is closed the system refuses connections
    /// to it, and gives it to no other process.
    _holder: Option<TcpSocket>,
}

impl Port {
    pub(super) fn open(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        // Only Linux lets two sockets of one address be bound as long as one listens at most.
        let holder = cfg!(target_os = "linux").then(|| bind(address)).transpose()?;
        let address = holder.as_ref().map_or(Ok(address), TcpSocket::local_addr)?;
        let listener = bind(address)?.listen(BACKLOG)?;
        Ok((Self { address: listener.local_addr()?, _holder: holder }, listener))
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        bind(self.address)?.listen(BACKLOG)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // On Windows it would let another process share the port.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}
