//! Dots: the names of single events.

use crate::NodeId;

/// No node has counted so many events: see [`VectorClock::LIMIT`](crate::VectorClock::LIMIT).
pub(crate) const LIMIT: u64 = 1 << 63;

/// The name of one event or update: the `counter`-th of `node`.
///
/// Unique as long as no two nodes share a [`NodeId`], and no node forgets its count: one that lost
/// its state goes on under a new [`NodeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Name"))]
pub struct Dot {
    /// The node.
    pub node: NodeId,
    /// Which of its events, from 1 to less than [`VectorClock::LIMIT`](crate::VectorClock::LIMIT);
    /// 0 names none. What serde reads is in these bounds.
    pub counter: u64,
}

impl Dot {
    /// The `counter`-th event of `node`.
    #[must_use]
    pub const fn new(node: NodeId, counter: u64) -> Self {
        Self { node, counter }
    }
}

/// A dot as it was read, before it is checked.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(rename = "Dot")]
struct Name {
    node: NodeId,
    counter: u64,
}

#[cfg(feature = "serde")]
impl TryFrom<Name> for Dot {
    type Error = &'static str;

    fn try_from(Name { node, counter }: Name) -> Result<Self, Self::Error> {
        let named = (1..LIMIT).contains(&counter);
        if named {
            Ok(Self { node, counter })
        } else {
            Err("the counter of a dot is zero, or not below 2^63")
        }
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn a_dot_that_names_no_event_is_not_read() {
        for counter in [1, 2, LIMIT - 1] {
            let dot = Dot::new(NodeId(7), counter);
            assert_eq!(
                serde_json::from_str::<Dot>(&serde_json::to_string(&dot).unwrap()).unwrap(),
                dot
            );
            assert_eq!(
                postcard::from_bytes::<Dot>(&postcard::to_allocvec(&dot).unwrap()).unwrap(),
                dot
            );
        }
        for counter in [0, LIMIT, u64::MAX] {
            let dot = Dot::new(NodeId(7), counter);
            let error =
                serde_json::from_str::<Dot>(&serde_json::to_string(&dot).unwrap()).unwrap_err();
            assert!(error.to_string().contains("the counter of a dot"), "{error}");
            assert!(postcard::from_bytes::<Dot>(&postcard::to_allocvec(&dot).unwrap()).is_err());
        }
    }
}
