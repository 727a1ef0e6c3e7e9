//! Whole executions of several nodes, against what happened before what.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use steadfast_clock::{HlcState, Physical, Timestamp};

use crate::NOW;

const NODES: usize = 4;

/// No wall clock is ever wrong by more, in milliseconds; so no two differ by more than twice as
/// much.
const SKEW: i64 = 200;

#[derive(Clone, Debug)]
enum Event {
    /// True time passes, in milliseconds.
    Pass(u64),
    /// A wall clock is set to so many milliseconds from true time.
    Set(usize, i64),
    Local(usize),
    /// The receipt is stamped, or only adopted.
    Message {
        from: usize,
        to: usize,
        stamped: bool,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (1..400_u64).prop_map(Event::Pass),
        1 => (0..NODES, -SKEW..=SKEW).prop_map(|(node, by)| Event::Set(node, by)),
        3 => (0..NODES).prop_map(Event::Local),
        4 => (0..NODES, 0..NODES, any::<bool>()).prop_map(|(from, to, stamped)| Event::Message { from, to, stamped }),
    ];
    proptest::collection::vec(event, 1..120)
}

struct Node {
    clock: HlcState,
    skew: i64,
    /// All events that happened before the node's next one.
    past: BTreeSet<usize>,
}

struct World {
    nodes: Vec<Node>,
    elapsed: u64,
    /// Each event's stamp, and the events that happened before it.
    history: Vec<(Timestamp, BTreeSet<usize>)>,
}

impl World {
    fn new() -> Self {
        let max_drift = Duration::from_millis(2 * SKEW.unsigned_abs());
        let node =
            |_| Node { clock: HlcState::new(max_drift).unwrap(), skew: 0, past: BTreeSet::new() };
        Self { nodes: (0..NODES).map(node).collect(), elapsed: 0, history: Vec::new() }
    }

    fn wall(&self, node: usize) -> Physical {
        let millis = i64::try_from(NOW.as_millis()).unwrap()
            + self.elapsed.cast_signed()
            + self.nodes[node].skew;
        Physical::from_unix(Duration::from_millis(millis.unsigned_abs()))
    }

    /// Stamps an event of `node`, and checks its lead.
    fn event(
        &mut self,
        node: usize,
        stamp: impl FnOnce(&mut HlcState, Physical) -> Timestamp,
    ) -> Timestamp {
        let wall = self.wall(node);
        let stamp = stamp(&mut self.nodes[node].clock, wall);
        assert!(stamp.physical() >= wall, "{stamp} is behind its wall clock");
        assert!(
            stamp.physical().since(wall) <= Duration::from_millis(2 * SKEW.unsigned_abs()),
            "{stamp} leads"
        );
        self.history.push((stamp, self.nodes[node].past.clone()));
        self.nodes[node].past.insert(self.history.len() - 1);
        stamp
    }

    fn message(&mut self, from: usize, to: usize, stamped: bool) {
        let sent = self.event(from, HlcState::tick);
        let heard = self.nodes[from].past.clone();
        self.nodes[to].past.extend(heard);
        if stamped {
            self.event(to, |clock, wall| clock.update(wall, sent).unwrap());
        } else {
            let wall = self.wall(to);
            self.nodes[to].clock.merge(wall, sent).unwrap();
        }
    }

    fn run(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Pass(millis) => self.elapsed += millis,
                Event::Set(node, by) => self.nodes[node].skew = by,
                Event::Local(node) => drop(self.event(node, HlcState::tick)),
                Event::Message { from, to, stamped } => self.message(from, to, stamped),
            }
        }
    }
}

proptest! {
    #[test]
    fn what_happened_before_has_the_smaller_stamp_and_the_lead_is_what_clocks_differ_by(events in events()) {
        let mut world = World::new();
        world.run(events);
        for (stamp, past) in &world.history {
            prop_assert!(past.iter().all(|&earlier| world.history[earlier].0 < *stamp));
        }
    }
}
