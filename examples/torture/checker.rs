//! What must hold of a history, whatever the faults were: a pure function of it, in time linear in
//! its length but for one sort.
//!
//! - **Tokens**: no two grants have the same, and of two grants of which one was answered before
//!   the other was asked for, the later has the greater.
//! - **Validity**: what two holders claimed does not overlap, but where the store was made to break
//!   its word between the two grants. No lease was valid after its process had stood still, or its
//!   store had been away, for longer than a lease lasts.
//! - **The fenced register** holds every update that was acknowledged, nothing that was refused,
//!   and no write behind one of a later holder.
//!
//! **An update is lost** when the register's last write does not build on it. Each write has a
//! number and names the one that its holder had read: followed back from what is in the register in
//! the end, they are a chain, and what was acknowledged and is not in the chain is lost. It may be
//! in there without having been acknowledged: its answer was not heard.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use steadfast::BootInstant;

use crate::{
    history::{Claim, Grant, History, Span, Write},
    way::Way,
    word::Outcome,
};

#[cfg(test)]
mod tests;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// None, if all is well.
    pub(crate) violations: Vec<Violation>,
    /// How many grants came while the holder of before a breach claimed its own still.
    pub(crate) excused: usize,
    /// How many acknowledged updates each register has lost.
    pub(crate) lost: [usize; 3],
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Two grants have this token.
    TokenTwice { token: u64 },
    /// It was granted after the other was.
    TokenBackwards { token: u64, after: u64 },
    /// The former holder's claim reaches so far into the lease of the latter.
    Overlap { former: u64, latter: u64, by: Duration },
    /// A lease was valid behind a stop of its process that was longer than it.
    ValidAfterStop { token: u64, at: BootInstant },
    /// A lease was valid so late in an outage of its store that no answer can have kept it.
    ValidInOutage { token: u64, at: BootInstant },
    /// A claim for longer than a lease lasts.
    ClaimTooLong { token: u64, by: Duration },
    /// The register holds what no worker has announced.
    Invented { way: Way, id: u64 },
    /// A write that was acknowledged is not in the fenced register.
    Lost { id: u64, token: u64 },
    /// A write that was refused is in the register all the same.
    RefusedAndWritten { way: Way, id: u64 },
    /// The fenced register took this write behind one of a greater token.
    Stale { id: u64, token: u64 },
}

/// `validity`: how long a lease is good from before it was asked for.
pub(crate) fn check(history: &History, validity: Duration) -> Verdict {
    let mut verdict = Verdict::default();
    let found = &mut verdict.violations;
    let mut grants = history.grants.clone();
    grants.sort_by_key(|grant| grant.received);
    tokens(&grants, found);
    verdict.excused = overlaps(history, &grants, validity, found);
    claims(history, validity, found);
    for way in Way::ALL {
        verdict.lost[way as usize] = register(history, way, found);
    }
    verdict
}

fn tokens(grants: &[Grant], found: &mut Vec<Violation>) {
    let mut tokens = HashSet::new();
    let twice = grants.iter().filter(|grant| !tokens.insert(grant.token));
    found.extend(twice.map(|grant| Violation::TokenTwice { token: grant.token }));
    let mut asked = grants.to_vec();
    asked.sort_by_key(|grant| grant.sent);
    let (mut answered, mut greatest) = (grants.iter().peekable(), 0);
    for grant in asked {
        while let Some(before) = answered.next_if(|before| before.received < grant.sent) {
            greatest = greatest.max(before.token);
        }
        if grant.token < greatest {
            found.push(Violation::TokenBackwards { token: grant.token, after: greatest });
        }
    }
}

/// As far as overlaps go, a lease that was granted.
struct Term {
    token: u64,
    sent: BootInstant,
    end: BootInstant,
}

/// A grant of before a breach and one of after it may overlap: how many did. Not for ever: what is
/// valid a whole validity behind the breach was renewed since, by the store as it is then.
fn overlaps(
    history: &History,
    grants: &[Grant],
    validity: Duration,
    found: &mut Vec<Violation>,
) -> usize {
    let mut until = HashMap::<u64, BootInstant>::new();
    for claim in &history.claims {
        let last = until.entry(claim.token).or_default();
        *last = claim.until.max(*last);
    }
    let end_of = |token: u64| {
        let (claimed, ended) = (until.get(&token).copied(), history.ends.get(&token).copied());
        claimed.map(|claimed| ended.map_or(claimed, |ended| claimed.min(ended)))
    };
    let mut breaches = history.breaches.iter().peekable();
    let (mut last_breach, mut former, mut excused) = (None, Vec::<Term>::new(), 0);
    for Grant { token, sent, received, .. } in grants {
        while let Some(breach) = breaches.next_if(|breach| breach.from <= *received) {
            last_breach = Some(breach.to);
        }
        let is_excused = |term: &&Term| {
            last_breach.is_some_and(|breach: BootInstant| {
                term.sent <= breach && *received <= breach.saturating_add(validity)
            })
        };
        // Only the last end counts: what is over stays over.
        former.retain(|term| term.end > *received);
        excused += usize::from(former.iter().any(|term| is_excused(&term)));
        let counted = former.iter().filter(|term| !is_excused(term));
        if let Some(last) = counted.max_by_key(|term| term.end) {
            let by = last.end.saturating_duration_since(*received);
            found.push(Violation::Overlap { former: last.token, latter: *token, by });
        }
        former.extend(end_of(*token).map(|end| Term { token: *token, sent: *sent, end }));
    }
    excused
}

fn claims(history: &History, validity: Duration, found: &mut Vec<Violation>) {
    let sent: HashMap<u64, BootInstant> =
        history.grants.iter().map(|grant| (grant.token, grant.sent)).collect();
    let mut stands: HashMap<u32, Vec<Span>> = HashMap::new();
    for stand in history.stands.iter().filter(|stand| stand.span.length() > validity) {
        stands.entry(stand.number).or_default().push(stand.span);
    }
    for claim @ Claim { token, at, until, .. } in &history.claims {
        let (token, at) = (*token, *at);
        if until.saturating_duration_since(at) > validity {
            let by = until.saturating_duration_since(at).saturating_sub(validity);
            found.push(Violation::ClaimTooLong { token, by });
        }
        let before = stands.get(&claim.number).and_then(|stands| {
            let after = stands.partition_point(|stand| stand.to <= at);
            stands[..after].last()
        });
        if before.is_some_and(|stand| sent.get(&token).is_some_and(|sent| *sent <= stand.from)) {
            found.push(Violation::ValidAfterStop { token, at });
        }
        // What was asked for before the outage has ended so late in it.
        let outages = &history.outages;
        let begun = outages.partition_point(|outage| outage.from <= at);
        let outage = outages[..begun].last().filter(|outage| at < outage.to);
        if outage.is_some_and(|outage| at > outage.from.saturating_add(validity)) {
            found.push(Violation::ValidInOutage { token, at });
        }
    }
}

/// How many updates are lost. Of the fenced register that is a violation, and the others are there
/// to show what it takes.
fn register(history: &History, way: Way, found: &mut Vec<Violation>) -> usize {
    let (writes, is_fenced) = (&history.writes[way as usize], way == Way::Fenced);
    let by_id: HashMap<u64, &Write> = writes.iter().map(|write| (write.id, write)).collect();
    let (mut kept, mut id, mut next) = (HashSet::new(), history.finals[way as usize], None);
    // Zero is what is in a register before the first write.
    while id != 0 && kept.insert(id) {
        let Some(&write) = by_id.get(&id) else {
            found.push(Violation::Invented { way, id });
            break;
        };
        if write.outcome == Outcome::Refused {
            found.push(Violation::RefusedAndWritten { way, id });
        }
        let late = next.filter(|next: &&Write| is_fenced && next.token < write.token);
        found.extend(late.map(|late| Violation::Stale { id: late.id, token: late.token }));
        (id, next) = (write.base, Some(write));
    }
    let is_lost =
        |write: &&Write| write.outcome == Outcome::Acknowledged && !kept.contains(&write.id);
    let lost = writes.iter().filter(is_lost);
    if is_fenced {
        found
            .extend(lost.clone().map(|write| Violation::Lost { id: write.id, token: write.token }));
    }
    lost.count()
}

impl Span {
    pub(crate) fn length(&self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }
}
