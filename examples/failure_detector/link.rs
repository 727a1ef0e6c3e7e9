//! The way from one process to another, as its sender plays it.

use std::{net::SocketAddr, time::Duration};

use rand::{RngExt, rngs::SmallRng};
use steadfast::Splitter;

use crate::{LOSSY_FROM, LOSSY_TO, MEMBERS};

/// The same losses and delays each time.
const SEED: u64 = 11;

/// The share that is lost, and the mean delay: of most links, and of the lossy one. Its delays are
/// long enough for one heartbeat to overtake another now and then.
const MOST: (f64, f64) = (0.01, 0.002);
const LOSSY: (f64, f64) = (0.3, 0.02);

/// One way from here.
pub(crate) struct Link {
    pub(crate) to: SocketAddr,
    pub(crate) is_cut: bool,
    loss: f64,
    mean_delay_s: f64,
    chance: SmallRng,
}

/// The way to each of `addresses`, its own too, which is not used.
pub(crate) fn links(from: usize, addresses: &[SocketAddr]) -> Vec<Link> {
    let link = |(id, &to): (usize, &SocketAddr)| {
        let (loss, mean_delay_s) = if (from, id) == (LOSSY_FROM, LOSSY_TO) { LOSSY } else { MOST };
        let seed = SEED * 100 + u64::try_from(from * MEMBERS + id).expect("a few links");
        Link { to, is_cut: false, loss, mean_delay_s, chance: Splitter::seeded(seed).split() }
    };
    addresses.iter().enumerate().map(link).collect()
}

impl Link {
    /// For how long the next heartbeat is under way; `None` if it does not arrive. Each draws,
    /// lost or not.
    pub(crate) fn delay(&mut self) -> Option<Duration> {
        let is_lost = self.chance.random_bool(self.loss);
        let share: f64 = self.chance.random_range(f64::EPSILON..1.0);
        let delay = Duration::from_secs_f64(-share.ln() * self.mean_delay_s);
        (!is_lost && !self.is_cut).then_some(delay)
    }
}
