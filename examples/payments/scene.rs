//! One server, one link, all payers.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use steadfast::{Detach, DetachConfig};
use steadfast_chaos::process::Child;
use tokio::{task::block_in_place, time::sleep};

use crate::{
    Failure,
    payers::{PAYERS, Paid, Payers},
    store::{Kind, Place},
    weather::{self, Link},
};

/// What the server does with keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Ignored,
    Kept,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Payers that have a receipt.
    pub(crate) paid: usize,
    /// Payments that were charged once, more than once, and not at all.
    pub(crate) once: usize,
    pub(crate) twice: usize,
    pub(crate) unpaid: usize,
    /// Charges beyond the first.
    pub(crate) too_many: usize,
    /// Receipts of no charge of their payment.
    pub(crate) wrong: usize,
    /// Receipts of runs that took their key over.
    pub(crate) taken_over: usize,
    /// Payers that were given the same receipt when they asked once more.
    pub(crate) same_again: usize,
    /// Requests that payers sent.
    pub(crate) requests: u64,
    /// How often each fault struck.
    pub(crate) struck: Vec<(String, u64)>,
    pub(crate) connections: u64,
    pub(crate) crashes: u32,
}

/// After so many of the payers have paid, the server is killed.
const CRASHES: [usize; 2] = [PAYERS / 4, PAYERS * 6 / 10];
/// For so long it is gone.
const GONE: Duration = Duration::from_millis(300);
/// After so long all that is under way has come to its end.
const SETTLE: Duration = Duration::from_millis(1500);

pub(crate) struct Scene {
    kind: Kind,
    place: Place,
}

impl Scene {
    pub(crate) async fn set(kind: Kind) -> Result<Self, Failure> {
        Ok(Self { kind, place: Place::set(kind).await? })
    }

    pub(crate) async fn play(&self, keys: Keys) -> Result<Seen, Failure> {
        let server = self.start(keys, 0)?;
        let address = server.address();
        let link = Link::to(address)?;
        let payers = payers(link.proxy.address())?;
        payers.faults.turn_on();
        // Payments have numbers of their own in each play.
        let first = if keys == Keys::Ignored { 0 } else { 1000 };
        let paying = payers.pay(first);
        let (paid, (server, crashes)) =
            tokio::try_join!(async { Ok(paying.await) }, self.crash(keys, server, &payers.paid))?;

        payers.faults.turn_off();
        link.calm().await;
        payers.network.shutdown().await;
        sleep(SETTLE).await;
        let mut seen = self.count(&paid).await?;
        seen.crashes = crashes;
        let faults = payers.faults.snapshot();
        seen.requests = faults.requests;
        seen.struck =
            faults.rules.iter().map(|rule| (rule.name.to_string(), rule.struck)).collect();
        seen.connections = link.proxy.snapshot().accepted;
        if keys == Keys::Kept {
            seen.same_again = again(&payers, &paid).await;
        }
        drop(server);
        Ok(seen)
    }

    fn start(&self, keys: Keys, port: u16) -> Result<Child, Failure> {
        let keys = if keys == Keys::Kept { "kept" } else { "ignored" };
        let [place, bank] = self.place.args();
        let port = port.to_string();
        let args = ["--server", self.kind.name(), keys, &port, &place, &bank];
        Ok(block_in_place(|| Child::spawn(args))?)
    }

    /// Kills the server twice in the middle of its work, and starts it again on its port.
    async fn crash(
        &self,
        keys: Keys,
        mut server: Child,
        paid: &AtomicUsize,
    ) -> Result<(Child, u32), Failure> {
        let mut crashes = 0;
        for after in CRASHES.into_iter().filter(|_| self.kind.is_durable()) {
            while paid.load(Ordering::Relaxed) < after {
                sleep(Duration::from_millis(5)).await;
            }
            let port = server.port();
            block_in_place(|| server.kill())?;
            crashes += 1;
            sleep(GONE).await;
            server = self.start(keys, port)?;
        }
        Ok((server, crashes))
    }

    async fn count(&self, paid: &[Paid]) -> Result<Seen, Failure> {
        let (charges, mut seen) = (self.place.charges().await?, Seen::default());
        for (payment, receipt) in paid {
            let charged = charges.of_payment(payment.number);
            match charged.len() {
                0 => seen.unpaid += 1,
                1 => seen.once += 1,
                times => {
                    seen.twice += 1;
                    seen.too_many += times - 1;
                }
            }
            match receipt {
                Ok(receipt) => {
                    seen.paid += 1;
                    seen.wrong += usize::from(!charged.contains(&receipt.charge));
                    seen.taken_over += usize::from(receipt.attempt > 1);
                }
                Err(failure) => eprintln!("payment {}: {failure}", payment.number),
            }
        }
        Ok(seen)
    }
}

fn payers(server: SocketAddr) -> Result<Payers, Failure> {
    // Far more requests than are ever under way.
    let most = NonZeroUsize::new(10 * PAYERS).expect("payers are not none");
    let network = Detach::new(DetachConfig::new().most(most))?;
    Ok(Payers { server, faults: weather::faults()?, network, paid: Arc::default() })
}

/// How many get their receipt again, as a replay.
async fn again(payers: &Payers, paid: &[Paid]) -> usize {
    let mut same = 0;
    for (payment, receipt) in paid {
        match (payers.ask_again(payment).await, receipt) {
            (Ok((again, true)), Ok(receipt)) if again == *receipt => same += 1,
            (again, receipt) => eprintln!("payment {}: {again:?}, {receipt:?}", payment.number),
        }
    }
    same
}
