//! The fence without clocks: a lease may expire at any moment, a holder may believe in it for ever,
//! a message may be lost or come at any time. Nothing but the fence keeps updates from being lost.
//!
//! Two holders increment a register: each reads a version and writes upon it. A write that lands on
//! another version than its holder has read undoes an update. The rule that is stepped is the
//! crate's own, [`FenceMark::check`].

use steadfast_lease::{FenceMark, FencingToken};

use crate::explore::{Model, Step, explore};

const HOLDERS: usize = 2;
/// Reads and writes that a holder begins under one grant.
const ATTEMPTS: u8 = 2;
/// Messages under way at a time. A lost one makes room.
const MESSAGES: usize = 2;

/// What is fenced and how, and what goes wrong.
#[derive(Clone, Copy)]
struct Rules {
    grants: u8,
    fences_reads: bool,
    fences_writes: bool,
    numbers_reads: bool,
    numbers_writes: bool,
    /// A holder that gives up on a write does not try again under the same token.
    waits_for_own_writes: bool,
    /// The resource's marks outlast it, and are written before the call runs.
    marks_outlast: bool,
    /// The lease's tokens go on after its store has lost its record.
    tokens_outlast: bool,
    /// How often the resource, and the store, may be restarted.
    restarts: u8,
}

const NUMBERED: Rules = Rules {
    // The full size in release; a debug build needs a minute for it.
    grants: if cfg!(debug_assertions) { 2 } else { 3 },
    fences_reads: true,
    fences_writes: true,
    numbers_reads: true,
    numbers_writes: true,
    waits_for_own_writes: false,
    marks_outlast: true,
    tokens_outlast: true,
    restarts: 1,
};

/// Equal tokens pass, and holders do what that asks of them.
const EQUAL: Rules =
    Rules { numbers_reads: false, numbers_writes: false, waits_for_own_writes: true, ..NUMBERED };

/// So many states at the full size.
const fn least(states: usize) -> usize {
    if cfg!(debug_assertions) { 1 } else { states }
}

/// The token and the number of a call; zero for none.
type Call = (u8, u8);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    /// Between two attempts.
    #[default]
    Ready,
    /// A read is under way.
    Reads(u8),
    /// It has read this version.
    HasRead(u8),
    /// A write is under way.
    Writes(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Holder {
    /// What it believes to hold; zero for nothing.
    token: u8,
    phase: Phase,
    attempts: u8,
    calls: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Read { by: u8, call: Call },
    Write { by: u8, call: Call, base: u8 },
    ReadAnswer { by: u8, call: Call, version: u8 },
    WriteAnswer { by: u8, call: Call },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// The holder by the store's record.
    owner: Option<u8>,
    /// The last token, by the store's record.
    last: u8,
    grants: u8,
    holders: [Holder; HOLDERS],
    /// In order: which was sent first makes no difference.
    messages: [Option<Message>; MESSAGES],
    /// The resource's.
    highest: Option<Call>,
    version: u8,
    store_restarts: u8,
    resource_restarts: u8,
}

#[derive(Debug)]
#[expect(dead_code, reason = "read by the eye, in a trace")]
enum Action {
    Granted { holder: usize, token: u8 },
    Expired,
    GaveUpLease(usize),
    Read(usize),
    Wrote(usize),
    GaveUpCall(usize),
    Arrived(Message),
    Lost(Message),
    ArrivedInCrash(Message),
    ResourceRestarted,
    StoreRestarted,
}

type Steps = Vec<Step<Rules>>;

impl State {
    fn send(mut self, message: Message) -> Option<Self> {
        let free = self.messages.iter().position(Option::is_none)?;
        self.messages[free] = Some(message);
        self.messages.sort();
        Some(self)
    }

    fn taken(mut self, place: usize) -> Self {
        self.messages[place] = None;
        self.messages.sort();
        self
    }
}

impl Rules {
    /// What the resource remembers of a call: the number only where that kind of call has one.
    fn presented(&self, call: Call, is_numbered: bool) -> FenceMark {
        let mark = FenceMark::new(FencingToken::try_from(u64::from(call.0)).unwrap());
        if is_numbered { mark.numbered(call.1.into()) } else { mark }
    }

    /// The crate's rule. `None` where the call is refused.
    fn pass(&self, state: State, call: Call, is_fenced: bool, is_numbered: bool) -> Option<State> {
        if !is_fenced {
            return Some(state);
        }
        let highest =
            state.highest.map(|(token, number)| self.presented((token, number), number > 0));
        let presented = self.presented(call, is_numbered);
        presented.check(highest, || FencingToken::MAX).ok()?;
        // Where reads have no numbers, those of writes are compared, whatever comes between.
        let before = highest.filter(|highest| highest.token() == presented.token());
        let number = presented.sequence().or(before.and_then(FenceMark::sequence));
        let highest = Some((call.0, number.map_or(0, |number| u8::try_from(number).unwrap())));
        Some(State { highest, ..state })
    }

    /// Writes alone are numbered: a read without a number passes, if its token does.
    fn pass_read(&self, state: State, call: Call) -> Option<State> {
        let tolerates = self.numbers_writes && !self.numbers_reads;
        match state.highest {
            Some(highest) if tolerates && highest.0 == call.0 => Some(state),
            _ => self.pass(state, call, self.fences_reads, self.numbers_reads),
        }
    }

    fn holder_acts(&self, state: &State, at: usize, steps: &mut Steps) {
        let (by, holder) = (u8::try_from(at).unwrap(), state.holders[at]);
        let with = |changed: Holder, mut state: State| {
            state.holders[at] = changed;
            state
        };
        if holder.token == 0 {
            if state.owner.is_none() && state.grants < self.grants {
                let token = state.last + 1;
                let granted = Holder { token, ..Holder::default() };
                let state =
                    State { owner: Some(by), last: token, grants: state.grants + 1, ..*state };
                steps.push((Action::Granted { holder: at, token }, Ok(with(granted, state))));
            }
            return;
        }
        steps.push((Action::GaveUpLease(at), Ok(with(Holder::default(), *state))));
        let calls = holder.calls + 1;
        let call = (holder.token, calls);
        match holder.phase {
            Phase::Ready if holder.attempts < ATTEMPTS => {
                let (phase, attempts) = (Phase::Reads(calls), holder.attempts + 1);
                let reads = with(Holder { phase, attempts, calls, ..holder }, *state);
                let sent = reads.send(Message::Read { by, call });
                steps.extend(sent.map(|state| (Action::Read(at), Ok(state))));
            }
            Phase::HasRead(base) => {
                let writes = with(Holder { phase: Phase::Writes(calls), calls, ..holder }, *state);
                let sent = writes.send(Message::Write { by, call, base });
                steps.extend(sent.map(|state| (Action::Wrote(at), Ok(state))));
            }
            Phase::Writes(_) if self.waits_for_own_writes => {}
            Phase::Reads(_) | Phase::Writes(_) => {
                let ready = with(Holder { phase: Phase::Ready, ..holder }, *state);
                steps.push((Action::GaveUpCall(at), Ok(ready)));
            }
            Phase::Ready => {}
        }
    }

    /// The state after the message at `place` has come; the same but for the message, where the
    /// call was refused.
    fn arrives(
        &self,
        state: &State,
        place: usize,
        message: Message,
    ) -> Result<State, &'static str> {
        let mut state = state.taken(place);
        match message {
            Message::Read { by, call } => Ok(match self.pass_read(state, call) {
                Some(passed) => {
                    let answer = Message::ReadAnswer { by, call, version: passed.version };
                    passed.send(answer).expect("its own place is free")
                }
                None => state,
            }),
            Message::Write { by, call, base } => {
                let passed = self.pass(state, call, self.fences_writes, self.numbers_writes);
                let Some(mut passed) = passed else { return Ok(state) };
                if base != passed.version {
                    return Err("an update is lost");
                }
                passed.version += 1;
                Ok(passed.send(Message::WriteAnswer { by, call }).expect("its own place is free"))
            }
            Message::ReadAnswer { by, call, version } => {
                let holder = &mut state.holders[usize::from(by)];
                if (holder.token, holder.phase) == (call.0, Phase::Reads(call.1)) {
                    holder.phase = Phase::HasRead(version);
                }
                Ok(state)
            }
            Message::WriteAnswer { by, call } => {
                let holder = &mut state.holders[usize::from(by)];
                if (holder.token, holder.phase) == (call.0, Phase::Writes(call.1)) {
                    holder.phase = Phase::Ready;
                }
                Ok(state)
            }
        }
    }

    /// The resource ends while a call has come, after its mark and before its effect, and starts
    /// again.
    fn arrives_in_crash(&self, state: &State, place: usize, message: Message) -> Option<State> {
        let state = state.taken(place);
        let marked = match message {
            Message::Read { call, .. } => self.pass_read(state, call),
            Message::Write { call, .. } => {
                self.pass(state, call, self.fences_writes, self.numbers_writes)
            }
            _ => None,
        };
        marked.map(|marked| self.restarted(marked))
    }

    fn restarted(&self, state: State) -> State {
        let highest = state.highest.filter(|_| self.marks_outlast);
        State { highest, resource_restarts: state.resource_restarts + 1, ..state }
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;
    type Promise = &'static str;

    fn start(&self) -> State {
        State::default()
    }

    fn next(&self, state: &State, steps: &mut Steps) {
        if state.owner.is_some() {
            steps.push((Action::Expired, Ok(State { owner: None, ..*state })));
        }
        for at in 0..HOLDERS {
            self.holder_acts(state, at, steps);
        }
        let under_way = state.messages.iter().enumerate();
        for (place, message) in under_way.filter_map(|(place, message)| Some((place, (*message)?)))
        {
            steps.push((Action::Arrived(message), self.arrives(state, place, message)));
            steps.push((Action::Lost(message), Ok(state.taken(place))));
            if state.resource_restarts < self.restarts {
                let crashed = self.arrives_in_crash(state, place, message);
                steps.extend(crashed.map(|state| (Action::ArrivedInCrash(message), Ok(state))));
            }
        }
        if state.resource_restarts < self.restarts {
            steps.push((Action::ResourceRestarted, Ok(self.restarted(*state))));
        }
        if state.store_restarts < self.restarts {
            // The record is lost, and with it the holder. A token made from a clock goes on.
            let last = if self.tokens_outlast { state.last } else { 0 };
            let store_restarts = state.store_restarts + 1;
            let state = State { owner: None, last, store_restarts, ..*state };
            steps.push((Action::StoreRestarted, Ok(state)));
        }
    }
}

#[test]
fn numbers_on_reads_and_writes_lose_no_update() {
    explore(&NUMBERED).holds("numbered reads and writes", least(5_000_000));
}

#[test]
fn equal_tokens_on_reads_and_writes_lose_no_update_of_holders_that_wait_for_their_own_writes() {
    explore(&EQUAL).holds("equal tokens pass", least(1_700_000));
}

#[test]
fn without_a_fence_an_update_is_lost() {
    let rules = Rules { fences_reads: false, fences_writes: false, ..EQUAL };
    explore(&rules).breaks("no fence", 13);
}

#[test]
fn with_a_fence_on_writes_alone_an_update_is_lost() {
    explore(&Rules { fences_reads: false, ..EQUAL }).breaks("a fence on writes only", 13);
    let numbered = Rules { fences_reads: false, numbers_reads: false, ..NUMBERED };
    explore(&numbered).breaks("a fence on numbered writes only", 12);
}

#[test]
fn with_equal_tokens_a_holder_that_repeats_its_own_write_loses_an_update() {
    let rules = Rules { waits_for_own_writes: false, ..EQUAL };
    explore(&rules).breaks("equal tokens and the holder's own repetition", 12);
}

#[test]
fn with_numbers_on_writes_alone_an_update_is_lost() {
    let rules = Rules { numbers_reads: false, ..NUMBERED };
    explore(&rules).breaks("numbers on writes only", 12);
}

#[test]
fn a_resource_that_forgets_its_marks_in_a_restart_loses_an_update() {
    explore(&Rules { marks_outlast: false, ..EQUAL }).breaks("marks in memory", 14);
    explore(&Rules { marks_outlast: false, ..NUMBERED }).breaks("numbered marks in memory", 13);
}

#[test]
fn a_counter_that_begins_again_loses_an_update() {
    explore(&Rules { tokens_outlast: false, ..EQUAL }).breaks("a plain counter", 13);
}
