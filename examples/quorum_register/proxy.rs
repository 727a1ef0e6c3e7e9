//! Links between two sides, which can be cut.

use std::{net::SocketAddr, time::Duration};

use steadfast_testkit::loopback;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    time::sleep,
};

use crate::Failure;

/// TCP proxies with one switch. They end when this is dropped.
pub(crate) struct Links {
    is_cut: watch::Sender<bool>,
    links: usize,
}

impl Links {
    pub(crate) fn new() -> Self {
        Self { is_cut: watch::Sender::new(false), links: 0 }
    }

    /// A link to `node`: the address of its near end.
    pub(crate) fn to(&mut self, node: SocketAddr) -> Result<SocketAddr, Failure> {
        let (listener, address) = loopback()?;
        let listener = TcpListener::from_std(listener)?;
        tokio::spawn(accept(listener, node, self.is_cut.subscribe()));
        self.links += 1;
        Ok(address)
    }

    /// Breaks every connection, and returns when nothing is carried any more. New ones are accepted
    /// and broken at once.
    pub(crate) async fn cut(&self) {
        self.is_cut.send_replace(true);
        // Each link listens to the switch, and so does each connection.
        while self.is_cut.receiver_count() > self.links {
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn heal(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn accept(listener: TcpListener, node: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    loop {
        let accepted = select! {
            accepted = listener.accept() => accepted,
            changed = is_cut.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        // Dropped otherwise, which is what a cut link is to who connects to it.
        if let Ok((client, _)) = accepted
            && !*is_cut.borrow()
        {
            tokio::spawn(carry(client, node, is_cut.clone()));
        }
    }
}

/// Carries bytes both ways until either end closes, or the link is cut.
async fn carry(mut client: TcpStream, node: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    let carried = async {
        let mut node = TcpStream::connect(node).await?;
        copy_bidirectional(&mut client, &mut node).await
    };
    select! {
        // However it ends, both ends are closed: that is all they can be told.
        _ = carried => {}
        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
    }
}
