//! How long a grant is trusted, and how often it is renewed: the numbers and their reasons.

use std::time::Duration;

/// How much earlier than the store a holder ends its own lease.
///
/// A grant of `ttl` that was asked for at `t` is valid until `t + ttl · (1 − drift) − slack`, on
/// the holder's clock; `t` is read before the request leaves. The store began to count later than
/// `t`, and counts `ttl` on a clock of its own. So the holder's validity ends first as long as the
/// two clocks' rates are within ρ of true time each, and `drift ≥ 2ρ / (1 + ρ)`.
///
/// | | default | why |
/// |---|---|---|
/// | `drift` | 10,000 ppm (1 %) | covers rates within 0.5 %: quartz is within 0.02 %, NTP slews by 0.05 %, and a guest's clock is worse than both |
/// | `slack` | 2 ms | timers and stores that count in whole milliseconds |
///
/// No margin covers a process that is stopped between its look at the clock and its write, nor a
/// virtual machine whose clocks stood still: the fencing token does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct Margin {
    drift_ppm: u32,
    slack: Duration,
}

/// Parts per million.
const MILLION: u128 = 1_000_000;

impl Margin {
    /// The defaults.
    pub const fn new() -> Self {
        Self { drift_ppm: 10_000, slack: Duration::from_millis(2) }
    }

    /// The share of the TTL that is given up, in millionths; from a million on nothing is left of
    /// any grant.
    pub const fn drift_ppm(mut self, ppm: u32) -> Self {
        self.drift_ppm = ppm;
        self
    }

    /// What is given up of any TTL.
    pub const fn slack(mut self, slack: Duration) -> Self {
        self.slack = slack;
        self
    }

    /// How long a grant of `ttl` is valid for its holder, from before it was asked for. Zero where
    /// the margin leaves nothing.
    #[must_use]
    pub fn validity(self, ttl: Duration) -> Duration {
        ttl.saturating_sub(self.of(ttl))
    }

    /// How long a taker without the store's clock watches a record that does not change before it
    /// takes it over, on its own clock: the recorded TTL and the margin.
    #[must_use]
    pub fn vigil(self, ttl: Duration) -> Duration {
        ttl.saturating_add(self.of(ttl))
    }

    /// Rounded up: a nanosecond too much is given up, and none too little.
    fn of(self, ttl: Duration) -> Duration {
        let drift = ttl.as_nanos().saturating_mul(u128::from(self.drift_ppm)).div_ceil(MILLION);
        nanos(drift).saturating_add(self.slack)
    }
}

impl Default for Margin {
    fn default() -> Self {
        Self::new()
    }
}

/// 584 years at most: more is none the longer.
fn nanos(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

/// When a lease of this TTL is renewed.
///
/// | | of the TTL | why |
/// |---|---|---|
/// | renewed | a third after it was asked for | a try that fails leaves time for more than one other |
/// | a call takes at most | a sixth, and what remains | a call that hangs must end before half of the TTL has gone, and the next be tried |
/// | tried again after a failure | a twelfth later | five more tries before the deadline, and no storm on a store that is down |
/// | at risk | from half of it on | the renewal that was due at a third has used up its sixth |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    ttl: Duration,
}

impl Pace {
    /// The pace for a TTL, the granted one.
    #[must_use]
    pub const fn of(ttl: Duration) -> Self {
        Self { ttl }
    }

    /// How long after a request was sent that was granted, or renewed, the next is.
    #[must_use]
    pub fn renew_after(self) -> Duration {
        self.ttl / 3
    }

    /// How long one call may take while so much of the lease remains.
    #[must_use]
    pub fn call_limit(self, remaining: Duration) -> Duration {
        (self.ttl / 6).min(remaining)
    }

    /// How long after a failure the next try is.
    #[must_use]
    pub fn retry_after(self) -> Duration {
        self.ttl / 12
    }

    /// How long after a request was sent a lease is at risk that has not been renewed since.
    #[must_use]
    pub fn at_risk_after(self) -> Duration {
        self.ttl / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn the_default_gives_up_a_hundredth_and_two_milliseconds() {
        assert_eq!(Margin::new().validity(15 * SEC), 15 * SEC - 152 * MS);
        assert_eq!(Margin::new().vigil(15 * SEC), 15 * SEC + 152 * MS);
        assert_eq!(Margin::new().validity(2 * MS), Duration::ZERO);
        assert_eq!(Margin::new().validity(Duration::ZERO), Duration::ZERO);
        // A nanosecond too much rather than one too little.
        let one_ppm = Margin::new().drift_ppm(1).slack(Duration::ZERO);
        let ttl = Duration::from_nanos(1_000_001);
        assert_eq!(one_ppm.validity(ttl), Duration::from_nanos(999_999));
    }

    #[test]
    fn a_sixth_a_third_and_half_of_the_ttl() {
        let pace = Pace::of(12 * SEC);
        assert_eq!((pace.renew_after(), pace.at_risk_after()), (4 * SEC, 6 * SEC));
        assert_eq!((pace.call_limit(SEC * 9), pace.call_limit(SEC)), (2 * SEC, SEC));
        assert_eq!(pace.retry_after(), SEC);
        assert_eq!(pace.renew_after() + pace.call_limit(Duration::MAX), pace.at_risk_after());
    }

    proptest! {
        /// The inequality that the whole promise stands on, at the extremes of both clocks.
        #[test]
        fn a_holders_validity_ends_before_the_stores_ttl_at_all_rates_within_the_bound(
            ttl in 10_000_000_u64..100_000_000_000_000, rho_ppm in 0_u64..5_000,
        ) {
            let valid = Margin::new().validity(Duration::from_nanos(ttl)).as_nanos();
            // True time, in millionths of a nanosecond: the holder's clock is slow, the store's
            // fast.
            let (holder, store) = (1_000_000 - u128::from(rho_ppm), 1_000_000 + u128::from(rho_ppm));
            // valid / (1 − ρ) < ttl / (1 + ρ)
            prop_assert!(valid * store < u128::from(ttl) * holder);
        }

        #[test]
        fn no_margin_and_no_ttl_overflows(ttl: u64, ppm: u32, slack: u64) {
            let margin = Margin::new().drift_ppm(ppm).slack(Duration::from_nanos(slack));
            for ttl in [Duration::from_nanos(ttl), Duration::from_secs(ttl), Duration::MAX] {
                prop_assert!(margin.validity(ttl) <= ttl && ttl <= margin.vigil(ttl));
            }
        }
    }
}
