//! The network: each worker reaches each server by a proxy of its own.

use std::net::SocketAddr;

use steadfast_chaos::{Delay, Direction, FaultProxy, ProxyConfig};

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
    leases: Vec<FaultProxy>,
    registers: FaultProxy,
}

/// As of a far continent, in milliseconds: two thirds of what a call to the store may take.
const DELAY: Delay =
    Delay::of(std::time::Duration::from_millis(60)).jitter(std::time::Duration::from_millis(60));

impl Links {
    pub(crate) fn open(place: &Place, seats: u32, seed: u64) -> Result<Self, Failure> {
        let proxy = |upstream: SocketAddr| FaultProxy::bind(ProxyConfig::new(upstream).seed(seed));
        let link = |_| {
            let leases = place.leases().into_iter().map(proxy).collect::<Result<_, _>>()?;
            Ok::<_, Failure>(Link { leases, registers: proxy(place.registers())? })
        };
        Ok(Self { of: (0..seats).map(link).collect::<Result<_, _>>()? })
    }

    /// Where the worker of a seat finds the leases and the registers.
    pub(crate) fn urls(&self, place: &Place, seat: u32) -> [String; 2] {
        let Link { leases, registers } = &self.of[seat as usize];
        let leases: Vec<_> = leases.iter().map(FaultProxy::address).collect();
        [place.leases_url(&leases), place.registers_url(registers.address())]
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

    /// All links of a seat are as at first.
    pub(crate) async fn heal(&self, seat: u32) {
        let link = &self.of[seat as usize];
        for proxy in link.to(Far::Leases).iter().chain(link.to(Far::Registers)) {
            proxy.heal().await;
        }
    }
}

impl Link {
    fn to(&self, far: Far) -> &[FaultProxy] {
        match far {
            Far::Leases => &self.leases,
            Far::Registers => std::slice::from_ref(&self.registers),
        }
    }
}
