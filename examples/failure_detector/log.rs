//! What the parent heard of all.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use steadfast::{phi::Status, quorum::Decision};
use tokio::{net::UdpSocket, time::Instant};

use crate::{
    Failure, MEMBERS,
    wire::{Held, Message, Turn, View},
};

/// An observer that has said nothing for so long is taken to say nothing.
const FRESH: Duration = Duration::from_millis(500);

/// All of it so far.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Heard>>);

#[derive(Default)]
pub(crate) struct Heard {
    views: [Option<(Instant, View)>; MEMBERS],
    /// By observer and peer: when it is convicted if no heartbeat arrives, as last computed.
    computed: [[Option<Instant>; MEMBERS]; MEMBERS],
    pub(crate) convictions: Vec<Conviction>,
    /// When an observer, with its votes, came to another decision on one.
    pub(crate) decided: Vec<Decided>,
}

/// A conviction by one observer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conviction {
    pub(crate) at: Instant,
    pub(crate) observer: usize,
    pub(crate) peer: usize,
    /// The instant that the observer had computed while it still heard the peer, or after.
    pub(crate) computed: Option<Instant>,
}

/// A decision by votes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    pub(crate) at: Instant,
    pub(crate) observer: usize,
    pub(crate) peer: usize,
    pub(crate) decision: Decision,
}

impl Log {
    /// Listens until the socket fails.
    pub(crate) async fn listen(self, socket: Arc<UdpSocket>) -> Result<(), Failure> {
        let mut datagram = [0; 1024];
        loop {
            let length = socket.recv(&mut datagram).await?;
            let message = str::from_utf8(&datagram[..length])?.parse()?;
            self.lock().take(&message, Instant::now());
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

impl Heard {
    fn take(&mut self, message: &Message, now: Instant) {
        match message {
            Message::View(view) => self.take_view(*view, now),
            Message::Turn(turn) => self.take_turn(*turn, now),
            Message::Peers(_) | Message::Cut(..) | Message::Beat(_) => {}
        }
    }

    fn take_view(&mut self, view: View, now: Instant) {
        let observer = view.observer;
        let before = self.views[observer].replace((now, view));
        for (peer, held) in view.peers.into_iter().enumerate() {
            let decision = held.decision;
            if before.is_none_or(|(_, before)| before.peers[peer].decision != decision) {
                self.decided.push(Decided { at: now, observer, peer, decision });
            }
            if matches!(held.status, Status::Trusted | Status::Suspected) {
                // Past only if the observer put it off, or is about to say that it has come.
                let until = u64::try_from(held.convict_in_us).map(Duration::from_micros);
                let at = until.ok().and_then(|until| now.checked_add(until));
                self.computed[observer][peer] = at.or(self.computed[observer][peer]);
            }
        }
    }

    fn take_turn(&mut self, turn: Turn, now: Instant) {
        let Turn { observer, peer, to, age_us } = turn;
        if to == Status::Convicted {
            let at = now - Duration::from_micros(age_us);
            let computed = self.computed[observer][peer];
            self.convictions.push(Conviction { at, observer, peer, computed });
        }
    }

    /// What each that still says something holds of `peer`, and who it is.
    pub(crate) fn held(&self, peer: usize, now: Instant) -> impl Iterator<Item = (usize, Held)> {
        let fresh = self.views.iter().flatten().filter(move |(at, _)| now - *at < FRESH);
        fresh.map(move |(_, view)| (view.observer, view.peers[peer]))
    }

    /// What an observer said last, of anything.
    pub(crate) fn view(&self, observer: usize) -> Option<&View> {
        self.views[observer].as_ref().map(|(_, view)| view)
    }

    /// The convictions in that time.
    pub(crate) fn convictions_in(&self, time: &Range<Instant>) -> Vec<Conviction> {
        self.convictions.iter().filter(|one| time.contains(&one.at)).copied().collect()
    }

    /// Whom an observer's votes held for dead at some time of these, and when first.
    pub(crate) fn dead_in(&self, time: &Range<Instant>) -> Vec<Decided> {
        let within = self.decided.iter().filter(|one| time.contains(&one.at));
        within.filter(|one| one.decision == Decision::Won).copied().collect()
    }
}
