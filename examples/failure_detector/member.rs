//! One process: it sends heartbeats, watches those of the others, and counts votes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use steadfast::{
    clock::Hlc,
    phi::{Detector, DetectorConfig, Heartbeat, PhiConfig, Transition},
    quorum::{Suspicion, SuspicionTally, Threshold},
};
use steadfast_chaos::process;
use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    Failure, MEMBERS, PERIOD, THRESHOLD,
    link::{Link, links},
    wire::{Beat, Held, Message, Turn, View},
};

/// How long a vote counts: many heartbeats.
const MAX_AGE: Duration = Duration::from_secs(1);

/// This process stood still if its timer is so late: more than a busy machine makes it, less than
/// it takes to convict a peer.
const LOCAL_PAUSE: Duration = Duration::from_millis(250);

struct Member {
    id: usize,
    parent: SocketAddr,
    socket: Arc<UdpSocket>,
    /// Grows with each start. What it says is numbered from there.
    incarnation: u64,
    number: u64,
    /// None until it is told where the others are.
    links: Vec<Link>,
    detector: Detector<usize>,
    tally: SuspicionTally<Threshold>,
    /// The newest number heard of each.
    newest: [u64; MEMBERS],
}

/// Serves until the parent is gone.
pub(crate) async fn serve(id: &str, parent: &str) -> Result<(), Failure> {
    process::exit_when_orphaned();
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    // A process may be late by some heartbeats, as on a busy machine, before that says anything.
    let phi = PhiConfig::new()
        .threshold(THRESHOLD)
        .first_interval(PERIOD)
        .minimum_deviation(PERIOD)
        .acceptable_pause(10 * PERIOD);
    let mut member = Member {
        id: id.parse()?,
        parent: parent.parse()?,
        socket: Arc::clone(&socket),
        incarnation: Hlc::default().tick().to_bits(),
        number: 0,
        links: Vec::new(),
        detector: Detector::new(DetectorConfig::new(phi).local_pause(LOCAL_PAUSE))?,
        tally: SuspicionTally::new(Threshold::majority_of(MEMBERS)?, MAX_AGE)?,
        newest: [0; MEMBERS],
    };
    let mut transitions = member.detector.transitions();
    let mut ticks = interval(PERIOD);
    // What was not sent while it stood still is not sent at all.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    process::announce_ready(socket.local_addr()?.port())?;
    let mut datagram = [0; 1024];
    loop {
        tokio::select! {
            received = socket.recv(&mut datagram) => {
                let text = str::from_utf8(&datagram[..received?])?;
                member.receive(text.parse()?)?;
            }
            Some(transition) = transitions.next() => member.tell(&transition).await?,
            _ = ticks.tick() => member.beat().await?,
        }
    }
}

impl Member {
    fn receive(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Peers(addresses) if self.links.is_empty() => {
                self.links = links(self.id, &addresses);
            }
            Message::Cut(to, is_cut) => self.links[to].is_cut = is_cut,
            Message::Beat(beat) => self.hear(beat)?,
            // Told twice where they are; the rest is for the parent.
            Message::Peers(_) | Message::View(_) | Message::Turn(_) => {}
        }
        Ok(())
    }

    fn hear(&mut self, beat: Beat) -> Result<(), Failure> {
        let Beat { from, incarnation, number, sequence, suspicions } = beat;
        let heartbeat = Heartbeat::new().sequence(number).incarnation(incarnation);
        self.detector.heartbeat_with(&from, heartbeat)?;
        self.newest[from] = number.max(self.newest[from]);
        self.count(from, sequence, suspicions);
        Ok(())
    }

    fn count(&mut self, observer: usize, sequence: u64, suspicions: Vec<(usize, bool)>) {
        for (suspect, suspected) in suspicions {
            let suspicion = Suspicion { observer, suspect, suspected, sequence };
            // A vote that was overtaken by a newer one is ignored.
            let _ = self.tally.report(suspicion, now());
        }
    }

    /// Sends the next heartbeat to all, and what it holds of all to the parent.
    async fn beat(&mut self) -> Result<(), Failure> {
        self.number += 1;
        let said = self.detector.suspicions();
        let (suspicions, sequence) = (said.peers, self.incarnation + said.sequence);
        self.count(self.id, sequence, suspicions.clone());
        let (from, incarnation, number) = (self.id, self.incarnation, self.number);
        let beat = Beat { from, incarnation, number, sequence, suspicions };
        let text: Arc<str> = Message::Beat(beat).to_string().into();
        for (_, link) in self.links.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            let Some(delay) = link.delay() else { continue };
            let (to, text, socket) = (link.to, Arc::clone(&text), Arc::clone(&self.socket));
            tokio::spawn(async move {
                sleep(delay).await;
                // Another lost one.
                let _ = socket.send_to(text.as_bytes(), to).await;
            });
        }
        self.say(Message::View(self.view())).await
    }

    fn view(&self) -> View {
        let pauses = self.detector.snapshot().local_pauses;
        View { observer: self.id, pauses, peers: std::array::from_fn(|peer| self.held(peer)) }
    }

    fn held(&self, id: usize) -> Held {
        let decision = self.tally.decide(id, now());
        let sent = self.newest[id];
        let Some(peer) = self.detector.get(&id) else {
            return Held { decision, ..Held::NOTHING };
        };
        let (state, at) = (peer.snapshot(), peer.convict_at());
        let convict_in_us = at.map_or(i64::MAX, |at| signed_us(at, now()));
        Held {
            phi: state.phi,
            status: state.status,
            convict_in_us,
            decision,
            heard: state.heartbeats,
            sent,
        }
    }

    async fn tell(&self, transition: &Transition<usize>) -> Result<(), Failure> {
        let age_us = us(now().saturating_duration_since(transition.at));
        let (observer, peer, to) = (self.id, transition.peer, transition.to);
        self.say(Message::Turn(Turn { observer, peer, to, age_us })).await
    }

    async fn say(&self, message: Message) -> Result<(), Failure> {
        self.socket.send_to(message.to_string().as_bytes(), self.parent).await?;
        Ok(())
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// From `now` to `at`; negative if that is past.
fn signed_us(at: Instant, now: Instant) -> i64 {
    let span =
        |a: Instant, b| i64::try_from(us(a.saturating_duration_since(b))).unwrap_or(i64::MAX);
    span(at, now) - span(now, at)
}
