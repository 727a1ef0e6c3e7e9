//! What is wrong with a clock, as arithmetic on two readings. It reads no clock.

use std::time::Duration;

use steadfast_core::BootInstant;

use super::Leap;

const SECOND: i128 = 1_000_000_000;
const MILLION: i128 = 1_000_000;

/// The faults of a clock. Wall times are nanoseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// How far it was ahead at `since`, without the smear.
    offset: i128,
    /// Since when it has drifted at this rate.
    since: BootInstant,
    drift_ppm: i32,
    smear: Option<Smear>,
    leap: Option<Armed>,
    /// What it shows while it stands still.
    frozen: Option<i128>,
}

/// A second that is added or taken away little by little.
#[derive(Debug)]
struct Smear {
    by: i128,
    begun: BootInstant,
    over: Duration,
}

/// A leap that happens when the clock shows `at`.
#[derive(Debug)]
struct Armed {
    at: i128,
    by: i128,
}

impl Model {
    /// What it shows when the clock behind shows `right`. A leap whose moment has come happens.
    pub(super) fn read(&mut self, right: i128, now: BootInstant) -> i128 {
        if let Some(frozen) = self.frozen {
            return frozen;
        }
        let shown = right.saturating_add(self.ahead(now));
        let Some(leap) = self.leap.take_if(|leap| shown >= leap.at) else { return shown };
        self.offset = self.offset.saturating_add(leap.by);
        shown.saturating_add(leap.by)
    }

    /// A leap that waits is forgotten, as by the kernel of Linux when its clock is set.
    pub(super) fn step(&mut self, by: i128) {
        self.leap = None;
        self.offset = self.offset.saturating_add(by);
        self.frozen = self.frozen.map(|frozen| frozen.saturating_add(by));
    }

    /// Sets it to be ahead by so much, and goes on drifting and smearing from there.
    pub(super) fn set(&mut self, ahead: i128, right: i128, now: BootInstant) {
        let shown = self.frozen.unwrap_or_else(|| right.saturating_add(self.ahead(now)));
        self.step(right.saturating_add(ahead).saturating_sub(shown));
    }

    pub(super) fn drift(&mut self, ppm: i32, now: BootInstant) {
        self.offset = self.offset.saturating_add(self.drifted(now));
        (self.since, self.drift_ppm) = (now, ppm);
    }

    pub(super) fn freeze(&mut self, right: i128, now: BootInstant) {
        self.frozen = Some(self.read(right, now));
    }

    /// Goes on from where it stood: the time in between is lost to it.
    pub(super) fn thaw(&mut self, right: i128, now: BootInstant) {
        let Some(frozen) = self.frozen.take() else { return };
        let shown = right.saturating_add(self.ahead(now));
        self.offset = self.offset.saturating_add(frozen).saturating_sub(shown);
    }

    /// At the end of the second it shows.
    pub(super) fn leap(&mut self, leap: Leap, right: i128, now: BootInstant) {
        let end = self.read(right, now).div_euclid(SECOND).saturating_add(1).saturating_mul(SECOND);
        // A second that is left out is the one after this: nothing of it is shown.
        self.leap = Some(Armed { at: end, by: leap.by() });
    }

    /// The smear before this one stays where it has come to.
    pub(super) fn smear(&mut self, leap: Leap, over: Duration, now: BootInstant) {
        self.offset = self.offset.saturating_add(self.smeared(now));
        self.smear = Some(Smear { by: leap.by(), begun: now, over });
    }

    fn ahead(&self, now: BootInstant) -> i128 {
        self.offset.saturating_add(self.drifted(now)).saturating_add(self.smeared(now))
    }

    fn drifted(&self, now: BootInstant) -> i128 {
        // Below 2⁶⁴ · 2³¹, and so no overflow.
        let passed = i128::from(now.as_nanos().saturating_sub(self.since.as_nanos()));
        passed * i128::from(self.drift_ppm) / MILLION
    }

    fn smeared(&self, now: BootInstant) -> i128 {
        self.smear.as_ref().map_or(0, |smear| {
            let passed = now.saturating_duration_since(smear.begun);
            if passed >= smear.over {
                return smear.by;
            }
            // Below 2³⁰ · 2⁶⁴, and so no overflow.
            smear.by * passed.as_nanos().cast_signed() / smear.over.as_nanos().cast_signed()
        })
    }
}

impl Leap {
    /// What it does to a clock that shows each second once.
    const fn by(self) -> i128 {
        match self {
            Self::Inserted => -SECOND,
            Self::Deleted => SECOND,
        }
    }
}
