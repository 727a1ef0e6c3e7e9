//! What the revisions of a cluster are added to, so that they become tokens.
//!
//! A revision grows for ever, but it begins at 1, while the tokens of other stores are microseconds
//! since 1970. So there is a base, made by the clock of the first client and kept in the cluster
//! for all of a prefix: tokens go on growing where a program has moved from another store, where it
//! moves back, and after all of etcd was lost, as long as that clock has not gone back.
//!
//! A floor that a token must be above may raise the base of one name.

use super::{
    api::{self, KeyValue, Txn},
    record::{HIGHEST_BASE, parse_base},
    wire::Writer,
};
use crate::{FencingToken, NoTokenLeft, StoreError};

/// The base of all names, as it stands in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    pub(super) base: u64,
    /// When it was written.
    pub(super) revision: i64,
}

impl Common {
    pub(super) fn of(kv: &KeyValue) -> Result<Self, StoreError> {
        Ok(Self { base: parse_base(&kv.value)?, revision: kv.mod_revision })
    }
}

/// What an acquisition goes by. A transaction fails where the cluster has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bases {
    common: Common,
    own: u64,
    /// When the name's own was written, and zero where there is none.
    own_revision: i64,
}

impl Bases {
    pub(super) const fn new(common: Common) -> Self {
        Self { common, own: 0, own_revision: 0 }
    }

    /// What a failed transaction has found; `None` where the common base has gone.
    pub(super) fn learn(keys: &Keys, found: &Txn) -> Result<Option<Self>, StoreError> {
        let Some(common) = found.of(&keys.common) else { return Ok(None) };
        let mut bases = Self::new(Common::of(common)?);
        if let Some(own) = found.of(&keys.own) {
            (bases.own, bases.own_revision) = (parse_base(&own.value)?, own.mod_revision);
        }
        Ok(Some(bases))
    }

    pub(super) const fn common(&self) -> Common {
        self.common
    }

    /// What a key is created with at a revision above this one: the base as it is, or a higher one
    /// where that does not reach above the floor.
    ///
    /// # Errors
    /// When no token is left above the floor.
    pub(super) fn above(
        &self,
        floor: Option<FencingToken>,
        revision: i64,
    ) -> Result<Raised, NoTokenLeft> {
        let base = self.common.base.max(self.own);
        let revision = u64::try_from(revision).unwrap_or(0);
        match floor {
            Some(above) if above.get() >= base.saturating_add(revision).saturating_add(1) => {
                let raised = above.get() - revision;
                if raised > HIGHEST_BASE {
                    return Err(NoTokenLeft { above });
                }
                Ok(Raised { base: raised, is_raised: true })
            }
            _ => Ok(Raised { base, is_raised: false }),
        }
    }

    pub(super) fn are_these(&self, keys: &Keys) -> [Writer; 2] {
        [
            api::is_written_at(&keys.common, self.common.revision),
            api::is_written_at(&keys.own, self.own_revision),
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) base: u64,
    /// It must be written.
    pub(super) is_raised: bool,
}

/// The keys of one name.
#[derive(Debug)]
pub(super) struct Keys {
    /// There while the lease is held.
    pub(super) lease: Vec<u8>,
    /// The base of this name, if a floor has raised it.
    pub(super) own: Vec<u8>,
    /// The base of all names.
    pub(super) common: Vec<u8>,
}

impl Keys {
    pub(super) fn new(prefix: &str, name: &str) -> Self {
        let key = |kind: &str, name: &str| [prefix, kind, name].concat().into_bytes();
        Self { lease: key("name/", name), own: key("base/", name), common: key("base", "") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> FencingToken {
        FencingToken::try_from(number).unwrap()
    }

    #[test]
    fn a_base_is_raised_where_the_next_revision_would_not_reach_above_the_floor() {
        let bases = Bases::new(Common { base: 1000, revision: 1 });
        let above = |floor, revision| bases.above(floor, revision).unwrap();
        assert_eq!(above(None, 5), Raised { base: 1000, is_raised: false });
        // The next token is 1006 at least.
        assert_eq!(above(Some(token(1005)), 5), Raised { base: 1000, is_raised: false });
        assert_eq!(above(Some(token(1006)), 5), Raised { base: 1001, is_raised: true });
        assert_eq!(above(Some(token(9000)), 5), Raised { base: 8995, is_raised: true });
        let own = Bases { own: 2000, own_revision: 4, ..bases };
        assert_eq!(own.above(Some(token(1900)), 5).unwrap().base, 2000);
        let end = FencingToken::MAX;
        assert_eq!(bases.above(Some(end), 5).unwrap_err().above, end);
    }

    #[test]
    fn no_name_has_the_key_of_another_or_of_the_base() {
        let keys = Keys::new("p/", "a");
        assert_eq!((keys.lease, keys.own), (b"p/name/a".to_vec(), b"p/base/a".to_vec()));
        assert_eq!(keys.common, b"p/base");
        assert_ne!(Keys::new("p/", "/").own, keys.common);
    }
}
