//! The registers side by side, on the same executions of replicas whose wall clocks disagree.

use std::{collections::BTreeSet, time::Duration};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use steadfast_clock::{
    CausalRegister, HlcState, LwwRegister, MergeOutcome, NodeId, Physical, Siblings, Stamp,
    Timestamp,
};

const REPLICAS: usize = 4;
/// More than any two of the clocks below differ by.
const MAX_DRIFT: Duration = Duration::from_secs(1);

/// A replica either takes over what another has, or, if there is none of that number, writes.
type Step = (usize, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..REPLICAS, 0..2 * REPLICAS), 1..60)
}

/// By how many grains each wall clock is ahead of the slowest: up to 200 ms, where a step takes 100
/// µs.
fn skews() -> impl Strategy<Value = [u64; REPLICAS]> {
    prop::array::uniform(0..2000_u64)
}

/// One replica of each register, and the truth: every write it has heard of.
#[derive(Clone, Debug)]
struct Replica {
    known: BTreeSet<usize>,
    hlc: HlcState,
    wall_lww: LwwRegister<usize, (Physical, NodeId)>,
    hlc_lww: LwwRegister<usize>,
    siblings: Siblings<usize>,
    causal: CausalRegister<usize>,
}

#[derive(Debug)]
struct Execution {
    replicas: Vec<Replica>,
    /// For each write, those that happened before it.
    past: Vec<BTreeSet<usize>>,
    /// What the causal registers reported.
    reported: BTreeSet<usize>,
    /// How often a replica held, by wall clock, a write that another one it knew had followed.
    wall_losses: usize,
}

impl Execution {
    fn run(steps: &[Step], skews: [u64; REPLICAS]) -> Self {
        let replica = Replica {
            known: BTreeSet::new(),
            hlc: HlcState::new(MAX_DRIFT).unwrap(),
            wall_lww: LwwRegister::new(),
            hlc_lww: LwwRegister::new(),
            siblings: Siblings::default(),
            causal: CausalRegister::default(),
        };
        let mut execution = Self {
            replicas: vec![replica; REPLICAS],
            past: Vec::new(),
            reported: BTreeSet::new(),
            wall_losses: 0,
        };
        for (grain, &(at, from)) in steps.iter().enumerate() {
            let wall = Physical::from_grains(1_000_000 + grain as u64 + skews[at]);
            match execution.replicas.get(from).cloned() {
                Some(other) => execution.merge(at, &other, wall),
                None => execution.write(at, wall),
            }
            execution.check(at);
        }
        execution
    }

    fn write(&mut self, at: usize, wall: Physical) {
        let (replica, node, write) = (&mut self.replicas[at], NodeId(at as u64), self.past.len());
        self.past.push(replica.known.clone());
        replica.known.insert(write);
        let _ = replica.wall_lww.write((wall, node), write);
        assert!(
            replica.hlc_lww.write(Stamp::new(replica.hlc.tick(wall), node), write),
            "the clock has heard of all it follows"
        );
        replica.siblings.replace(node, write).unwrap();
        replica.causal.write(node, Timestamp::from(wall), write).unwrap();
    }

    fn merge(&mut self, at: usize, other: &Replica, wall: Physical) {
        let replica = &mut self.replicas[at];
        let _ = replica.wall_lww.merge(&other.wall_lww);
        if let Some(stamp) = other.hlc_lww.stamp() {
            replica.hlc.merge(wall, stamp.time).unwrap();
        }
        let _ = replica.hlc_lww.merge(&other.hlc_lww);
        replica.siblings.merge(&other.siblings).unwrap();
        let before = replica.causal.value().copied();
        match replica.causal.merge(&other.causal).unwrap() {
            MergeOutcome::Kept => {}
            MergeOutcome::Replaced => {
                let now = *replica.causal.value().unwrap();
                assert!(
                    before.is_none_or(|before| self.past[now].contains(&before)),
                    "it is causally later"
                );
            }
            MergeOutcome::TieBroken { lost, replaced, .. } => {
                let won = *replica.causal.value().unwrap();
                assert!(
                    !self.past[won].contains(&lost) && !self.past[lost].contains(&won),
                    "they are concurrent"
                );
                assert_eq!(replaced, before == Some(lost));
                self.reported.insert(lost);
            }
        }
        replica.known.extend(&other.known);
    }

    /// What is promised of the replica after each of its steps.
    fn check(&mut self, at: usize) {
        let replica = &self.replicas[at];
        let maximal: BTreeSet<_> = replica
            .known
            .iter()
            .copied()
            .filter(|write| !self.is_followed(replica, *write))
            .collect();
        assert_eq!(replica.siblings.values().copied().collect::<BTreeSet<_>>(), maximal);
        for value in [replica.hlc_lww.value(), replica.causal.value()] {
            assert_eq!(value.is_some(), !maximal.is_empty());
            assert!(value.is_none_or(|value| maximal.contains(value)), "a later write was lost");
        }
        for lost in maximal.iter().filter(|write| replica.causal.value() != Some(*write)) {
            assert!(self.reported.contains(lost), "a concurrent write was dropped in silence");
        }
        let wall_loss =
            replica.wall_lww.value().is_some_and(|write| self.is_followed(replica, *write));
        self.wall_losses += usize::from(wall_loss);
    }

    /// Whether the replica knows a write that happened after this one.
    fn is_followed(&self, replica: &Replica, write: usize) -> bool {
        replica.known.iter().any(|later| self.past[*later].contains(&write))
    }
}

proptest! {
    /// The promises are asserted after each step: see [`Execution::check`].
    #[test]
    fn with_hlc_stamps_no_write_loses_to_an_earlier_one_and_no_causal_loss_is_silent(steps in steps(), skews in skews()) {
        Execution::run(&steps, skews);
    }

    #[test]
    fn replicas_that_have_heard_the_same_agree(steps in steps(), skews in skews()) {
        let mut execution = Execution::run(&steps, skews);
        // Each hears of all others, in another order.
        let wall = Physical::from_grains(2_000_000);
        for round in 0..2 {
            for at in 0..REPLICAS {
                for from in 1..REPLICAS {
                    let other = execution.replicas[(at + from * (1 + 2 * (round % 2))) % REPLICAS].clone();
                    execution.merge(at, &other, wall);
                }
            }
        }
        let first = &execution.replicas[0];
        for other in &execution.replicas[1..] {
            prop_assert_eq!(&first.wall_lww, &other.wall_lww);
            prop_assert_eq!(&first.hlc_lww, &other.hlc_lww);
            prop_assert_eq!(&first.siblings, &other.siblings);
            prop_assert_eq!(&first.causal, &other.causal);
        }
    }

    #[test]
    fn where_wall_clocks_agree_to_less_than_a_step_nothing_is_lost_by_them(steps in steps()) {
        prop_assert_eq!(Execution::run(&steps, [0; REPLICAS]).wall_losses, 0);
    }
}

#[test]
fn by_wall_clock_writes_lose_to_earlier_ones() {
    let mut runner = TestRunner::deterministic();
    let executions = (0..100).map(|_| (steps(), skews()).new_tree(&mut runner).unwrap().current());
    let losing =
        executions.filter(|(steps, skews)| Execution::run(steps, *skews).wall_losses > 0).count();
    assert!(losing > 20, "only {losing} of 100");
}

#[test]
fn the_smallest_loss_a_slow_clock_overwrites_what_a_fast_one_wrote() {
    // The second replica reads the first one's write, and writes.
    let steps = [(0, REPLICAS), (1, 0), (1, REPLICAS)];
    let execution = Execution::run(&steps, [500, 0, 0, 0]);
    let second = &execution.replicas[1];
    assert_eq!(second.wall_lww.value(), Some(&0), "its own write is lost to the one it overwrote");
    assert_eq!((second.hlc_lww.value(), second.causal.value()), (Some(&1), Some(&1)));
    assert!(second.siblings.values().eq(&[1]));
}
