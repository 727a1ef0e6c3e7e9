//! The two acts.

use std::time::Duration;

use tokio::time::timeout;

use crate::{Failure, TTL, place::Place, play::Play, stage::Stage, timeline::Event};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Unfenced,
    Fenced,
}

/// What came of it.
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    /// How many writes, each of one more than was read.
    pub(crate) acknowledged: i64,
    /// What is in the account.
    pub(crate) balance: i64,
}

/// For so long none says anything only if a process was stopped in the middle of a renewal, with
/// the file of the lease locked.
pub(crate) const SILENCE: Duration = TTL.saturating_mul(3);

impl Act {
    pub(crate) const BOTH: [Self; 2] = [Self::Unfenced, Self::Fenced];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|act| act.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unfenced => "unfenced",
            Self::Fenced => "fenced",
        }
    }

    /// The account, and the lease of that name.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Unfenced => "accounts/unfenced",
            Self::Fenced => "accounts/fenced",
        }
    }

    pub(crate) async fn play(self, place: &Place) -> Result<Seen, Failure> {
        let mut stage = Stage::open(place.routes()?).await?;
        let mut play = Play::begin(self, stage.address, &place.url())?;
        while !play.is_over() {
            match timeout(SILENCE, stage.next()).await {
                Ok(heard) => play.hear(heard?)?,
                Err(_) => play.wake_in_vain()?,
            }
        }
        let (events, acknowledged) = play.end();
        Ok(Seen { events, acknowledged, balance: place.balance(self).await? })
    }
}
