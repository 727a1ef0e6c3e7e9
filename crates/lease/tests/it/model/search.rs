//! Breadth first, so that the first counterexample is a shortest one.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

use super::world::{Bounds, Broken, Rules, World};

#[derive(Debug)]
pub(super) enum Outcome {
    Sound { states: usize, depth: usize },
    Broken { what: Broken, trace: Vec<World> },
}

/// A multiplication for each eight bytes: keys are no enemy's here.
#[derive(Default)]
struct Fast(u64);

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let mixed = (self.0.rotate_left(5) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 29);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) fn search(rules: Rules, bounds: Bounds) -> Outcome {
    let mut reached = vec![(World::default().packed(), 0_u32)];
    let mut seen: HashSet<_, BuildHasherDefault<Fast>> = HashSet::default();
    seen.insert(reached[0].0);
    let (mut next, mut depth, mut level_ends) = (0, 0, 1);
    let mut steps = vec![];
    while next < reached.len() {
        if next == level_ends {
            (depth, level_ends) = (depth + 1, reached.len());
        }
        World::unpacked(reached[next].0).steps(rules, bounds, &mut steps);
        for (world, broken) in steps.drain(..) {
            if let Some(what) = broken {
                let mut trace = vec![world];
                let mut at = next;
                while at != 0 {
                    trace.push(World::unpacked(reached[at].0));
                    at = reached[at].1 as usize;
                }
                trace.push(World::default());
                trace.reverse();
                return Outcome::Broken { what, trace };
            }
            let packed = world.canonical().packed();
            if seen.insert(packed) {
                reached.push((packed, u32::try_from(next).expect("they fit the memory")));
            }
        }
        next += 1;
    }
    Outcome::Sound { states: reached.len(), depth }
}
