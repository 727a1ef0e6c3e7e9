//! Two holders, a store, and the messages between them.

use std::{sync::OnceLock, time::Duration};

use steadfast_lease::{
    AcquireReply, AcquireTerms, FencingToken, Holder, HolderName, Loss, Margin, Nonce, Owner,
    RenewReply, Slot,
};

/// One tick is a nanosecond.
const TTL: u8 = 4;
/// Older messages are all alike: whatever they grant is over.
const OLDEST: u8 = TTL;
/// Clocks' times are told from here, so that none is negative.
const NOW: u8 = 100;
/// A holder's clock stands still for one tick at most in so many of the store's.
const DRIFT_PERIOD: u8 = TTL;
const MESSAGES: usize = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) counts_from_reply: bool,
    pub(crate) has_margin: bool,
    pub(crate) release_compares: bool,
    pub(crate) obeys_own_ttl: bool,
    /// The store loses its record, once. Two may then hold, and tokens must grow.
    pub(crate) loses_record: bool,
    pub(crate) has_clock_token: bool,
}

impl Rules {
    pub(crate) const GOOD: Self = Self {
        counts_from_reply: false,
        has_margin: true,
        release_compares: true,
        obeys_own_ttl: false,
        loses_record: false,
        has_clock_token: true,
    };

    fn margin(self) -> Margin {
        Margin::new().drift_ppm(0).slack(ticks(u8::from(self.has_margin)))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) grants: u8,
    pub(crate) attempts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    TwoHolders,
    TokenBack,
    FreedByAnother,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    store: Store,
    holders: [Peer; 2],
    /// Sorted, and zeros where there is none: in no order, some may be equal.
    messages: [Message; MESSAGES],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Store {
    /// Zero: none.
    owner: u8,
    left: u8,
    /// Zero: none.
    last: u8,
    /// The highest that it ever gave out, whatever it remembers.
    highest: u8,
    grants: u8,
    has_lost: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Peer {
    phase: Phase,
    /// How many acquisitions it has begun. Each has a nonce of its own.
    attempts: u8,
    /// What is left by its own clock, where it holds.
    left: u8,
    /// Ticks of the store until its clock may stand still again.
    steady: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Asking,
    Holding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    kind: Kind,
    nonce: u8,
    /// Of the request that it is or answers, by the holder's clock.
    age: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    None,
    Acquire,
    Granted,
    Renew,
    Renewed,
    NotYours,
    Release,
}

const KINDS: [Kind; 7] = [
    Kind::None,
    Kind::Acquire,
    Kind::Granted,
    Kind::Renew,
    Kind::Renewed,
    Kind::NotYours,
    Kind::Release,
];

type Steps = Vec<(World, Option<Broken>)>;

impl World {
    /// All worlds that may come next.
    pub(crate) fn steps(self, rules: Rules, bounds: Bounds, steps: &mut Steps) {
        self.time_passes(steps);
        for at in 0..MESSAGES {
            if self.messages[at].kind != Kind::None
                && (at == 0 || self.messages[at] != self.messages[at - 1])
            {
                let (mut rest, message) = (self, self.messages[at]);
                rest.messages[at] = Message::default();
                rest.messages.sort_unstable();
                // It is lost.
                steps.push((rest, None));
                rest.arrives(message, rules, bounds, steps);
            }
        }
        for who in 0..2 {
            self.acts(who, rules, bounds, steps);
        }
        if rules.loses_record && !self.store.has_lost {
            let mut next = self;
            next.store = Store {
                highest: self.store.highest,
                grants: self.store.grants,
                has_lost: true,
                ..Store::default()
            };
            steps.push((next, None));
        }
    }

    /// A tick of the store's clock, and of those holders' whose clocks do not stand still in it.
    fn time_passes(self, steps: &mut Steps) {
        for still in [[false, false], [false, true], [true, false]] {
            let mut next = self;
            if (0..2).any(|who| still[who] && self.holders[who].steady > 0) {
                continue;
            }
            next.store.left = next.store.left.saturating_sub(1);
            for (peer, still) in next.holders.iter_mut().zip(still) {
                peer.steady = if still { DRIFT_PERIOD } else { peer.steady.saturating_sub(1) };
                peer.left = peer.left.saturating_sub(u8::from(!still));
            }
            for message in &mut next.messages {
                if message.kind != Kind::None && !still[who(message.nonce)] {
                    message.age = (message.age + 1).min(OLDEST);
                }
            }
            next.messages.sort_unstable();
            steps.push((next, None));
        }
    }

    fn arrives(self, message: Message, rules: Rules, bounds: Bounds, steps: &mut Steps) {
        let Message { kind, nonce, .. } = message;
        let mut next = self;
        let answer = |kind| Message { kind, ..message };
        match kind {
            Kind::Acquire => {
                if self.store.grants == bounds.grants && self.store.owner != nonce {
                    return;
                }
                let broken = next.acquired(nonce, rules);
                if next.store.owner == nonce && next.store.left > 0 {
                    next.send(answer(Kind::Granted));
                }
                steps.push((next, broken));
            }
            Kind::Renew => {
                let mut slot = self.slot();
                let reply = match slot.renew(name(nonce), moment(0)) {
                    RenewReply::Renewed { .. } => Kind::Renewed,
                    _ => Kind::NotYours,
                };
                next.keep(&slot);
                next.send(answer(reply));
                steps.push((next, None));
            }
            Kind::Release => {
                let (mut slot, owner) = (self.slot(), self.store.owner);
                let by = if rules.release_compares { nonce } else { owner };
                slot.release(name(by), moment(0));
                next.keep(&slot);
                let freed = self.store.left > 0 && next.store.owner == 0;
                let broken = (freed && owner != nonce).then_some(Broken::FreedByAnother);
                steps.push((next, broken));
            }
            Kind::Granted | Kind::Renewed | Kind::NotYours => {
                next.holders[who(nonce)] = self.holders[who(nonce)].hears(message, rules);
                steps.push((next, next.overlap(rules)));
            }
            Kind::None => {}
        }
    }

    fn acquired(&mut self, nonce: u8, rules: Rules) -> Option<Broken> {
        let (mut slot, highest) = (self.slot(), self.store.highest);
        if let (true, Some(owner)) = (rules.obeys_own_ttl, &mut slot.owner) {
            // As if the holder had been granted what the taker would ask for: a tick less.
            owner.until = owner.until.saturating_sub(ticks(1)).max(moment(0));
        }
        let was_owner = slot.held(moment(0)).is_some_and(|owner| owner.nonce == name(nonce));
        // A microsecond has passed since the last grant, whatever the store remembers.
        let clock = if rules.has_clock_token { u64::from(highest) + 1 } else { 1 };
        let terms =
            AcquireTerms { nonce: name(nonce), holder: unnamed(), ttl: ticks(TTL), floor: None };
        let reply = slot.acquire(&terms, moment(0), clock).expect("tokens are few");
        let AcquireReply::Granted { token, .. } = reply else { return None };
        self.keep(&slot);
        if was_owner {
            return None;
        }
        let token = u8::try_from(token.get()).expect("tokens are few");
        self.store.grants += 1;
        self.store.highest = highest.max(token);
        (token <= highest).then_some(Broken::TokenBack).or_else(|| self.overlap(rules))
    }

    /// A holder that is valid while the store has granted the lease to another.
    fn overlap(&self, rules: Rules) -> Option<Broken> {
        let is_broken = (0..2).any(|who| {
            let peer = self.holders[who];
            peer.phase == Phase::Holding
                && peer.left > 0
                && self.store.left > 0
                && self.store.owner != 0
                && self.store.owner != nonce(who, peer.attempts)
        });
        (is_broken && !rules.loses_record).then_some(Broken::TwoHolders)
    }

    fn acts(self, who: usize, rules: Rules, bounds: Bounds, steps: &mut Steps) {
        let peer = self.holders[who];
        let to_send = |kind| {
            let mut next = self;
            let nonce = nonce(who, peer.attempts);
            next.send(Message { kind, nonce, age: 0 }).then_some(next)
        };
        match peer.phase {
            Phase::Idle if peer.attempts < bounds.attempts => {
                let mut next = self;
                next.holders[who].phase = Phase::Asking;
                next.holders[who].attempts += 1;
                if next.send(Message {
                    kind: Kind::Acquire,
                    nonce: nonce(who, peer.attempts + 1),
                    age: 0,
                }) {
                    steps.push((next, None));
                }
            }
            Phase::Idle => {}
            Phase::Asking => {
                // Again, by the same nonce.
                steps.extend(to_send(Kind::Acquire).map(|next| (next, None)));
                // Given up, and undone.
                if let Some(mut next) = to_send(Kind::Release) {
                    next.holders[who].phase = Phase::Idle;
                    steps.push((next, None));
                }
            }
            Phase::Holding => {
                steps.extend(to_send(Kind::Renew).map(|next| (next, None)));
                let is_held = peer.holder(rules).status(moment(0)).is_held();
                // It gives up its lease, or sees that it has lost it, and undoes the grant.
                if let Some(mut next) = to_send(Kind::Release) {
                    next.holders[who].left = 0;
                    next.holders[who].phase = Phase::Idle;
                    steps.push((next, None));
                }
                if !is_held {
                    let mut next = self;
                    next.holders[who].phase = Phase::Idle;
                    steps.push((next, None));
                }
            }
        }
    }

    /// What finds no room is lost.
    fn send(&mut self, message: Message) -> bool {
        let free = self.messages[0].kind == Kind::None;
        if free {
            self.messages[0] = message;
            self.messages.sort_unstable();
        }
        free
    }

    fn slot(&self) -> Slot {
        let Store { owner, left, last, .. } = self.store;
        let last = (last > 0).then(|| token(last));
        let owner = (owner > 0).then(|| Owner {
            nonce: name(owner),
            holder: unnamed(),
            ttl: ticks(TTL),
            until: moment(0) + ticks(left),
        });
        Slot { last, owner }
    }

    fn keep(&mut self, slot: &Slot) {
        let left = slot.owner.as_ref().map_or(Duration::ZERO, |owner| owner.until - moment(0));
        self.store.owner = slot.owner.as_ref().map_or(0, |owner| owner.nonce.to_bytes()[0]);
        self.store.left = u8::try_from(left.as_nanos()).expect("a TTL at most");
        self.store.last =
            slot.last.map_or(0, |last| u8::try_from(last.get()).expect("tokens are few"));
    }

    /// Worlds that have the same futures, as one of them.
    pub(crate) fn canonical(mut self) -> Self {
        if self.store.left == 0 {
            self.store.owner = 0;
        }
        for peer in &mut self.holders {
            if peer.phase == Phase::Idle {
                // It measures nothing, so when its clock stood still is of no account.
                *peer = Peer { left: 0, steady: 0, ..*peer };
            }
        }
        for message in &mut self.messages {
            let peer = self.holders[who(message.nonce)];
            let is_heard = message.nonce == nonce(who(message.nonce), peer.attempts)
                && match message.kind {
                    Kind::Granted => peer.phase == Phase::Asking,
                    Kind::Renewed | Kind::NotYours => peer.phase == Phase::Holding,
                    _ => peer.phase != Phase::Idle,
                };
            match message.kind {
                // As good as lost.
                Kind::Granted | Kind::Renewed | Kind::NotYours if !is_heard => {
                    *message = Message::default();
                }
                Kind::NotYours | Kind::Release => message.age = 0,
                // Its answer will not be heard.
                Kind::Acquire | Kind::Renew if !is_heard => message.age = 0,
                _ => {}
            }
        }
        self.messages.sort_unstable();
        self
    }

    pub(crate) fn packed(&self) -> u128 {
        let Store { owner, left, last, highest, grants, has_lost } = self.store;
        let mut packed = 0_u128;
        let mut put = |value: u8, bits: u32| {
            debug_assert!(value < 1 << bits, "{self:?}");
            packed = packed << bits | u128::from(value);
        };
        for value in [owner, left, last, highest, grants, u8::from(has_lost)] {
            put(value, 3);
        }
        for Peer { phase, attempts, left, steady } in self.holders {
            for value in [phase as u8, attempts, left, steady] {
                put(value, 3);
            }
        }
        for Message { kind, nonce, age } in self.messages {
            for value in [kind as u8, nonce, age] {
                put(value, 3);
            }
        }
        packed
    }

    pub(crate) fn unpacked(packed: u128) -> Self {
        let mut bits = packed;
        let mut take = || {
            let value = (bits & 7) as u8;
            bits >>= 3;
            value
        };
        // In the reverse of the order in which they were put.
        let mut world = Self::default();
        for message in world.messages.iter_mut().rev() {
            let [age, nonce, kind] = [take(), take(), take()];
            *message = Message { kind: KINDS[kind as usize], nonce, age };
        }
        for peer in world.holders.iter_mut().rev() {
            let [steady, left, attempts, phase] = [take(), take(), take(), take()];
            let phase = [Phase::Idle, Phase::Asking, Phase::Holding][phase as usize];
            *peer = Peer { phase, attempts, left, steady };
        }
        let [has_lost, grants, highest] = [take(), take(), take()];
        let [last, left, owner] = [take(), take(), take()];
        world.store = Store { owner, left, last, highest, grants, has_lost: has_lost == 1 };
        world
    }
}

impl Peer {
    fn hears(self, message: Message, rules: Rules) -> Self {
        let Message { kind, nonce: by, age } = message;
        let is_current = by == nonce(who(by), self.attempts);
        let sent = if rules.counts_from_reply { moment(0) } else { moment(age) };
        match (self.phase, kind) {
            _ if !is_current => self,
            (Phase::Asking, Kind::Granted) => {
                // The token is of no account here.
                let granted = Holder::granted(token(1), ticks(TTL), sent, rules.margin());
                let granted = granted.at(moment(0));
                match granted.deadline() {
                    Some(_) => self.of(&granted),
                    // Too late: it may ask again.
                    None => self,
                }
            }
            (Phase::Holding, Kind::Renewed) => {
                let mut held = self.holder(rules);
                held.renewed(ticks(TTL), sent, moment(0));
                self.of(&held)
            }
            (Phase::Holding, Kind::NotYours) => {
                let mut held = self.holder(rules);
                held.refused(Loss::Taken, moment(0));
                self.of(&held)
            }
            _ => self,
        }
    }

    /// The crate's own, with what is left to this one.
    fn holder(self, rules: Rules) -> Holder {
        let validity = rules.margin().validity(ticks(TTL));
        let sent = moment(0) + ticks(self.left) - validity;
        Holder::granted(token(1), ticks(TTL), sent, rules.margin())
    }

    fn of(self, holder: &Holder) -> Self {
        let left = holder.remaining(moment(0)).as_nanos();
        let phase = if left > 0 { Phase::Holding } else { Phase::Idle };
        Self { phase, left: u8::try_from(left).expect("a TTL at most"), ..self }
    }
}

/// The two holders' nonces are odd and even, and not zero.
fn nonce(who: usize, attempt: u8) -> u8 {
    let who = u8::try_from(who).expect("there are two");
    2 * attempt.max(1) - who
}

fn who(nonce: u8) -> usize {
    usize::from(nonce % 2)
}

fn name(nonce: u8) -> Nonce {
    Nonce::from_bytes([nonce; 16])
}

fn token(number: u8) -> FencingToken {
    u64::from(number).try_into().expect("tokens are few")
}

fn ticks(ticks: u8) -> Duration {
    Duration::from_nanos(ticks.into())
}

/// So many ticks ago.
fn moment(ago: u8) -> Duration {
    ticks(NOW - ago)
}

fn unnamed() -> HolderName {
    static UNNAMED: OnceLock<HolderName> = OnceLock::new();
    UNNAMED.get_or_init(|| HolderName::new("").expect("it may be empty")).clone()
}
