//! What this process knows of its leases of etcd's: which grant has which, and which are to spare.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{LeaseName, Nonce};

/// A lease of etcd's: a number with a TTL, to which a key is attached. It is granted by one round
/// trip and a write of the cluster's, before it is known whether the key can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) id: i64,
    /// The seconds that were asked for.
    pub(super) asked: i64,
    /// The seconds that were granted.
    pub(super) ttl: i64,
    /// A transaction that attaches a key to it has no answer, and may still come: it must not be
    /// used for anything else, but ends with its acquisition.
    pub(super) is_doubtful: bool,
}

impl Term {
    pub(super) const fn length(self) -> Duration {
        Duration::from_secs(self.ttl.unsigned_abs())
    }
}

/// An acquisition of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) term: Term,
    /// The revision that created the key; none while it is not known whether it was created.
    pub(super) revision: Option<i64>,
    /// When it is over unless it is renewed, and no one will ask for it any more.
    until: Instant,
}

/// The acquisitions of this process: of those that neither end nor are renewed nothing is kept.
#[derive(Debug)]
pub(super) struct Grants {
    by_nonce: HashMap<(LeaseName, Nonce), Grant>,
    /// At this number the old ones are looked for.
    purged_at: usize,
}

const FEW: usize = 1024;
/// A release may come somewhat later than the end.
const AFTERWARDS: Duration = Duration::from_secs(60);

impl Default for Grants {
    fn default() -> Self {
        Self { by_nonce: HashMap::new(), purged_at: FEW }
    }
}

impl Grants {
    pub(super) fn get(&self, name: &LeaseName, nonce: Nonce) -> Option<Grant> {
        self.by_nonce.get(&(name.clone(), nonce)).copied()
    }

    pub(super) fn set(
        &mut self,
        name: &LeaseName,
        nonce: Nonce,
        term: Term,
        revision: Option<i64>,
        now: Instant,
    ) {
        if self.by_nonce.len() >= self.purged_at {
            self.by_nonce.retain(|_, grant| grant.until > now);
            self.purged_at = FEW.max(self.by_nonce.len() * 2);
        }
        let lasts = Duration::from_secs(term.ttl.unsigned_abs()) + AFTERWARDS;
        let until = now.checked_add(lasts).unwrap_or(now + LONG);
        self.by_nonce.insert((name.clone(), nonce), Grant { term, revision, until });
    }

    /// Takes in a renewal, unless the acquisition was released meanwhile: its lease is to spare
    /// then, and may be another's.
    pub(super) fn refresh(&mut self, name: &LeaseName, nonce: Nonce, term: Term, now: Instant) {
        let known = self.get(name, nonce).filter(|known| known.term.id == term.id);
        if let Some(Grant { revision, .. }) = known {
            self.set(name, nonce, term, revision, now);
        }
    }

    pub(super) fn remove(&mut self, name: &LeaseName, nonce: Nonce) -> Option<Grant> {
        self.by_nonce.remove(&(name.clone(), nonce))
    }
}

/// Where the end of a TTL is no time that a clock can tell.
const LONG: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Leases to which no key is attached: of acquisitions that were not granted, and of what was
/// released. The next acquisition takes one, and needs one write less for that; those that are not
/// taken are revoked after a while, so that nothing is left of a race that was lost.
#[derive(Debug, Default)]
pub(super) struct Spares {
    /// The last one that was put here is the last.
    kept: Vec<(Instant, Term)>,
    /// There is a task that revokes those that are old.
    pub(super) is_swept: bool,
}

/// As many as may be put back and taken in a burst.
const MOST: usize = 16;
/// How long a spare one is kept: those that wait for a lease try again sooner, as a rule.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(5);

impl Spares {
    /// Gives the term back if there are too many.
    pub(super) fn put(&mut self, term: Term, now: Instant) -> Option<Term> {
        self.kept.push((now, term));
        (self.kept.len() > MOST).then(|| self.kept.remove(0).1)
    }

    /// The youngest for which as much was asked, unless it may have expired: the renewal of one
    /// that has holds up all others until it is removed.
    pub(super) fn take(&mut self, asked: i64, now: Instant) -> Option<Term> {
        let at = self.kept.iter().rposition(|(_, term)| term.asked == asked)?;
        let (since, term) = self.kept[at];
        let is_young = now.duration_since(since) < Duration::from_secs(term.ttl.unsigned_abs()) / 2;
        is_young.then(|| self.kept.remove(at).1)
    }

    /// One that no call has taken for a while.
    pub(super) fn take_old(&mut self, now: Instant) -> Option<Term> {
        let (since, _) = self.kept.first()?;
        (now.duration_since(*since) >= KEPT_FOR).then(|| self.kept.remove(0).1)
    }

    /// When the next is old; none if there is none.
    pub(super) fn next_old(&self) -> Option<Instant> {
        self.kept.first().map(|(since, _)| *since + KEPT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::servers::now;

    const SEC: Duration = Duration::from_secs(1);

    fn term(id: i64, asked: i64) -> Term {
        Term { id, asked, ttl: asked.max(2), is_doubtful: false }
    }

    #[test]
    fn spares_are_taken_by_what_was_asked_and_are_few() {
        let (mut spares, start) = (Spares::default(), now());
        assert_eq!(spares.put(term(1, 15), start), None);
        assert_eq!(spares.put(term(2, 30), start), None);
        assert_eq!(spares.put(term(3, 15), start), None);
        assert_eq!(spares.take(15, start + 8 * SEC), None);
        assert_eq!(spares.take(15, start + 7 * SEC), Some(term(3, 15)));
        assert_eq!(spares.take(1, start), None);
        assert_eq!(spares.next_old(), Some(start + KEPT_FOR));
        assert_eq!(spares.take_old(start), None);
        assert_eq!(spares.take_old(start + KEPT_FOR), Some(term(1, 15)));
        for id in 3..18 {
            assert_eq!(spares.put(term(id, 15), start), None);
        }
        assert_eq!(spares.put(term(18, 15), start), Some(term(2, 30)));
    }

    #[test]
    fn acquisitions_that_are_over_are_not_kept_for_ever() {
        let (mut grants, start) = (Grants::default(), now());
        let name = LeaseName::new("a").unwrap();
        let nonce = |n: u64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            Nonce::from_bytes(bytes)
        };
        grants.set(&name, nonce(0), term(1, i64::MAX), Some(1), start);
        for n in 1..10_000 {
            let at = start + Duration::from_secs(n);
            grants.set(&name, nonce(n), term(1, 15), None, at);
        }
        assert!(grants.by_nonce.len() <= FEW);
        assert_eq!(grants.get(&name, nonce(0)).unwrap().revision, Some(1));
        assert!(grants.remove(&name, nonce(9_999)).is_some());
        assert!(grants.get(&name, nonce(9_999)).is_none());
    }
}
