//! `Debug` that shows no reply.

use std::fmt;

use super::{ClaimReply, State, ViewState};

impl fmt::Debug for ClaimReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed { attempt } => field(f, "Claimed", "attempt", attempt),
            Self::InFlight { left } => field(f, "InFlight", "left", left),
            Self::Done { reply } => field(f, "Done", "len", &reply.len()),
            Self::Abandoned => f.write_str("Abandoned"),
            Self::Mismatch => f.write_str("Mismatch"),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight { lease_until } => field(f, "InFlight", "lease_until", lease_until),
            Self::Abandoned { lease_until } => field(f, "Abandoned", "lease_until", lease_until),
            Self::Done { reply } => field(f, "Done", "len", &reply.len()),
        }
    }
}

impl fmt::Debug for ViewState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFlight { left } => field(f, "InFlight", "left", left),
            Self::Abandoned => f.write_str("Abandoned"),
            Self::Done { reply } => field(f, "Done", "len", &reply.len()),
        }
    }
}

fn field(
    f: &mut fmt::Formatter<'_>,
    variant: &str,
    name: &str,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    f.debug_struct(variant).field(name, value).finish()
}
