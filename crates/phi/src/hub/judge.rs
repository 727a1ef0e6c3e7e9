//! What silence makes of what was published: no lock is taken here.

use std::time::{Duration, Instant};

use steadfast_core::parts::lock;

use super::{Hub, NEVER, Watched, published::Record};
use crate::{PeerSnapshot, Status, curve::Curve, status::Level, units};

impl<K> Hub<K> {
    /// When silence changes the status next.
    pub(super) fn due(&self, record: &Record) -> u64 {
        record.standing.next().map_or(NEVER, |level| self.reached(record, level))
    }

    /// When the suspicion reaches a threshold if no heartbeat comes.
    pub(super) fn reached(&self, record: &Record, level: Level) -> u64 {
        let curve = self.curve(record);
        let Some(score) = self.settings.score(level) else { return NEVER };
        // Rounded up: what is due by an instant must be so at it.
        let silence = units::nanoseconds_up(curve.silence_at(score));
        silence.map_or(NEVER, |ns| self.start(record).saturating_add(ns).min(NEVER))
    }

    pub(super) const fn threshold(&self, level: Level) -> f64 {
        match level {
            Level::Suspect => self.settings.suspect,
            Level::Convict => self.settings.convict,
        }
    }

    /// Since when silence counts.
    pub(super) fn start(&self, record: &Record) -> u64 {
        record.arrival.max(self.timer.resumed())
    }

    pub(super) fn curve(&self, record: &Record) -> Curve {
        let shape = self.settings.shape;
        Curve { shape, location: record.location, scale: record.scale }
    }

    pub(super) fn phi(&self, record: &Record, now: u64) -> f64 {
        let silence = Duration::from_nanos(now.saturating_sub(self.start(record)));
        self.curve(record).phi(silence.as_secs_f64())
    }

    /// The latest state, and the status and suspicion that silence has made of it by `now`. Takes
    /// no lock.
    pub(super) fn judge(&self, peer: &Watched<K>, now: u64) -> (Record, Status, f64) {
        self.timer.look(now);
        let mut record = peer.published.read();
        while let Some(level) = record.standing.next()
            && self.reached(&record, level) <= now
        {
            record.standing = record.standing.fall();
        }
        match record.standing.status {
            Status::Unknown => (record, Status::Unknown, 0.0),
            status => (record, status, self.phi(&record, now)),
        }
    }

    /// The status and the suspicion at `now`, which was read just before.
    pub(crate) fn look(&self, peer: &Watched<K>, now: Instant) -> (Status, f64) {
        let (_, status, phi) = self.judge(peer, self.timer.at(now));
        (status, phi)
    }

    pub(crate) fn status(&self, peer: &Watched<K>) -> Status {
        self.judge(peer, self.timer.now()).1
    }

    pub(crate) fn suspicion(&self, peer: &Watched<K>) -> f64 {
        self.judge(peer, self.timer.now()).2
    }

    pub(crate) fn snapshot(&self, peer: &Watched<K>) -> PeerSnapshot {
        let now = self.timer.now();
        let (record, status, phi) = self.judge(peer, now);
        let is_known = status != Status::Unknown;
        PeerSnapshot {
            status,
            phi,
            silence: is_known.then(|| Duration::from_nanos(now.saturating_sub(record.arrival))),
            heartbeats: peer.heartbeats(),
            mistakes: peer.mistakes(),
            calibration: self
                .settings
                .is_calibrated
                .then(|| lock(&peer.state).estimator.calibration(&self.settings.rules))
                .flatten(),
        }
    }

    /// When the suspicion reaches the threshold if no heartbeat comes; `None` for a peer that was
    /// never heard, and where that is never.
    pub(crate) fn reaches(&self, peer: &Watched<K>, level: Level) -> Option<Instant> {
        let (record, status, _) = self.judge(peer, self.timer.now());
        let at = self.reached(&record, level);
        if status == Status::Unknown || at >= NEVER { None } else { self.timer.instant(at) }
    }
}
