//! Free ports.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Binds a free port of the loopback interface, and says which.
///
/// The listener is non-blocking, as `tokio::net::TcpListener::from_std` wants it.
///
/// # Errors
/// When no port can be bound.
pub fn loopback() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
