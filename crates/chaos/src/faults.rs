//! The handle: faults that are switched on and off.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use steadfast_core::{ConfigError, TimeSource, parts::lock};

use crate::{Course, Facts, Plan, Strike};

const OFF: u8 = 0;
const ON: u8 = 1;

/// A plan that can be switched on and off. Clones share the state.
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: AtomicU8,
    course: Mutex<(Course, Instant)>,
}

impl Faults {
    /// Off until it is turned on.
    ///
    /// # Errors
    /// When a number of the plan is outside the range its setter names.
    pub fn new(plan: Plan) -> Result<Self, ConfigError> {
        let course = Mutex::new((Course::new(plan)?, TimeSource::Tokio.now()));
        Ok(Self { shared: Arc::new(Shared { mode: AtomicU8::new(OFF), course }) })
    }

    /// From now on requests meet faults, and the plan's time begins.
    pub fn turn_on(&self) {
        lock(&self.shared.course).1 = TimeSource::Tokio.now();
        self.shared.mode.store(ON, Ordering::Release);
    }

    /// From now on they do not. Those that have met one stay with it.
    pub fn turn_off(&self) {
        self.shared.mode.store(OFF, Ordering::Release);
    }

    /// Relaxed: a request that comes while it is switched may see either.
    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.shared.mode.load(Ordering::Relaxed) == OFF
    }

    pub(crate) fn decide(&self, facts: &Facts<'_>) -> Option<Strike> {
        let mut course = lock(&self.shared.course);
        let elapsed = TimeSource::Tokio.now().saturating_duration_since(course.1);
        course.0.decide(&Facts { elapsed, ..*facts })
    }
}
