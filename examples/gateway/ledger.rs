//! Which orders were executed, by the word of the upstreams. It outlives them.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::net::UdpSocket;

use crate::Failure;

/// How often each order was executed.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<HashMap<u64, u32>>>);

impl Ledger {
    /// Listens in this process. A datagram sent is a datagram that arrives, even if its sender is
    /// killed the moment after.
    pub(crate) async fn open() -> Result<(Self, SocketAddr), Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let ledger = Self::default();
        let writer = ledger.clone();
        tokio::spawn(async move {
            let mut order = [0; 8];
            while socket.recv(&mut order).await.is_ok() {
                writer.enter(u64::from_be_bytes(order));
            }
        });
        Ok((ledger, address))
    }

    fn enter(&self, order: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(order).or_default() += 1;
    }

    /// How many orders were executed, and how many of them more than once.
    pub(crate) fn executed(&self) -> (usize, usize) {
        let orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (orders.len(), orders.values().filter(|&&times| times > 1).count())
    }
}
