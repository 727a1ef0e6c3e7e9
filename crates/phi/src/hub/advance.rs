//! What time brings about: the transitions of silent peers, and where the timer stands.

use steadfast_core::parts::lock;

use super::{Hub, NEVER, changes::Changes, published::Record, schedule::Gone};

/// How many peers are looked at before the subscriber is given what was found.
const BATCH: usize = 64;

impl<K> Hub<K> {
    /// Keeps the timer from ringing while heartbeats come: files anew what keeps it where it is, a
    /// part at each heartbeat, then moves it on.
    #[cold]
    pub(super) fn move_on(&self, now: u64) {
        /// Shards that one heartbeat looks at, and peers in each: more than one peer, so that it
        /// comes to an end, since each heartbeat leaves at most one behind.
        const MOST: (usize, usize) = (4, 16);
        let (arming, mut gone) = (&self.timer.arming, Gone::new());
        let Some(least) = arming.begin(now) else { return };
        for _ in 0..MOST.0 {
            let (shard, first, _) = arming.first();
            if first > least {
                return self.timer.reset();
            }
            let due = |record: &Record| self.due(record);
            if !self.schedule.refresh(arming, shard, (MOST.1, least), &mut gone, due) {
                // It is really late.
                return;
            }
        }
        arming.go_on();
    }

    /// Makes the transitions of a few peers whose deadlines have passed, in the order of the
    /// deadlines. False if there were none.
    pub(crate) fn advance(&self, now: u64) -> bool {
        let arming = &self.timer.arming;
        let (shard, first, second) = arming.first();
        if first > now {
            return false;
        }
        for _ in 0..BATCH {
            let Some(filed) = self.schedule.pop(arming, shard, now.min(second)) else { break };
            let mut changes = Changes::none();
            let mut state = lock(&filed.peer.state);
            if state.filed == filed.due {
                let mut record = filed.peer.published.own();
                self.catch_up(&filed.peer, &state, &mut record, filed.due, &mut changes);
                filed.peer.published.write(record);
                state.filed = NEVER;
                let due = self.due(&record);
                if due < NEVER {
                    // Its former place was popped: no garbage, and the reader who is here sets the
                    // timer.
                    let _ = self.schedule.file(arming, &filed.peer, &mut state, due);
                }
            } else {
                self.schedule.passed_over(shard);
            }
            drop(state);
            filed.let_go();
            changes.report(self);
        }
        true
    }

    /// The earliest deadline, made true. The caller drops `gone` with every lock free.
    pub(crate) fn earliest(&self, gone: &mut Gone<K>) -> u64 {
        /// A peer may be in the middle of a heartbeat: it cannot be filed anew just then.
        const TRIES: usize = 8;
        let arming = &self.timer.arming;
        let mut stuck = 0;
        loop {
            let (shard, first, _) = arming.first();
            if first == NEVER || stuck == TRIES {
                return first;
            }
            let due = |record: &Record| self.due(record);
            // The top that stands is the earliest if no other shard's is earlier now.
            if !self.schedule.refresh(arming, shard, (BATCH, NEVER), gone, due) {
                if arming.earliest() == first {
                    return first;
                }
                stuck += 1;
            }
        }
    }
}
