//! Where the intervals are kept.

use std::time::Duration;

use crate::{
    PhiConfig, Prior,
    decaying::Decaying,
    phi_config::HistoryKind,
    window::{Moments, Window},
};

/// The intervals so far: the last ones, or all with less weight the older they are.
#[derive(Clone, Debug)]
pub(crate) enum History {
    /// In a box, so that a detector of constant memory is small.
    Window(Box<Window>),
    Decaying(Decaying),
}

impl History {
    /// One that holds the samples of the prior that stay in it.
    pub(super) fn new(config: &PhiConfig) -> Self {
        let mut history = match config.history {
            HistoryKind::Window(limit) => Self::Window(Box::new(Window::new(limit))),
            HistoryKind::Decaying(limit) => Self::Decaying(Decaying::new(limit)),
        };
        let first = config.first_interval;
        match config.prior {
            Prior::Until(_) => {}
            Prior::OneSample => history.push(first.as_nanos() as i64),
            Prior::TwoSamples => {
                let deviation: Duration = first / 4;
                history.push((first - deviation).as_nanos() as i64);
                history.push((first + deviation).as_nanos() as i64);
            }
        }
        history
    }

    pub(super) fn push(&mut self, nanos: i64) {
        match self {
            Self::Window(window) => window.push(nanos),
            Self::Decaying(decaying) => decaying.push(nanos),
        }
    }

    pub(super) fn moments(&self) -> Moments {
        match self {
            Self::Window(window) => window.moments(),
            Self::Decaying(decaying) => decaying.moments(),
        }
    }
}

/// How many samples the history can hold.
pub(super) const fn limit(config: &PhiConfig) -> u32 {
    match config.history {
        HistoryKind::Window(limit) | HistoryKind::Decaying(limit) => limit,
    }
}
