//! Stops where they bite. Of stops at random hardly one falls between a holder's check and its
//! write, so these are placed there: where a worker has said what it is about to write, and waits
//! for the answer.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use steadfast::{BootClock, BootInstant};

use crate::{
    TTL,
    troupe::Troupe,
    word::{Message, Word},
};

pub(crate) struct Director {
    troupe: Arc<Troupe>,
    rng: SmallRng,
    scene: Scene,
    is_next_late: bool,
    pub(crate) done: Done,
}

/// How many stops there were of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// A holder between its check and its write, woken when its lease is over.
    pub(crate) late: u32,
    /// The same, and its successor between its first read and its first write while the former
    /// writes.
    pub(crate) crossed: u32,
}

#[derive(Clone, Copy)]
enum Scene {
    None,
    /// This one is stopped until then.
    Late {
        former: u32,
        until: BootInstant,
    },
    /// This one is stopped until its successor has read, or until then.
    Waits {
        former: u32,
        token: u64,
        until: BootInstant,
    },
    /// The former is awake, and the successor stopped until that has written, or until then.
    Crossed {
        former: u32,
        successor: u32,
        until: BootInstant,
    },
}

/// Of the writes while no worker is stopped so.
const CHANCE: f64 = 0.05;
/// In milliseconds: 1.05 to 2.5 times as long as a lease.
const LATE_MS: std::ops::Range<u64> = 1_050..2_500;
/// For a successor to come: a lease that no fault holds up is free much sooner.
const PATIENCE: Duration = TTL.saturating_mul(3);
/// For the former to write: several times what it takes on a busy machine.
const WRITE: Duration = Duration::from_millis(800);

impl Director {
    pub(crate) fn new(troupe: Arc<Troupe>, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed ^ 0x5ce7e);
        Self { troupe, rng, scene: Scene::None, is_next_late: false, done: Done::default() }
    }

    /// Hears what a worker says before it is answered: one that is stopped here goes on when it
    /// wakes.
    pub(crate) fn hear(&mut self, message: &Message) {
        let Message { number, token, ref word, .. } = *message;
        match (self.scene, word) {
            (Scene::None, Word::About { .. }) if self.rng.random_bool(CHANCE) => {
                self.begin(number, token);
            }
            (Scene::Waits { former, token: last, .. }, Word::About { is_first: true, .. })
                if token > last =>
            {
                self.done.crossed += 1;
                self.scene = match self.troupe.stop(number) {
                    true => Scene::Crossed { former, successor: number, until: after(WRITE) },
                    false => Scene::None,
                };
                self.troupe.wake(former);
            }
            (Scene::Crossed { former, successor, .. }, Word::Wrote { .. }) if number == former => {
                self.scene = Scene::None;
                self.troupe.wake(successor);
            }
            _ => {}
        }
    }

    fn begin(&mut self, former: u32, token: u64) {
        if !self.troupe.stop(former) {
            return;
        }
        // In turns: a short run on a slow machine has few of them.
        self.is_next_late = !self.is_next_late;
        self.scene = if self.is_next_late {
            self.done.late += 1;
            let late = Duration::from_millis(self.rng.random_range(LATE_MS));
            Scene::Late { former, until: after(late) }
        } else {
            Scene::Waits { former, token, until: after(PATIENCE) }
        };
    }

    /// When to [`look`](Self::look).
    pub(crate) fn due(&self) -> Option<BootInstant> {
        match self.scene {
            Scene::None => None,
            Scene::Late { until, .. }
            | Scene::Waits { until, .. }
            | Scene::Crossed { until, .. } => Some(until),
        }
    }

    /// Wakes what has stood for long enough.
    pub(crate) fn look(&mut self) {
        if self.due().is_none_or(|due| due > now()) {
            return;
        }
        match std::mem::replace(&mut self.scene, Scene::None) {
            Scene::None => {}
            Scene::Late { former, .. } | Scene::Waits { former, .. } => self.troupe.wake(former),
            Scene::Crossed { successor, .. } => self.troupe.wake(successor),
        }
    }
}

fn now() -> BootInstant {
    BootClock::system().now()
}

fn after(span: Duration) -> BootInstant {
    now().saturating_add(span)
}
