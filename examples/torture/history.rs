//! What happened, as the checker takes it: plain data. All times are of the clock that the
//! processes of a machine share.

use std::collections::HashMap;

use steadfast::BootInstant;

use crate::word::{Message, Outcome, Word};

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) grants: Vec<Grant>,
    pub(crate) claims: Vec<Claim>,
    /// By token: from when on its holder claims nothing.
    pub(crate) ends: HashMap<u64, BootInstant>,
    /// Processes that stood still.
    pub(crate) stands: Vec<Stand>,
    /// When no server of the leases ran at all.
    pub(crate) outages: Vec<Span>,
    /// When the store was made to break its word, as documented: by a step of its clock, or by the
    /// loss of its record.
    pub(crate) breaches: Vec<Span>,
    /// By register, in the order in which they were announced.
    pub(crate) writes: [Vec<Write>; 3],
    /// What was in each register in the end.
    pub(crate) finals: [u64; 3],
    /// Reads and writes that a fence refused, by register.
    pub(crate) refused: [u64; 3],
    /// Where to find a write that is under way: its number is that of all three.
    under_way: HashMap<u64, usize>,
    /// By register: how many of its writes were acknowledged of each base.
    heirs: [HashMap<u64, u32>; 3],
    /// By register: what was acknowledged although another write of the same base was. One of the
    /// two is lost, so this is known before the end.
    pub(crate) forks: [u64; 3],
}

/// A lease that a worker was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) number: u32,
    pub(crate) token: u64,
    /// It was granted between these two.
    pub(crate) sent: BootInstant,
    pub(crate) received: BootInstant,
}

/// A worker has said that its lease was valid at a time, and until another unless it ends before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) number: u32,
    pub(crate) token: u64,
    pub(crate) at: BootInstant,
    pub(crate) until: BootInstant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    pub(crate) number: u32,
    pub(crate) span: Span,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: BootInstant,
    pub(crate) to: BootInstant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    /// Of no other write of this register, and not zero.
    pub(crate) id: u64,
    /// What was read before, and is undone if the register holds something else by now.
    pub(crate) base: u64,
    pub(crate) token: u64,
    pub(crate) outcome: Outcome,
}

impl History {
    /// Takes in what a worker has said.
    pub(crate) fn hear(&mut self, message: &Message) {
        let Message { at, number, token, ref word } = *message;
        let claim = |until| Claim { number, token, at, until };
        match *word {
            Word::Granted { sent, until } => {
                self.grants.push(Grant { number, token, sent, received: at });
                // One that was over before its worker came to look claims nothing.
                self.claims.extend((until > at).then_some(claim(until)));
            }
            Word::About { until, id, bases, .. } => {
                self.claims.push(claim(until));
                self.under_way.insert(id, self.writes[0].len());
                for (writes, base) in self.writes.iter_mut().zip(bases) {
                    writes.push(Write { id, base, token, outcome: Outcome::Unknown });
                }
            }
            Word::Wrote { is_valid, id, outcomes } => {
                self.claims.extend(is_valid.then_some(claim(at)));
                let Some(place) = self.under_way.remove(&id) else { return };
                for (way, outcome) in outcomes.into_iter().enumerate() {
                    let write = &mut self.writes[way][place];
                    write.outcome = outcome;
                    if outcome == Outcome::Acknowledged {
                        let heirs = self.heirs[way].entry(write.base).or_default();
                        self.forks[way] += u64::from(*heirs > 0);
                        *heirs += 1;
                    }
                    self.refused[way] += u64::from(outcome == Outcome::Refused);
                }
            }
            // Only the last has its reads fenced.
            Word::Rejected => self.refused[2] += 1,
            Word::Ended { .. } => {
                self.ends.insert(token, at);
            }
            Word::Failed { .. } => {}
        }
    }

    /// Which worker was granted the lease last.
    pub(crate) fn holder(&self) -> Option<u32> {
        self.grants.last().map(|grant| grant.number)
    }

    /// Whether the twins of the fenced register are known to have lost updates.
    pub(crate) fn bites(&self) -> bool {
        self.forks[0] > 0 && self.forks[1] > 0
    }

    pub(crate) fn acknowledged(&self, way: usize) -> usize {
        let is_acknowledged = |write: &&Write| write.outcome == Outcome::Acknowledged;
        self.writes[way].iter().filter(is_acknowledged).count()
    }
}
