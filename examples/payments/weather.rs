//! What happens between payers and server.

use std::{net::SocketAddr, time::Duration};

use steadfast_chaos::{
    Delay,
    Direction::{Downstream, Upstream},
    Fault, FaultProxy, Faults, Plan, ProxyConfig, Rule,
};
use tokio::{task::JoinHandle, time::sleep};

use crate::Failure;

/// The same faults strike the same requests, by their numbers.
const SEED: u64 = 13;

/// What strikes requests on their way, and their replies.
pub(crate) fn faults() -> Result<Faults, Failure> {
    let late = Delay::of(Duration::from_millis(50)).jitter(Duration::from_millis(700));
    let plan = Plan::new(SEED)
        .rule(Rule::new("requests lost", Fault::RequestLost).probability(0.06))
        .rule(Rule::new("requests late", Fault::Queued(late)).probability(0.06))
        .rule(Rule::new("requests duplicated", Fault::Duplicated).probability(0.06))
        .rule(Rule::new("replies lost", Fault::ReplyLost).probability(0.08))
        .rule(Rule::new("replies late", Fault::ReplyLate(late)).probability(0.06));
    Ok(Faults::new(plan)?)
}

/// A link to the server with a weather of its own, which ends with this.
pub(crate) struct Link {
    pub(crate) proxy: FaultProxy,
    weather: JoinHandle<()>,
}

impl Link {
    pub(crate) fn to(server: SocketAddr) -> Result<Self, Failure> {
        let proxy = FaultProxy::bind(ProxyConfig::new(server).seed(SEED))?;
        let weather = tokio::spawn(storm(proxy.clone()));
        Ok(Self { proxy, weather })
    }

    /// The storm is over. What was lost is gone.
    pub(crate) async fn calm(&self) {
        self.weather.abort();
        self.proxy.cut().await;
        self.proxy.heal().await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.weather.abort();
    }
}

/// Small delays all the time; then all connections are reset, and then no reply gets through.
async fn storm(link: FaultProxy) {
    loop {
        let delay = Delay::of(Duration::from_millis(1)).jitter(Duration::from_millis(5));
        link.delay(Upstream, delay);
        link.delay(Downstream, delay);
        sleep(Duration::from_millis(400)).await;
        link.cut().await;
        link.heal().await;
        sleep(Duration::from_millis(400)).await;
        link.black_hole(Downstream);
        sleep(Duration::from_millis(300)).await;
        link.end_black_hole(Downstream);
    }
}
