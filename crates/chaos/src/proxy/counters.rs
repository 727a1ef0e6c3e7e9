//! What a proxy has done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Direction;

/// All relaxed: each is a number of its own.
#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    ended: AtomicU64,
    reset: AtomicU64,
    unreachable: AtomicU64,
    carried: [AtomicU64; 2],
}

/// What a proxy has done up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxySnapshot {
    /// Connections there are, with those that are half-open or wait for their server.
    pub open: u64,
    /// Connections of clients that were accepted.
    pub accepted: u64,
    /// Connections that ended by a reset: cut, after so many bytes, or passed on from one end.
    pub reset: u64,
    /// Connections that ended, with a reset to the client, because the server accepted none.
    pub unreachable: u64,
    /// Bytes that were passed on to the server.
    pub upstream: u64,
    /// Bytes that were passed on to the client.
    pub downstream: u64,
}

impl Counters {
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.fetch_add(1, Relaxed)
    }

    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    pub(super) fn reset(&self) {
        self.reset.fetch_add(1, Relaxed);
    }

    pub(super) fn unreachable(&self) {
        self.unreachable.fetch_add(1, Relaxed);
    }

    pub(super) fn carried(&self, direction: Direction, bytes: u64) {
        self.carried[direction as usize].fetch_add(bytes, Relaxed);
    }

    pub(super) fn snapshot(&self) -> ProxySnapshot {
        // What has ended was accepted before.
        let ended = self.ended.load(Relaxed);
        let accepted = self.accepted.load(Relaxed);
        let carried = |direction| self.carried[direction as usize].load(Relaxed);
        ProxySnapshot {
            open: accepted.saturating_sub(ended),
            accepted,
            reset: self.reset.load(Relaxed),
            unreachable: self.unreachable.load(Relaxed),
            upstream: carried(Direction::Upstream),
            downstream: carried(Direction::Downstream),
        }
    }
}
