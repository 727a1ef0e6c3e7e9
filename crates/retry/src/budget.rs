//! A bound on how much is sent again.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use steadfast_core::{
    ConfigError, Snapshot,
    parts::{Ticks, lock, thread_number},
};

use crate::{
    config::{BudgetConfig, Settings},
    error::BudgetExhausted,
    ledger::Ledger,
    snapshot::BudgetSnapshot,
    telemetry::BudgetTelemetry,
};

/// Bounds the retries of all layers that share it to a share of their requests, plus a floor.
///
/// Whenever a retry is decided, the retries that wait to be sent and those sent in the window that
/// ends there are at most *ratio × requests in that window + floor × window*. So the retries *sent*
/// in any window are within the bound of a window that ended at most one wait earlier, though all
/// wait for the same moment. A retry that is given up before it is sent is refunded. Clones share
/// one account. O(1), after any idle time.
///
/// The default is 20 % and 10/s over 10 s, as in Finagle and linkerd: retries of a service that
/// fails completely add a fifth to its load, and a client with hardly any traffic can still retry.
///
/// Requests are counted in the thread that makes them, however many handles it makes them through,
/// and without a date: the first retry that is asked for, or every 16th request of a thread (64th
/// where they are many), reads the clock, and dates what was counted since by the reading before.
/// Too early a date makes the budget smaller, never larger. At 100 requests a second and with the
/// default window, 96 to 97 % of them count on average; a service with so little traffic that there
/// is no reading in a window has just the floor when its first failures come.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use steadfast_core::Ratio;
/// use steadfast_retry::{Budget, BudgetConfig};
///
/// let config = BudgetConfig::new().ratio(Ratio::percent(10)).floor_per_second(0);
/// let budget = Budget::new(config.window(Duration::from_secs(30)))?;
/// for _ in 0..10 {
///     budget.deposit();
/// }
/// budget.try_withdraw(NonZeroU32::MIN)?.spend();
/// assert!(budget.try_withdraw(NonZeroU32::MIN).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Budget(Arc<Account>);

/// How many budgets were made.
static MADE: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Account {
    /// Of no other budget of the process; never zero. HTTP requests carry it.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "without HTTP there are no marks")
    )]
    id: u64,
    ledger: Ledger,
    ticks: Ticks,
    /// What all this was made from, or changed to. No request reads it.
    config: Mutex<BudgetConfig>,
    telemetry: BudgetTelemetry,
}

impl Budget {
    /// The budget, with nothing in it but its floor.
    ///
    /// # Errors
    /// When the window is shorter than 32 ms or longer than 10 days.
    pub fn new(config: BudgetConfig) -> Result<Self, ConfigError> {
        let Settings { allowance, buckets, time_source } = config.check()?;
        let (ledger, ticks) = (Ledger::new(allowance), Ticks::start(time_source, buckets));
        let telemetry = BudgetTelemetry::new(config.name().cloned());
        let config = Mutex::new(config);
        // Relaxed: it is a number, and each is given out once.
        let id = 1 + MADE.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::new(Account { id, ledger, ticks, config, telemetry })))
    }

    /// Goes on with another ratio or floor, for all layers that share the budget. Checked first;
    /// all of it, or nothing.
    ///
    /// Requests that were counted and retries that were withdrawn stay: where more was withdrawn
    /// than is allowed now, no retry is, until enough of it has left the window. A retry that was
    /// withdrawn may still be sent or given back. A name that is left out is the budget's own.
    ///
    /// ```
    /// use steadfast_core::Ratio;
    /// use steadfast_retry::{Budget, BudgetConfig};
    ///
    /// let budget = Budget::default();
    /// // The service is in trouble: no more than one in a hundred, and no floor.
    /// budget.reconfigure(budget.config().ratio(Ratio::percent(1)).floor_per_second(0))?;
    /// # Ok::<(), steadfast_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new), and where the change would be one of the window, of the time source
    /// or of the name, which a budget keeps for as long as it is there.
    #[expect(clippy::needless_pass_by_value, reason = "as all handles take their configuration")]
    pub fn reconfigure(&self, config: BudgetConfig) -> Result<(), ConfigError> {
        let applied = self.0.change_to(&config);
        self.0.telemetry.reconfigured(applied.is_ok());
        applied
    }

    /// The configuration as it is now.
    pub fn config(&self) -> BudgetConfig {
        lock(&self.0.config).clone()
    }

    /// Tells this budget and its clones from all others.
    #[cfg(feature = "http")]
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// Counts one request. A retry layer does this for every request that passes it; on HTTP once
    /// for all layers with this budget that it passes.
    pub fn deposit(&self) {
        self.deposit_by(thread_number());
    }

    /// Counts one request of the calling thread, which has the number `thread`.
    #[inline(always)]
    pub(crate) fn deposit_by(&self, thread: usize) {
        if let Some(count) = self.0.ledger.count(thread) {
            self.glance(thread, count);
        }
    }

    #[cold]
    #[inline(never)]
    fn glance(&self, thread: usize, count: u64) {
        if self.0.ledger.is_due(thread, count) {
            self.0.ledger.glance_by(thread, count, self.0.ticks.now());
        }
    }

    /// Takes `cost` for one retry, for as long as the [`Withdrawal`] is held; once
    /// [spent](Withdrawal::spend), for one window more.
    ///
    /// # Errors
    /// When the budget does not cover it.
    pub fn try_withdraw(&self, cost: NonZeroU32) -> Result<Withdrawal, BudgetExhausted> {
        let cost = u64::from(cost.get());
        let is_covered = self.0.ledger.withdraw(self.0.ticks.now(), cost);
        if is_covered {
            Ok(Withdrawal { charged: Some((self.clone(), cost)) })
        } else {
            Err(BudgetExhausted::new().with_handle(self.0.telemetry.handle()))
        }
    }
}

impl Account {
    fn change_to(&self, config: &BudgetConfig) -> Result<(), ConfigError> {
        // Held to the end, so that of two changes at once one comes after the other as a whole.
        let mut current = lock(&self.config);
        let (config, allowance) = current.changed_to(config)?;
        self.ledger.change(allowance);
        *current = config;
        Ok(())
    }
}

impl Budget {
    /// The state now, as plain data: for dashboards, tests and logs.
    #[must_use]
    pub fn snapshot(&self) -> BudgetSnapshot {
        self.0.ledger.snapshot_at(self.0.ticks.now())
    }
}

impl Snapshot for Budget {
    type State = BudgetSnapshot;

    fn snapshot(&self) -> BudgetSnapshot {
        Self::snapshot(self)
    }
}

impl Default for Budget {
    /// 20 % and 10/s over 10 s.
    fn default() -> Self {
        Self::new(BudgetConfig::new()).expect("the default figures are within their ranges")
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Budget").field(&self.snapshot()).finish()
    }
}

/// What was taken from a budget for one retry. Dropping it gives it back: nothing was sent.
#[derive(Debug)]
#[must_use = "dropping a withdrawal refunds it"]
pub struct Withdrawal {
    charged: Option<(Budget, u64)>,
}

impl Withdrawal {
    /// The retry is being sent: what was taken counts for one window from now on.
    pub fn spend(mut self) {
        if let Some((budget, cost)) = self.charged.take() {
            budget.0.ledger.send(budget.0.ticks.now(), cost);
        }
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if let Some((budget, cost)) = self.charged.take() {
            budget.0.ledger.refund(cost);
        }
    }
}

#[cfg(not(steadfast_loom))]
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use steadfast_core::Ratio;

    use super::*;
    use crate::config::LONGEST;

    const WINDOW_MS: u64 = 1000;

    fn budget(percent: u8, floor_per_second: u32) -> Budget {
        let config =
            BudgetConfig::new().ratio(Ratio::percent(percent)).floor_per_second(floor_per_second);
        Budget::new(config.window(Duration::from_millis(WINDOW_MS))).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Requests(usize, u32),
        Withdraw { keep: bool },
        Send,
        Refund,
        Pass(u64),
    }

    /// Owners of lanes, and threads that share one.
    fn threads() -> impl Strategy<Value = usize> {
        prop_oneof![0usize..3, Just(1000), Just(usize::MAX)]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (threads(), prop_oneof![1u32..4, 1u32..200]).prop_map(|(thread, number)| Step::Requests(thread, number)),
            6 => any::<bool>().prop_map(|keep| Step::Withdraw { keep }),
            1 => Just(Step::Refund),
            2 => Just(Step::Send),
            3 => prop_oneof![8 => 0u64..150, 2 => 0u64..1500, 1 => Just(86_400_000)].prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// The naive model: an exact list of every request and every retry. The bound is checked at
        /// every decision, and again over every window of what was really sent, when all is known.
        #[test]
        fn the_bound_holds_at_every_decision_and_for_what_is_sent(
            percent in 0u8..=100,
            floor in prop_oneof![Just(0u32), 0u32..20],
            steps in prop::collection::vec(step(), 1..150),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let budget = budget(percent, floor);
                let (mut now, mut requests) = (0u64, Vec::new());
                // When each retry was sent, and how many there might be in a window by what was
                // known at its decision.
                let (mut held, mut sent) = (Vec::new(), Vec::new());
                let in_window = |times: &[u64], end: u64| times.iter().filter(|&&at| at <= end && end - at < WINDOW_MS).count();
                let allowed = |requests: usize| f64::from(percent) / 100.0 * requests as f64 + f64::from(floor) + 1e-9;
                for step in steps {
                    match step {
                        Step::Requests(thread, number) => {
                            (0..number).for_each(|_| budget.deposit_by(thread));
                            requests.extend((0..number).map(|_| now));
                        }
                        Step::Pass(ms) => {
                            tokio::time::advance(Duration::from_millis(ms)).await;
                            now += ms;
                        }
                        Step::Refund => drop(held.pop()),
                        // The oldest first: it may have waited for windows.
                        Step::Send => if !held.is_empty() {
                            let (withdrawal, bound): (Withdrawal, f64) = held.remove(0);
                            withdrawal.spend();
                            sent.push((now, bound));
                        },
                        Step::Withdraw { keep } => if let Ok(withdrawal) = budget.try_withdraw(NonZeroU32::MIN) {
                            let bound = allowed(in_window(&requests, now));
                            let times: Vec<u64> = sent.iter().map(|&(at, _)| at).collect();
                            let charged = held.len() + 1 + in_window(&times, now);
                            prop_assert!(charged as f64 <= bound, "{charged} retries, allowed {bound} at {now} ms");
                            if keep {
                                withdrawal.spend();
                                sent.push((now, bound));
                            } else {
                                held.push((withdrawal, bound));
                            }
                        },
                    }
                }
                let times: Vec<u64> = sent.iter().map(|&(at, _)| at).collect();
                for &(end, _) in &sent {
                    let within = sent.iter().filter(|&&(at, _)| at <= end && end - at < WINDOW_MS);
                    let bound = within.map(|&(_, bound)| bound).fold(0.0, f64::max);
                    let number = in_window(&times, end);
                    prop_assert!(number as f64 <= bound, "{number} sent, allowed {bound} in the window up to {end} ms");
                }
                Ok(())
            })?;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn under_total_failure_requests_are_counted_to_the_letter() {
        let budget = budget(20, 0);
        let granted: Vec<bool> = (0..20)
            .map(|_| {
                budget.deposit();
                budget.try_withdraw(NonZeroU32::MIN).map(Withdrawal::spend).is_ok()
            })
            .collect();
        let expected: Vec<bool> = (1..=20).map(|request| request % 5 == 0).collect();
        assert_eq!(granted, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_healthy_busy_service_has_credit_when_its_first_failures_come() {
        let budget = budget(20, 0);
        // 1,000 requests a second for a minute, and no failure.
        for _ in 0..60_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            budget.deposit();
        }
        let granted = (0..1000)
            .take_while(|_| budget.try_withdraw(NonZeroU32::MIN).map(Withdrawal::spend).is_ok())
            .count();
        // 200 of the last 1,000 by the letter; two of 32 buckets less at worst.
        assert!((187..=200).contains(&granted), "{granted}");
    }

    #[test]
    fn a_window_out_of_range_is_refused_by_name_and_value() {
        for window in [
            Duration::ZERO,
            Duration::from_millis(31),
            Duration::from_secs(11 * 24 * 3600),
            Duration::MAX,
        ] {
            let error = Budget::new(BudgetConfig::new().window(window)).unwrap_err();
            assert_eq!((error.field, error.value), ("window", format!("{window:?}")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_figures_do_not_overflow() {
        let config =
            BudgetConfig::new().ratio(Ratio::ONE).floor_per_second(u32::MAX).window(LONGEST);
        let longest = Budget::new(config).unwrap();
        assert_eq!(longest.snapshot().available, u64::from(u32::MAX) * LONGEST.as_secs());
        longest.try_withdraw(NonZeroU32::MAX).unwrap().spend();
    }
}
