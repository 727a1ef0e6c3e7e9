//! For tests: what a recorder was told.

use std::{collections::BTreeMap, sync::Mutex};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::lock::lock;

/// A recorder that is installed for as long as `work` runs, in the thread that runs it.
pub(crate) struct Recorded {
    recorder: DebuggingRecorder,
    /// A look at the recorder sets it back to zero, so this adds up what the looks have seen.
    seen: Mutex<BTreeMap<String, i64>>,
}

impl Recorded {
    pub(crate) fn new() -> Self {
        Self { recorder: DebuggingRecorder::new(), seen: Mutex::default() }
    }

    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, work)
    }

    /// The metrics that are not zero, as `metric label value label value`. Gauges must not be set,
    /// only moved.
    pub(crate) fn values(&self) -> BTreeMap<String, i64> {
        let snapshotter: Snapshotter = self.recorder.snapshotter();
        let mut seen = lock(&self.seen);
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let mut line = key.key().name().to_owned();
            for label in key.key().labels() {
                line.extend([" ", label.key(), " ", label.value()]);
            }
            *seen.entry(line).or_default() += whole(&value);
        }
        seen.clone().into_iter().filter(|&(_, value)| value != 0).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the tests show whole numbers")]
fn whole(value: &DebugValue) -> i64 {
    match value {
        DebugValue::Counter(count) => (*count).try_into().expect("the tests count to thousands"),
        DebugValue::Gauge(value) => value.into_inner() as i64,
        DebugValue::Histogram(_) => panic!("no histogram here"),
    }
}

/// What the tests write down as expected.
pub(crate) fn expected<const N: usize>(values: [(&str, i64); N]) -> BTreeMap<String, i64> {
    values.map(|(line, value)| (line.to_owned(), value)).into()
}
