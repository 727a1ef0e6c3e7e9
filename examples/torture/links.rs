//! The network: each worker reaches each server by a proxy of its own.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use steadfast_chaos::{Delay, Direction, FaultProxy, ProxyConfig};

use tokio::time::sleep;

use crate::{
    Failure,
    place::Place,
    plan::{Far, Fault},
};

pub(crate) struct Links {
    /// By seat.
    of: Vec<Link>,
}

struct Link {
    /// Replaced where another server takes the place of the first.
    leases: Mutex<Vec<FaultProxy>>,
    registers: FaultProxy,
}

/// As of a far continent, in milliseconds: two thirds of what a call to the store may take.
const DELAY: Delay = Delay::of(Duration::from_millis(60)).jitter(Duration::from_millis(60));

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(50);

impl Links {
    pub(crate) fn open(place: &Place, seats: u32, seed: u64) -> Result<Self, Failure> {
        let proxy = |upstream: SocketAddr| FaultProxy::bind(ProxyConfig::new(upstream).seed(seed));
        let link = |_| {
            let leases = place.leases().into_iter().map(proxy).collect::<Result<_, _>>()?;
            Ok::<_, Failure>(Link {
                leases: Mutex::new(leases),
                registers: proxy(place.registers())?,
            })
        };
        Ok(Self { of: (0..seats).map(link).collect::<Result<_, _>>()? })
    }

    /// Where the worker of a seat finds the leases and the registers.
    pub(crate) fn urls(&self, place: &Place, seat: u32) -> [String; 2] {
        let link = &self.of[seat as usize];
        let leases: Vec<_> = link.to(Far::Leases).iter().map(FaultProxy::address).collect();
        [place.leases_url(&leases), place.registers_url(link.registers.address())]
    }

    /// What this fault of a link does.
    pub(crate) async fn fail(&self, fault: Fault, seat: u32) {
        let (Fault::Cut(far) | Fault::Delay(far) | Fault::NoWayThere(far) | Fault::NoWayBack(far)) =
            fault
        else {
            return;
        };
        for proxy in self.of[seat as usize].to(far) {
            match fault {
                Fault::Cut(_) => proxy.cut().await,
                Fault::Delay(_) => {
                    proxy.delay(Direction::Upstream, DELAY);
                    proxy.delay(Direction::Downstream, DELAY);
                }
                Fault::NoWayThere(_) => proxy.black_hole(Direction::Upstream),
                _ => proxy.black_hole(Direction::Downstream),
            }
        }
    }

    /// The workers reach other servers of the leases, by the addresses that they know.
    pub(crate) async fn lead_to(&self, servers: &[SocketAddr]) -> Result<(), Failure> {
        for link in &self.of {
            let mut proxies = Vec::new();
            for (proxy, server) in link.to(Far::Leases).iter().zip(servers) {
                // Its port is free then, for the next.
                proxy.shutdown().await;
                proxies.push(rebind(proxy.address(), *server).await?);
            }
            *link.leases.lock().unwrap_or_else(PoisonError::into_inner) = proxies;
        }
        Ok(())
    }

    /// All links of a seat are as at first.
    pub(crate) async fn heal(&self, seat: u32) {
        let link = &self.of[seat as usize];
        for proxy in link.to(Far::Leases).into_iter().chain(link.to(Far::Registers)) {
            proxy.heal().await;
        }
    }
}

/// Again while a client of this machine happens to have the port.
async fn rebind(address: SocketAddr, server: SocketAddr) -> Result<FaultProxy, Failure> {
    for _ in 0..TRIES {
        match FaultProxy::bind(ProxyConfig::new(server).listen(address)) {
            Ok(proxy) => return Ok(proxy),
            Err(_) => sleep(PAUSE).await,
        }
    }
    Err(format!("{address} is taken").into())
}

impl Link {
    fn to(&self, far: Far) -> Vec<FaultProxy> {
        match far {
            Far::Leases => self.leases.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Far::Registers => vec![self.registers.clone()],
        }
    }
}
