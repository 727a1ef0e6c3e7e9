//! The state behind a detector, shared by its handles.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use steadfast_core::{
    TimeSource,
    parts::{Waiters, lock},
};

use crate::{
    DetectorFull, Heard, Heartbeat, PeerSnapshot, Status, Transition,
    config::Settings,
    estimator::{Circumstances, Estimator, span},
    trials::Trials,
};

pub(crate) const CLOCK: TimeSource = TimeSource::Tokio;

/// All peers of one detector.
#[derive(Debug)]
pub(crate) struct Hub<K> {
    pub(crate) settings: Settings,
    pub(crate) waiters: Waiters,
    peers: Mutex<HashMap<K, Arc<Watched<K>>>>,
    events: Mutex<VecDeque<Transition<K>>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Watched<K> {
    pub(crate) key: K,
    /// What is let through to it while it is not trusted.
    pub(crate) trials: Trials,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    estimator: Estimator,
    last: Option<Instant>,
    status: Status,
    heartbeats: u64,
    mistakes: u64,
}

impl<K: Eq + Hash + Clone> Hub<K> {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            waiters: Waiters::new(),
            peers: Mutex::default(),
            events: Mutex::default(),
        }
    }

    pub(crate) fn peer(&self, key: &K) -> Result<Arc<Watched<K>>, DetectorFull> {
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.get(key) {
            return Ok(Arc::clone(peer));
        }
        let capacity = self.settings.capacity.get();
        if peers.len() >= capacity {
            return Err(DetectorFull { capacity });
        }
        let state = State {
            estimator: self.settings.estimator(),
            last: None,
            status: Status::Unknown,
            heartbeats: 0,
            mistakes: 0,
        };
        let peer = Arc::new(Watched {
            key: key.clone(),
            trials: Trials::default(),
            state: Mutex::new(state),
        });
        peers.insert(key.clone(), Arc::clone(&peer));
        Ok(peer)
    }

    pub(crate) fn get(&self, key: &K) -> Option<Arc<Watched<K>>> {
        lock(&self.peers).get(key).cloned()
    }

    pub(crate) fn forget(&self, key: &K) -> bool {
        lock(&self.peers).remove(key).is_some()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Watched<K>>> {
        lock(&self.peers).values().cloned().collect()
    }

    /// The earliest deadline of all.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.all().iter().filter_map(|peer| peer.due(&self.settings)).min()
    }

    pub(crate) fn advance(&self, now: Instant) {
        self.all().iter().for_each(|peer| self.catch_up(peer, &mut lock(&peer.state), now));
        self.waiters.wake();
    }

    pub(crate) fn take(&self) -> Option<Transition<K>> {
        lock(&self.events).pop_front()
    }

    pub(crate) fn heartbeat(&self, peer: &Watched<K>, heartbeat: Heartbeat) -> Heard {
        let now = CLOCK.now();
        let mut state = lock(&peer.state);
        self.catch_up(peer, &mut state, now);
        let trusted = state.status == Status::Trusted;
        let convicted = state.status == Status::Convicted;
        let heard =
            state.estimator.heartbeat(heartbeat, now, Circumstances { convicted, paused: false });
        state.last = Some(now);
        state.heartbeats += 1;
        state.mistakes += u64::from(heard == Heard::Mistake);
        let to = if convicted { Status::Suspected } else { Status::Trusted };
        self.change(peer, &mut state, to, now);
        drop(state);
        if !trusted {
            peer.trials.heard();
        }
        self.waiters.wake();
        heard
    }

    fn catch_up(&self, peer: &Watched<K>, state: &mut State, now: Instant) {
        let phi = state.phi(now);
        if state.status == Status::Trusted && phi >= self.settings.suspect {
            self.change(peer, state, Status::Suspected, now);
        }
        if state.status == Status::Suspected && phi >= self.settings.convict {
            self.change(peer, state, Status::Convicted, now);
        }
    }

    fn change(&self, peer: &Watched<K>, state: &mut State, to: Status, at: Instant) {
        let from = std::mem::replace(&mut state.status, to);
        if from != to {
            let phi = state.phi(at);
            lock(&self.events).push_back(Transition { peer: peer.key.clone(), from, to, phi, at });
        }
    }
}

impl<K> Watched<K> {
    pub(crate) fn snapshot(&self, settings: &Settings, now: Instant) -> PeerSnapshot {
        let state = lock(&self.state);
        let phi = state.phi(now);
        let status = match state.status {
            Status::Trusted | Status::Suspected if phi >= settings.convict => Status::Convicted,
            Status::Trusted if phi >= settings.suspect => Status::Suspected,
            status => status,
        };
        PeerSnapshot {
            status,
            phi,
            silence: state.last.map(|last| now.saturating_duration_since(last)),
            heartbeats: state.heartbeats,
            mistakes: state.mistakes,
            calibration: state.estimator.calibration(),
        }
    }

    /// When the suspicion reaches `phi` if no heartbeat arrives.
    pub(crate) fn reaches(&self, phi: f64) -> Option<Instant> {
        let state = lock(&self.state);
        state.last?.checked_add(span(&state.estimator.curve(), phi)?)
    }

    fn due(&self, settings: &Settings) -> Option<Instant> {
        let status = lock(&self.state).status;
        match status {
            Status::Trusted => self.reaches(settings.suspect),
            Status::Suspected => self.reaches(settings.convict),
            _ => None,
        }
    }
}

impl State {
    fn phi(&self, now: Instant) -> f64 {
        let silence = |last| now.saturating_duration_since(last);
        let silence = self.last.map_or(Duration::ZERO, silence);
        self.estimator.curve().phi(silence.as_secs_f64())
    }
}
