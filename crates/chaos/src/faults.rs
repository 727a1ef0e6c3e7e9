//! The handle: faults that are switched on and off.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use steadfast_core::{ConfigError, Snapshot, TimeSource, parts::lock};

use crate::{
    Course, Facts, FaultsSnapshot, Injection, Mode, Plan, RateError, Rule, Strike,
    tally::{End, Tally},
    telemetry::Telemetry,
};

/// A plan that is switched on and off while requests run. Clones share the state.
///
/// **Off until it is turned on**, and then it says so: an event of level `warn`, or a line on
/// stderr where no subscriber takes that, and without the feature `tracing`.
///
/// The plan begins anew each time it is turned on, or begins a dry run: its time, its numbers of
/// requests, its bursts and bounds. So a dry run tells which requests the plan will strike, and the
/// same requests meet the same faults in every run. What was counted stays until the plan is
/// [replaced](Self::replace).
///
/// Requests are numbered in the order of `call`, under a short lock that is taken only while the
/// faults are on or in a dry run.
///
/// ```
/// use steadfast_chaos::{Fault, FaultLayer, Faults, Plan, Rule};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let faults = Faults::new(Plan::new(7).rule(Rule::new("down", Fault::CrashedBefore)))?;
/// let service = FaultLayer::new(faults.clone())
///     .layer(service_fn(async |n: u32| Ok::<_, BoxError>(n + 1)));
/// assert_eq!(service.clone().oneshot(1).await?, 2);
/// faults.turn_on();
/// assert!(service.clone().oneshot(1).await.is_err());
/// faults.turn_off();
/// assert_eq!(service.oneshot(1).await?, 2);
/// assert_eq!(faults.snapshot().rule("down").map(|rule| rule.struck), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    /// A [`Mode`], written under the lock.
    mode: AtomicU8,
    /// Nothing outside is called under it, and no panic leaves it half changed.
    state: Mutex<State>,
    telemetry: Arc<Telemetry>,
}

struct State {
    course: Course,
    began: Instant,
    requests: u64,
    rules: Vec<Arc<Tally>>,
}

const OFF: u8 = 0;
const ON: u8 = 1;
const DRY_RUN: u8 = 2;

impl Faults {
    /// Off until it is turned on.
    ///
    /// # Errors
    /// When a number of the plan is outside the range its setter names, two rules have one name,
    /// or two outages clash.
    pub fn new(plan: Plan) -> Result<Self, ConfigError> {
        let name = plan.name.clone().unwrap_or_else(|| "default".into());
        let state = State {
            rules: tallies(&plan),
            course: Course::new(plan)?,
            began: TimeSource::Tokio.now(),
            requests: 0,
        };
        let (mode, state) = (AtomicU8::new(OFF), Mutex::new(state));
        let telemetry = Arc::new(Telemetry::new(name));
        Ok(Self { shared: Arc::new(Shared { mode, state, telemetry }) })
    }

    /// From now on requests meet faults, and the plan begins. Nothing changes if it is on already.
    ///
    /// A request that is called while it is switched may see either.
    pub fn turn_on(&self) {
        self.switch(Mode::On);
    }

    /// From now on requests meet no faults. Those that have met one stay with it.
    pub fn turn_off(&self) {
        self.switch(Mode::Off);
    }

    /// From now on requests meet no faults, and what they would have met is counted. The plan
    /// begins, unless a dry run is under way already.
    pub fn dry_run(&self) {
        self.switch(Mode::DryRun);
    }

    /// How likely the rule of this name strikes a request from now on: 0 to 1. A rate that is
    /// raised keeps the requests that it struck before.
    ///
    /// # Errors
    /// When there is no rule of this name, or for a number that is none or not from 0 to 1.
    pub fn set_probability(&self, rule: &str, probability: f64) -> Result<(), RateError> {
        lock(&self.shared.state).course.set_probability(rule, probability)
    }

    /// Takes another plan, which begins now, if the faults are on. The name of the old one stays.
    /// Counts begin anew: requests that have met a fault of the old plan are counted nowhere.
    ///
    /// # Errors
    /// As [`new`](Self::new). The old plan stays then.
    pub fn replace(&self, plan: Plan) -> Result<(), ConfigError> {
        let (rules, course) = (tallies(&plan), Course::new(plan)?);
        let began = TimeSource::Tokio.now();
        let state = State { course, began, requests: 0, rules };
        let old = std::mem::replace(&mut *lock(&self.shared.state), state);
        drop(old);
        Ok(())
    }

    /// The name of the plan it was made of.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.telemetry.name
    }

    /// Whether requests meet faults.
    #[must_use]
    pub fn mode(&self) -> Mode {
        // Relaxed: it orders nothing.
        mode_of(self.shared.mode.load(Ordering::Relaxed))
    }

    /// Relaxed: a request that comes while it is switched may see either.
    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.shared.mode.load(Ordering::Relaxed) == OFF
    }

    /// What meets the next request.
    pub(crate) fn decide(&self, tag: Option<&str>, key: Option<u64>) -> Option<Injection> {
        let now = TimeSource::Tokio.now();
        let shared = &*self.shared;
        let (mode, struck) = {
            let mut state = lock(&shared.state);
            // Under the lock: a plan that begins sees no request of the mode before.
            let mode = self.mode();
            if mode == Mode::Off {
                return None;
            }
            (mode, state.decide(now, tag, key))
        };
        shared.telemetry.seen();
        let (strike, tally) = struck?;
        if mode == Mode::DryRun {
            tally.count(End::WouldStrike);
            shared.telemetry.ended(&tally, strike.number, End::WouldStrike);
            return None;
        }
        Some(Injection::new(strike, Arc::clone(&shared.telemetry), tally))
    }

    fn switch(&self, mode: Mode) {
        let now = TimeSource::Tokio.now();
        {
            let mut state = lock(&self.shared.state);
            if self.mode() == mode {
                return;
            }
            if mode != Mode::Off {
                let plan = state.course.plan().clone();
                state.course = Course::new(plan).expect("it was checked as it became the plan");
                state.began = now;
            }
            let mode = match mode {
                Mode::Off => OFF,
                Mode::On => ON,
                Mode::DryRun => DRY_RUN,
            };
            self.shared.mode.store(mode, Ordering::Relaxed);
        }
        self.shared.telemetry.switched(mode);
    }
}

impl State {
    fn decide(
        &mut self,
        now: Instant,
        tag: Option<&str>,
        key: Option<u64>,
    ) -> Option<(Strike, Arc<Tally>)> {
        self.requests += 1;
        let elapsed = now.saturating_duration_since(self.began);
        let strike = self.course.decide(&Facts { elapsed, tag, key })?;
        Some((strike, Arc::clone(&self.rules[strike.rule])))
    }
}

impl Faults {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> FaultsSnapshot {
        let state = lock(&self.shared.state);
        let (mode, requests) = (self.mode(), state.requests);
        FaultsSnapshot { mode, requests, rules: state.rules.iter().map(|r| r.snapshot()).collect() }
    }
}

impl Snapshot for Faults {
    type State = FaultsSnapshot;

    fn snapshot(&self) -> FaultsSnapshot {
        Self::snapshot(self)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode();
        f.debug_struct("Faults")
            .field("name", &self.name())
            .field("mode", &mode)
            .finish_non_exhaustive()
    }
}

const fn mode_of(number: u8) -> Mode {
    match number {
        OFF => Mode::Off,
        ON => Mode::On,
        _ => Mode::DryRun,
    }
}

/// One for each rule, in the order of the plan.
fn tallies(plan: &Plan) -> Vec<Arc<Tally>> {
    let tally = |rule: &Rule| Arc::new(Tally::new(Arc::clone(&rule.name), rule.fault.kind()));
    plan.rules.iter().map(tally).collect()
}
