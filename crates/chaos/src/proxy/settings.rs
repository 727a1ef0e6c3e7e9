//! What a link is like at the moment: plain data, under one lock.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

use super::{end::End, pacer::Pacer};
use crate::{Delay, Direction};

/// What a link is like.
///
/// It lies in a `watch`, which is two things at once. Its lock is held for reading by each write of
/// each connection, so that when a change has been made, nothing of before is carried any more; and
/// its change wakes every connection, whatever that waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// Counts the changes.
    pub(super) version: u64,
    /// No connections, and no new ones.
    pub(super) is_cut: bool,
    /// The proxy ends.
    pub(super) is_over: bool,
    /// Connections of an earlier epoch are broken: a link that was cut and healed in one moment
    /// has cut them.
    pub(super) epoch: u64,
    /// Each connection of this epoch listens to it: it is closed when they have all ended.
    pub(super) alive: Arc<watch::Sender<()>>,
    /// Those of earlier epochs, until they are closed.
    ending: Vec<Arc<watch::Sender<()>>>,
    /// How often each end has been gone, by [`End`].
    gone: [u64; 2],
    pub(super) slow_accept: Duration,
    ways: [Way; 2],
}

/// One direction of a link.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) delay: Delay,
    pub(super) pacer: Option<Arc<Mutex<Pacer>>>,
    pub(super) is_black_hole: bool,
    pub(super) reset_after: Option<u64>,
}

/// When a connection began, in terms of what breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Birth {
    epoch: u64,
    gone: [u64; 2],
}

/// What has become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Carried,
    /// One of its ends is gone, and the other has not been told.
    HalfOpen {
        gone: End,
    },
    /// Broken, with a reset.
    Cut,
    /// The proxy ends, and closes it.
    Over,
}

impl Settings {
    pub(super) const fn way(&self, direction: Direction) -> &Way {
        &self.ways[direction as usize]
    }

    pub(super) const fn way_mut(&mut self, direction: Direction) -> &mut Way {
        &mut self.ways[direction as usize]
    }

    pub(super) const fn birth(&self) -> Birth {
        Birth { epoch: self.epoch, gone: self.gone }
    }

    pub(super) fn fate(&self, birth: Birth) -> Fate {
        if self.is_over {
            return Fate::Over;
        }
        if self.is_cut || self.epoch != birth.epoch {
            return Fate::Cut;
        }
        let gone = End::BOTH.map(|end| self.gone[end as usize] != birth.gone[end as usize]);
        match gone {
            [false, false] => Fate::Carried,
            [true, false] => Fate::HalfOpen { gone: End::Client },
            [false, true] => Fate::HalfOpen { gone: End::Server },
            // Both hosts are gone. What is left are two sockets of ours.
            [true, true] => Fate::Cut,
        }
    }

    /// Breaks the connections there are. What is returned is closed when they have ended, and also
    /// those that an earlier cut has broken.
    pub(super) fn cut(&mut self) -> Vec<Arc<watch::Sender<()>>> {
        self.is_cut = true;
        self.epoch += 1;
        self.ending.retain(|alive| !alive.is_closed());
        self.ending.push(std::mem::take(&mut self.alive));
        self.ending.clone()
    }

    /// From here on, connections have lost this end.
    pub(super) const fn lose(&mut self, end: End) {
        self.gone[end as usize] += 1;
    }

    /// As it was at first, but for what has happened to connections.
    pub(super) fn heal(&mut self) {
        self.is_cut = false;
        self.slow_accept = Duration::ZERO;
        self.ways = Default::default();
    }
}

impl Way {
    /// Whether what is read can be written at once: neither paced nor delayed nor held.
    pub(super) const fn is_plain(&self) -> bool {
        self.pacer.is_none() && self.delay.is_zero()
    }
}

impl Default for Way {
    fn default() -> Self {
        let delay = Delay::of(Duration::ZERO);
        Self { delay, pacer: None, is_black_hole: false, reset_after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_cut_and_healed_in_one_moment_has_cut_what_there_was() {
        let mut settings = Settings::default();
        let before = settings.birth();
        settings.cut();
        settings.heal();
        assert_eq!(settings.fate(before), Fate::Cut);
        assert_eq!(settings.fate(settings.birth()), Fate::Carried);
    }

    #[test]
    fn a_connection_that_has_lost_one_end_is_half_open_and_one_that_has_lost_both_is_broken() {
        let mut settings = Settings::default();
        let before = settings.birth();
        settings.lose(End::Server);
        settings.heal();
        assert_eq!(settings.fate(before), Fate::HalfOpen { gone: End::Server });
        assert_eq!(settings.fate(settings.birth()), Fate::Carried);
        settings.lose(End::Client);
        assert_eq!(settings.fate(before), Fate::Cut);
    }
}
