//! Proxies that know no faults.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
};

use crate::BUFFER;

/// For each direction a task that reads, and writes what it has read.
pub(crate) fn bare(server: SocketAddr) -> io::Result<SocketAddr> {
    let (listener, address) = listen()?;
    tokio::spawn(async move {
        while let Ok((client, server)) = accept(&listener, server).await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(copy(from_client, to_server));
            tokio::spawn(copy(from_server, to_client));
        }
    });
    Ok(address)
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            read => to.write_all(&buffer[..read]).await?,
        }
    }
}

/// One task for both directions.
pub(crate) fn bidirectional(server: SocketAddr) -> io::Result<SocketAddr> {
    let (listener, address) = listen()?;
    tokio::spawn(async move {
        while let Ok((mut client, mut server)) = accept(&listener, server).await {
            tokio::spawn(async move {
                copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await
            });
        }
    });
    Ok(address)
}

async fn accept(listener: &TcpListener, server: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let (client, _) = listener.accept().await?;
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}
